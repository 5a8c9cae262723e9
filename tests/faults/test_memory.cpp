// Memory that runs out, at each allocation in turn: the error is std::bad_alloc (in C
// SOFTSTEP_OUT_OF_MEMORY), everything is given back, no file is torn, and the same call then gives the bits
// that it gave before.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "faults/failing_calls.h"
#include "softstep/c/softstep.h"
#include "support/allocations.h"
#include "support/batches.h"
#include "support/temporary_file.h"
#include "tools/run_program.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::counts_allocations;
using softstep::test::failing_allocation;
using softstep::test::n_allocations;
using softstep::test::n_live_allocations;

namespace {

using Numbers = std::vector<double>;

struct Job {
  std::string what;
  std::function<Numbers()> run;  // what came out of it
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// At each of at most `most` of the allocations, evenly spread.
struct Count {
  long tries = 0, losses = 0;
};
void fail_each(const Job& job, long most, Count& count, const std::function<bool()>& is_whole = nullptr) {
  INFO(job.what);
  const Numbers expected = job.run();  // and what is made once in a process has been made
  const long before = n_allocations;
  REQUIRE(job.run() == expected);
  const long n = n_allocations - before;
  REQUIRE(n > 0);
  const long stride = std::max(1L, n / most);
  for (long k = 1; k <= n; k += stride) {
    const long live = n_live_allocations;
    bool told = false, other = false;
    failing_allocation = k;
    try {
      job.run();
    } catch (const std::bad_alloc&) {
      told = true;
    } catch (...) {
      other = true;
    }
    const bool failed = failing_allocation.exchange(0) <= 0;
    if (!failed && !told && !other) break;  // what is not counted makes fewer of them
    const long left = n_live_allocations - live;
    const bool lost = !told || !failed || left != 0 || (is_whole && !is_whole());
    ++count.tries;
    count.losses += lost ? 1 : 0;
    INFO("allocation " << k << " of " << n << ": " << left << " left" << (other ? ", another error" : ""));
    CHECK_FALSE(lost);
  }
  CHECK(job.run() == expected);
}

Numbers trained(const Dataset<double>& data, const char* rule, Form form, int n_threads, bool joint,
                MasterWeights masters = MasterWeights::working) {
  AttentionOptions how;
  how.n_threads = n_threads;
  how.train_decoder = joint;
  if (joint) how.optimal_loss = OptimalLoss::zero;
  const AttentionModel<double> model(data.view(), how);
  TrainState<double> state = initial_state(model, {}, masters);
  TrainerOptions options;
  options.rules = {parse_rule(rule)};
  options.form = form;
  options.n_steps = 3;
  options.master_weights = masters;
  train(model, state, options);
  return state.blocks[0];
}

}  // namespace

TEST_CASE("memory that runs out at any allocation of a run or a solver is one error and no leak",
          "[faults]") {
  if (!counts_allocations) return;
  const Dataset<double> data = test::signal_noise(3, 6, 4, 12);
  const Dataset<float> single = convert<float>(data);
  const std::vector<double> points = {1, 2, -1, 0.5, 2, 0.25, -2, -1};
  const std::vector<std::int8_t> signs = {1, -1, 1, -1};
  const std::vector<Job> jobs = {
      {"dense", [&] { return trained(data, "gd", Form::dense, 1, false); }},
      {"query span, two threads", [&] { return trained(data, "ngd", Form::query_span, 2, false); }},
      {"token span", [&] { return trained(data, "polyak", Form::token_span, 1, false); }},
      {"joint, momentum", [&] { return trained(data, "momentum", Form::automatic, 1, true); }},
      {"muon_exact", [&] { return trained(data, "muon_exact", Form::dense, 1, false); }},
      {"adam, masters", [&] { return trained(data, "adam", Form::dense, 2, false, MasterWeights::float64); }},
      {"float32",
       [&] {
         const auto run = test::run(single.view(), "ngd", 3);
         return Numbers(run.state.blocks[0].begin(), run.state.blocks[0].end());
       }},
      {"max margin", [&] { return solve_max_margin(data.view()).weights; }},
      {"max margin of points", [&] { return solve_linear_max_margin(points, signs, 2).weights; }},
      {"max margin, two threads",
       [&] {
         MaxMarginOptions options;
         options.n_threads = 2;
         return solve_max_margin(single.view(), options).weights;
       }},
      {"nuclear norm",
       [&] {
         NormMaxMarginOptions options;
         options.norm = MatrixNorm::nuclear;
         return solve_max_margin_in_norm(data.view(), options).weights;
       }},
  };
  Count count;
  for (const Job& job : jobs) fail_each(job, 200, count);
  WARN("tries " << count.tries << ", losses " << count.losses);
  CHECK(count.tries > 500);
}

// A pass over all samples leaves what it hands its kernel for the next one; a pass over some of them that
// ends half-way has written over it. Here the second thread gets the longest sample, for which it has no room
// yet.
TEST_CASE("a pass that runs out of memory leaves the next one over all samples right", "[faults]") {
  if (!counts_allocations) return;
  const test::TestBatch<double> batch(
      {.n_tokens = {40, 600, 90, 60}, .dim = 64, .separate_queries = true, .ragged = true, .n_queries = 40},
      3);
  AttentionOptions how;
  how.n_threads = 2;
  const AttentionModel<double> model(batch.view, how);
  REQUIRE(model.threads_used() == 2);
  const std::vector<double> weights = normal_weights(64, 0.1, 1);
  const std::span<const double> at(weights);
  const std::vector<std::size_t> second = {1};
  Evaluation<double> out;
  long n_failed = 0;
  for (long k = 1; k <= 30; ++k) {
    const auto space = model.make_workspace();
    model.evaluate(Point<double>(&at, 1), out, *space, want_loss);
    const double expected = out.loss;
    failing_allocation = k;
    try {
      model.evaluate(Point<double>(&at, 1), out, *space, want_loss, SampleSet{second});
    } catch (const std::bad_alloc&) {
      ++n_failed;
    }
    failing_allocation = 0;
    model.evaluate(Point<double>(&at, 1), out, *space, want_loss);
    INFO("allocation " << k);
    CHECK(out.loss == expected);
  }
  CHECK(n_failed > 0);
}

TEST_CASE("memory that runs out while a state is written or read leaves the older file or the new one",
          "[faults]") {
  if (!counts_allocations) return;
  const Dataset<double> data = test::signal_noise(3, 5, 4, 8);
  const AttentionModel<double> model(data.view());
  TrainerOptions options;
  options.rules = {parse_rule("adam")};
  options.n_steps = 4;
  TrainState<double> state = initial_state(model);
  const test::TemporaryFile file("softstep-out-of-memory");
  save_state(file.path, model, state, options);
  const std::string older = read(file.path);
  train(model, state, options);
  save_state(file.path, model, state, options);
  const std::string newer = read(file.path);
  const std::filesystem::path folder = std::filesystem::path(file.path).parent_path();
  const std::string stem = std::filesystem::path(file.path).filename();
  const auto files = [&] {
    std::ptrdiff_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      n += entry.path().filename().string().find(stem) != std::string::npos;
    return n;
  };
  Count count;
  fail_each({"save_state",
             [&] {
               const long keep = failing_allocation.exchange(0);
               std::ofstream(file.path, std::ios::binary) << older;
               failing_allocation = keep;
               save_state(file.path, model, state, options);
               return Numbers{};
             }},
            400, count, [&] {
              const std::string found = read(file.path);
              return (found == older || found == newer) && files() == 1;
            });
  fail_each({"load_state", [&] { return load_state(file.path, model, options).blocks[0]; }}, 400, count);
  fail_each({"load_tensors", [&] { return load_tensors(file.path)[0].values; }}, 400, count);
  WARN("tries " << count.tries << ", losses " << count.losses);
  CHECK(count.tries > 100);
}

TEST_CASE("memory that runs out within the C face is SOFTSTEP_OUT_OF_MEMORY", "[faults]") {
  if (!counts_allocations) return;
  // What fails ends the sequence as an error that fail_each expects; all handles are destroyed on the way.
  struct Handles {
    softstep_dataset* dataset = nullptr;
    softstep_model* model = nullptr;
    softstep_state* state = nullptr;
    softstep_workspace* workspace = nullptr;
    ~Handles() {
      softstep_workspace_destroy(workspace);
      softstep_state_destroy(state);
      softstep_model_destroy(model);
      softstep_dataset_destroy(dataset);
    }
  };
  const auto expect = [](softstep_status status) {
    const std::string message = softstep_last_message();
    // A generator says which of its sizes does not fit.
    const bool told = status == SOFTSTEP_BAD_ARGUMENT && message.ends_with("do not fit in memory");
    if (status == SOFTSTEP_OUT_OF_MEMORY || told) throw std::bad_alloc();
    if (status != SOFTSTEP_OK) throw std::runtime_error(message);
  };
  // The thread's message keeps its room, which a long one makes now.
  softstep_generate_options unknown{};
  unknown.struct_size = sizeof unknown;
  unknown.generator =
      "a word so long that no message below is longer than what is said of it, whatever its sizes";
  softstep_dataset* none = nullptr;
  CHECK(softstep_dataset_generate(&unknown, &none) == SOFTSTEP_BAD_ARGUMENT);
  const Job job = {"C", [&] {
                     Handles made;
                     softstep_generate_options generate{};
                     generate.struct_size = sizeof generate;
                     generate.n_samples = 4;
                     generate.n_tokens = 3;
                     generate.dim = 6;
                     expect(softstep_dataset_generate(&generate, &made.dataset));
                     softstep_batch batch{};
                     batch.struct_size = sizeof batch;
                     expect(softstep_dataset_batch(made.dataset, &batch));
                     expect(softstep_attention_model_create(&batch, nullptr, &made.model));
                     expect(softstep_workspace_create(made.model, &made.workspace));
                     expect(softstep_state_create(made.model, nullptr, &made.state));
                     softstep_train_options options{};
                     options.struct_size = sizeof options;
                     options.rules = "adam";
                     options.n_steps = 3;
                     expect(softstep_train(made.model, made.state, &options, nullptr));
                     Numbers weights(36), solved(36);
                     expect(softstep_state_block(made.state, 0, weights.data(), weights.size()));
                     const void* blocks[] = {weights.data()};
                     void* gradients[] = {solved.data()};
                     double exponents[1] = {};
                     expect(softstep_evaluate(made.model, made.workspace, blocks, SOFTSTEP_WANT_ALL, nullptr,
                                              0, nullptr, gradients, exponents));
                     expect(softstep_solve_max_margin(&batch, nullptr, solved.data(), nullptr));
                     weights.insert(weights.end(), solved.begin(), solved.end());
                     return weights;
                   }};
  Count count;
  fail_each(job, 600, count);
  WARN("tries " << count.tries << ", losses " << count.losses);
  CHECK(count.tries > 100);
}
