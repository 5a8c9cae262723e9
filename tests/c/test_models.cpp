// Models, training and max-margin solutions through the C face: the bits of the C++ face, and every kind of
// bad input with a code and one line.

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>

#include "c/c_problem.h"
#include "softstep/max_margin.h"
#include "softstep/threads.h"
#include "softstep/trainer.h"
#include "softstep/version.h"
#include "support/allocations.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

std::string failure(softstep_status status, softstep_status wanted) {
  if (status != wanted) return "status " + std::to_string(status);
  return softstep_last_argument();
}

double logistic_value(double m) { return m > 0 ? std::log1p(std::exp(-m)) : std::log1p(std::exp(m)) - m; }
softstep_scaled loss_value(void*, double m, double) { return {logistic_value(m), 0.0}; }
softstep_scaled loss_slope(void*, double m, double) { return {-1.0 / (1.0 + std::exp(m)), 0.0}; }

// Normalised gradient descent with momentum of a half: remembers the number of steps and the last direction.
int32_t heavy_ball(void* user, const softstep_step_context* in, const double* memory, double* next,
                   double* direction, softstep_step* step) {
  ++*static_cast<int*>(user);
  const std::size_t n = in->n_rows * in->n_cols;
  if (in->gradient_norm == 0.0) {
    step->outcome = SOFTSTEP_STATIONARY;
    return 0;
  }
  const auto* gradient = static_cast<const double*>(in->gradient);
  double squared = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    direction[k] = gradient[k] / in->gradient_norm + (memory == nullptr ? 0.0 : 0.5 * memory[1 + k]);
    next[1 + k] = direction[k];
    squared += direction[k] * direction[k];
  }
  next[0] = memory == nullptr ? 1.0 : memory[0] + 1.0;
  step->coefficient = 0.5;
  step->length = 0.5 * std::sqrt(squared);
  return 0;
}
int32_t failing_rule(void*, const softstep_step_context*, const double*, double*, double*, softstep_step*) {
  return 1;
}

softstep_own_rule own_rule(int& calls) {
  softstep_own_rule rule{};
  rule.struct_size = sizeof rule;
  rule.name = "heavy_ball";
  rule.user = &calls;
  rule.n_memory = 1;
  rule.n_matrices = 1;
  rule.propose = heavy_ball;
  return rule;
}

softstep_train_options train_options(std::int64_t n_steps) {
  softstep_train_options out{};
  out.struct_size = sizeof out;
  out.n_steps = n_steps;
  return out;
}

std::vector<double> weights_of(const softstep_state* state, std::size_t size) {
  std::vector<double> out(size);
  REQUIRE(softstep_state_block(state, 0, out.data(), size) == SOFTSTEP_OK);
  return out;
}

}  // namespace

TEST_CASE("A model evaluates in C as it does in C++, to the bit", "[c]") {
  const CProblem problem;
  const std::size_t size = 12 * 12;
  const std::vector<double> weights = normal_values(size, 1.0, 5), direction = normal_values(size, 1.0, 6);
  const CModel c(problem.batch());
  REQUIRE(c.status == SOFTSTEP_OK);
  std::size_t n_blocks = 0, n_rows = 0, n_cols = 0;
  const char* name = nullptr;
  softstep_type type = -1;
  REQUIRE(softstep_model_n_blocks(c.model, &n_blocks) == SOFTSTEP_OK);
  REQUIRE(softstep_model_block(c.model, 0, &name, &n_rows, &n_cols) == SOFTSTEP_OK);
  REQUIRE(softstep_model_type(c.model, &type) == SOFTSTEP_OK);
  CHECK(n_blocks == 1);
  CHECK(std::string(name) == "weights");
  CHECK(n_rows * n_cols == size);
  CHECK(type == SOFTSTEP_F64);

  std::vector<double> gradient(size), product(size);
  double exponent = 0.0, product_exponent = 0.0;
  softstep_evaluation evaluation{};
  evaluation.struct_size = sizeof evaluation;
  const std::array<const void*, 1> blocks{weights.data()}, along{direction.data()};
  const std::array<void*, 1> gradients{gradient.data()}, products{product.data()};
  REQUIRE(softstep_evaluate(c.model, c.space, blocks.data(), SOFTSTEP_WANT_ALL, nullptr, 0, &evaluation,
                            gradients.data(), &exponent) == SOFTSTEP_OK);
  REQUIRE(softstep_hessian_product(c.model, c.space, blocks.data(), along.data(), products.data(),
                                   &product_exponent) == SOFTSTEP_OK);

  AttentionModel<double> model(problem.data.view());
  Evaluation<double> out;
  model.evaluate(std::span<const double>(weights), out);
  CHECK(evaluation.loss == out.loss);
  CHECK(evaluation.loss_gap.mantissa == out.loss_gap.mantissa);
  CHECK(evaluation.loss_gap.exponent == out.loss_gap.exponent);
  CHECK(evaluation.accuracy == out.accuracy);
  CHECK(exponent == out.gradients[0].exponent);
  CHECK(gradient == out.gradients[0].values);
  const auto space = model.make_workspace();
  std::vector<BlockGradient<double>> exact;
  const std::vector<std::vector<double>> at{weights}, to{direction};
  model.hessian_product(Point<double>(views_of(at)), Point<double>(views_of(to)), exact, *space);
  CHECK(product == exact[0].values);
  CHECK(product_exponent == exact[0].exponent);

  std::vector<double> attention(8 * 5);
  REQUIRE(softstep_attention_of_tokens(c.model, blocks.data(), attention.data(), attention.size()) ==
          SOFTSTEP_OK);
  CHECK(attention == model.attention(std::span<const double>(weights)));

  // What is not asked for is NaN, and not what this workspace had at an earlier point.
  for (const std::uint32_t want :
       {SOFTSTEP_WANT_GRADIENT, SOFTSTEP_WANT_LOSS, SOFTSTEP_WANT_LOSS_GAP, SOFTSTEP_WANT_ATTENTION}) {
    INFO("want " << want);
    const bool loss = want == SOFTSTEP_WANT_LOSS, gap = want == SOFTSTEP_WANT_LOSS_GAP,
               attention_of_best = want == SOFTSTEP_WANT_ATTENTION;
    REQUIRE(softstep_evaluate(c.model, c.space, along.data(), want, nullptr, 0, &evaluation, gradients.data(),
                              &exponent) == SOFTSTEP_OK);
    CHECK(std::isnan(evaluation.loss) == !loss);
    CHECK(std::isnan(evaluation.loss_scaled.mantissa) == !loss);
    CHECK(std::isnan(evaluation.accuracy) == !loss);
    CHECK(std::isnan(evaluation.loss_gap.mantissa) == !gap);
    CHECK(std::isnan(evaluation.optimal_loss) == !gap);
    CHECK(std::isnan(evaluation.min_optimal_attention) == !attention_of_best);
    CHECK(std::isnan(evaluation.log10_one_minus_optimal_attention) == !attention_of_best);
  }

  // Some samples.
  const std::array<std::size_t, 3> some{1, 4, 6};
  REQUIRE(softstep_evaluate(c.model, c.space, blocks.data(), SOFTSTEP_WANT_GRADIENT, some.data(), some.size(),
                            nullptr, gradients.data(), &exponent) == SOFTSTEP_OK);
  model.evaluate(std::span<const double>(weights), out, want_gradient, {some});
  CHECK(gradient == out.gradients[0].values);
}

TEST_CASE("Several queries a sample are pooled in C as in C++", "[c]") {
  const CProblem problem;
  const std::vector<double> weights = normal_values(144, 1.0, 5), shares{0.5, 0.2, 0.1, 0.1, 0.1};
  softstep_batch batch = problem.batch();
  batch.all_tokens_are_queries = 1;
  batch.query_index = nullptr;
  std::vector<double> all_shares;
  for (int i = 0; i < 8; ++i) all_shares.insert(all_shares.end(), shares.begin(), shares.end());
  batch.query_weights = all_shares.data();
  batch.n_query_weights = all_shares.size();
  const CModel c(batch);
  REQUIRE(c.status == SOFTSTEP_OK);
  softstep_evaluation evaluation{};
  evaluation.struct_size = sizeof evaluation;
  const std::array<const void*, 1> blocks{weights.data()};
  REQUIRE(softstep_evaluate(c.model, c.space, blocks.data(), SOFTSTEP_WANT_LOSS, nullptr, 0, &evaluation,
                            nullptr, nullptr) == SOFTSTEP_OK);
  BatchView<double> view = problem.data.view();
  view.all_tokens_are_queries = true;
  view.query_index = nullptr;
  view.query_weights = all_shares;
  AttentionModel<double> model(view);
  Evaluation<double> out;
  model.evaluate(std::span<const double>(weights), out, want_loss);
  CHECK(evaluation.loss == out.loss);
}

TEST_CASE("Training in C takes the steps of C++, saves, loads and calls back", "[c]") {
  const CProblem problem;
  const std::size_t size = 12 * 12;
  const CModel c(problem.batch());
  AttentionModel<double> model(problem.data.view());
  const MaxMarginResult limit = solve_max_margin(problem.data.view());

  std::vector<double> margin_weights(size);
  softstep_max_margin_result result{};
  result.struct_size = sizeof result;
  const softstep_batch batch = problem.batch();
  REQUIRE(softstep_solve_max_margin(&batch, nullptr, margin_weights.data(), &result) == SOFTSTEP_OK);
  CHECK(std::string(result.status) == "optimal");
  CHECK(result.norm == limit.norm);
  CHECK(margin_weights == limit.weights);

  struct Seen {
    int rows = 0;
    std::int64_t stop_at = -1;
    double last = 0.0;
  } seen;
  softstep_train_options options = train_options(200);
  options.rules = "polyak";
  options.reference = margin_weights.data();
  options.reference_size = size;
  options.user = &seen;
  options.trace = [](void* user, const softstep_trace_row* row) -> int32_t {
    auto* found = static_cast<Seen*>(user);
    ++found->rows;
    found->last = row->one_minus_cos;
    return found->stop_at >= 0 && row->step >= found->stop_at ? 1 : 0;
  };
  softstep_state* state = nullptr;
  softstep_train_summary summary{};
  summary.struct_size = sizeof summary;
  REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
  REQUIRE(softstep_train(c.model, state, &options, &summary) == SOFTSTEP_OK);

  TrainState<double> own = initial_state<double>(model);
  const TrainSummary expected = train<double>(
      model, own, {.rules = {parse_rule("polyak")}, .n_steps = 200, .references = {limit.weights}});
  CHECK(weights_of(state, size) == own.blocks[0]);
  CHECK(std::string(summary.status) == to_string(expected.status));
  CHECK(summary.steps == 200);
  CHECK(summary.last.one_minus_cos == expected.last.one_minus_cos);
  CHECK(seen.last == expected.last.one_minus_cos);
  CHECK(seen.rows > 10);
  std::vector<double> observed(size);
  REQUIRE(softstep_observe(c.model, state, 0, observed.data(), size) == SOFTSTEP_OK);
  CHECK(observed == own.blocks[0]);

  const Workplace place;
  const std::string path = place.path("state.safetensors");
  REQUIRE(softstep_state_save(path.c_str(), c.model, state, &options) == SOFTSTEP_OK);
  softstep_state* loaded = nullptr;
  REQUIRE(softstep_state_load(path.c_str(), c.model, &options, &loaded) == SOFTSTEP_OK);
  std::int64_t step = 0;
  REQUIRE(softstep_state_step(loaded, &step) == SOFTSTEP_OK);
  CHECK(step == 200);
  seen.stop_at = 210;
  REQUIRE(softstep_train(c.model, loaded, &options, &summary) == SOFTSTEP_OK);
  CHECK(std::string(summary.status) == "interrupted");
  CHECK(summary.steps >= 10);
  CHECK(summary.steps < 200);
  softstep_state_destroy(loaded);
  softstep_state_destroy(state);
}

TEST_CASE("A rule and a loss of the caller's, in C, get what built-in ones get", "[c]") {
  const CProblem problem;
  const std::size_t size = 12 * 12;
  softstep_own_loss loss{};
  loss.struct_size = sizeof loss;
  loss.name = "mine";
  loss.value = loss_value;
  loss.derivative = loss_slope;
  loss.is_decreasing = 1;
  softstep_attention_options with_loss{};
  with_loss.struct_size = sizeof with_loss;
  with_loss.own_loss = &loss;
  const CModel c(problem.batch(), &with_loss);
  REQUIRE(c.status == SOFTSTEP_OK);
  int calls = 0;
  const softstep_own_rule rule = own_rule(calls);
  softstep_train_options options = train_options(40);
  options.own_rule = &rule;
  const auto run = [&](bool in_two) {
    softstep_state* state = nullptr;
    REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
    options.n_steps = in_two ? 15 : 40;
    REQUIRE(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
    if (in_two) {
      const Workplace place;
      const std::string path = place.path("state.safetensors");
      REQUIRE(softstep_state_save(path.c_str(), c.model, state, &options) == SOFTSTEP_OK);
      softstep_state_destroy(state);
      REQUIRE(softstep_state_load(path.c_str(), c.model, &options, &state) == SOFTSTEP_OK);
      options.n_steps = 25;
      REQUIRE(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
    }
    std::vector<double> weights = weights_of(state, size);
    softstep_state_destroy(state);
    return weights;
  };
  const std::vector<double> whole = run(false);
  CHECK(calls == 40);
  CHECK(run(true) == whole);
  double norm = 0.0;
  for (const double w : whole) norm += w * w;
  CHECK(std::sqrt(norm) > 10.0);  // 40 steps of 1/2 and half of the one before

  softstep_own_rule bad = rule;
  bad.propose = failing_rule;
  options.own_rule = &bad;
  softstep_state* state = nullptr;
  REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
  CHECK(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_FAILED);
  CHECK(std::string(softstep_last_message()).find("heavy_ball") != std::string::npos);
  CHECK(weights_of(state, size) == std::vector<double>(size, 0.0));
  softstep_state_destroy(state);
}

TEST_CASE("A rule of the caller's has no memory before its first step, whatever rule came before", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  softstep_state* state = nullptr;
  REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
  softstep_train_options options = train_options(1);
  options.rules = "adam";
  REQUIRE(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
  std::vector<double> remembered;  // at each step; -1: null
  softstep_own_rule rule{};
  rule.struct_size = sizeof rule;
  rule.name = "counting";
  rule.user = &remembered;
  rule.n_memory = 1;
  rule.propose = [](void* user, const softstep_step_context*, const double* memory, double* next, double*,
                    softstep_step* step) {
    static_cast<std::vector<double>*>(user)->push_back(memory == nullptr ? -1.0 : *memory);
    *next = 7.0;
    step->along_gradient = 1;
    return int32_t{0};
  };
  options.own_rule = &rule;
  options.n_steps = 2;
  REQUIRE(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
  CHECK(remembered == std::vector<double>{-1.0, 7.0});
  // Another rule of the caller's with as much memory, and one with more.
  for (const std::size_t n_memory : {1, 2}) {
    const std::string name = "other-" + std::to_string(n_memory);
    rule.name = name.c_str();
    rule.n_memory = n_memory;
    remembered.clear();
    REQUIRE(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
    CHECK(remembered == std::vector<double>{-1.0, 7.0});
  }
  softstep_state_destroy(state);
}

TEST_CASE("A rule of the caller's that would remember too much is refused", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  softstep_state* state = nullptr;
  REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
  int calls = 0;
  softstep_own_rule rule = own_rule(calls);
  softstep_train_options options = train_options(1);
  options.own_rule = &rule;
  rule.n_memory = SIZE_MAX - 12 * 12 + 1;  // with one matrix: 2^64 numbers
  CHECK(failure(softstep_train(c.model, state, &options, nullptr), SOFTSTEP_BAD_ARGUMENT) ==
        "own_rule.n_memory");
  rule.n_memory = 1;
  rule.n_matrices = SIZE_MAX / 8;
  CHECK(failure(softstep_train(c.model, state, &options, nullptr), SOFTSTEP_BAD_ARGUMENT) ==
        "own_rule.n_matrices");
  CHECK(calls == 0);
  softstep_state_destroy(state);
}

TEST_CASE("Bad input has a code and names its argument; nothing is written", "[c]") {
  const CProblem problem;
  softstep_batch batch = problem.batch();
  softstep_model* model = nullptr;
  CHECK(failure(softstep_attention_model_create(nullptr, nullptr, &model), SOFTSTEP_BAD_ARGUMENT) == "batch");
  CHECK(failure(softstep_attention_model_create(&batch, nullptr, nullptr), SOFTSTEP_BAD_ARGUMENT) == "model");
  batch.struct_size = 0;
  CHECK(failure(softstep_attention_model_create(&batch, nullptr, &model), SOFTSTEP_BAD_ARGUMENT) ==
        "batch.struct_size");
  batch = problem.batch();
  batch.dim = 0;
  CHECK(failure(softstep_attention_model_create(&batch, nullptr, &model), SOFTSTEP_BAD_ARGUMENT) == "dim");
  batch = problem.batch();
  batch.type = 17;
  CHECK(failure(softstep_attention_model_create(&batch, nullptr, &model), SOFTSTEP_BAD_ARGUMENT) ==
        "batch.type");
  batch = problem.batch();
  softstep_attention_options options{};
  options.struct_size = sizeof options;
  options.key_query = "dense";
  CHECK(failure(softstep_attention_model_create(&batch, &options, &model), SOFTSTEP_BAD_ARGUMENT) ==
        "options.key_query");
  options.key_query = nullptr;
  options.n_threads = -2;
  CHECK(failure(softstep_attention_model_create(&batch, &options, &model), SOFTSTEP_BAD_ARGUMENT) ==
        "options.n_threads");
  CHECK(model == nullptr);

  // A struct of a newer header: as long as it says 0 where this library knows nothing, it will do.
  struct {
    softstep_attention_options known;
    std::uint64_t unknown;
  } newer{};
  newer.known.struct_size = sizeof newer;
  const CModel fine(batch, &newer.known);
  CHECK(fine.status == SOFTSTEP_OK);
  newer.unknown = 1;
  CHECK(failure(softstep_attention_model_create(&batch, &newer.known, &model), SOFTSTEP_BAD_ARGUMENT) ==
        "options.struct_size");

  const CModel other(batch);
  std::vector<double> weights(144, 0.0), gradient(144, 7.0);
  const std::array<const void*, 1> blocks{weights.data()}, null_block{nullptr};
  const std::array<void*, 1> gradients{gradient.data()};
  const auto evaluate = [&](softstep_workspace* space, const void* const* at, std::uint32_t want,
                            const size_t* samples, void* const* out) {
    return softstep_evaluate(fine.model, space, at, want, samples, samples == nullptr ? 0 : 1, nullptr, out,
                             nullptr);
  };
  const std::size_t too_far = 8;
  CHECK(failure(evaluate(other.space, blocks.data(), 1, nullptr, gradients.data()), SOFTSTEP_BAD_ARGUMENT) ==
        "workspace");
  CHECK(failure(evaluate(fine.space, null_block.data(), 1, nullptr, gradients.data()),
                SOFTSTEP_BAD_ARGUMENT) == "blocks[0]");
  CHECK(failure(evaluate(fine.space, blocks.data(), 1, nullptr, nullptr), SOFTSTEP_BAD_ARGUMENT) ==
        "gradients");
  CHECK(failure(evaluate(fine.space, blocks.data(), 99, nullptr, gradients.data()), SOFTSTEP_BAD_ARGUMENT) ==
        "want");
  CHECK(evaluate(fine.space, blocks.data(), 1, &too_far, gradients.data()) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(gradient == std::vector<double>(144, 7.0));
  CHECK(softstep_state_load("/nowhere/state", fine.model, nullptr, nullptr) == SOFTSTEP_BAD_ARGUMENT);
  softstep_state* state = nullptr;
  const softstep_train_options steps = train_options(1);
  CHECK(softstep_state_load("/nowhere/state", fine.model, &steps, &state) == SOFTSTEP_IO_ERROR);
  CHECK(state == nullptr);

  REQUIRE(softstep_state_create(fine.model, nullptr, &state) == SOFTSTEP_OK);
  softstep_train_options run = train_options(1);
  run.reference = weights.data();
  // Sizes that no array has; the second times 8 is 2^64.
  for (const std::size_t size : {std::size_t{0}, std::size_t{1} << 61, SIZE_MAX}) {
    INFO("reference_size " << size);
    run.reference_size = size;
    CHECK(failure(softstep_train(fine.model, state, &run, nullptr), SOFTSTEP_BAD_ARGUMENT) ==
          "options.reference_size");
  }
  run = train_options(1);
  run.trace_rows_per_decade = -2;
  CHECK(failure(softstep_train(fine.model, state, &run, nullptr), SOFTSTEP_BAD_ARGUMENT) ==
        "options.trace_rows_per_decade");
  softstep_state_destroy(state);
  // Nothing to destroy is nothing to do.
  softstep_model_destroy(nullptr);
  softstep_workspace_destroy(nullptr);
  softstep_state_destroy(nullptr);
  softstep_heads_state_destroy(nullptr);
}

TEST_CASE("Messages belong to the thread in which a function failed", "[c]") {
  CHECK(softstep_force_isa("nonsense") == SOFTSTEP_BAD_ARGUMENT);
  const std::string here = softstep_last_message();
  std::string there = "unset";
  std::thread([&] { there = softstep_last_message(); }).join();
  CHECK(there.empty());
  CHECK(softstep_last_message() == here);
  CHECK(here.find("nonsense") != std::string::npos);
  char isa[16];
  CHECK(softstep_active_isa(isa, sizeof isa) == SOFTSTEP_OK);
  CHECK(std::strlen(isa) > 0);
  CHECK(softstep_active_isa(isa, 1) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(softstep_abi() == SOFTSTEP_C_ABI);
  CHECK(softstep_require_abi(SOFTSTEP_C_ABI) == SOFTSTEP_OK);
  CHECK(softstep_require_abi(9999) == SOFTSTEP_BAD_ARGUMENT);
  const std::string mismatch = softstep_last_message();
  CHECK(mismatch.starts_with("abi: 9999 (the program was compiled with a header of that binary face"));
  CHECK(mismatch.find(version) != std::string::npos);
  CHECK(softstep_available_threads() == available_threads());
  CHECK(std::string(softstep_version()) == version);
}

TEST_CASE("A failure is kept for the thread also where no memory is left for its argument", "[c]") {
  const std::string longer(100, 'a');  // than what a string holds without memory
  CHECK(softstep_set_failure(SOFTSTEP_FAILED, longer.c_str(), "first") == SOFTSTEP_FAILED);
  CHECK(softstep_last_argument() == longer);
  // What is kept may be kept again.
  CHECK(softstep_set_failure(SOFTSTEP_FAILED, softstep_last_message(), softstep_last_argument()) ==
        SOFTSTEP_FAILED);
  CHECK(softstep_last_message() == longer);
  CHECK(std::string(softstep_last_argument()) == "first");
  if (!counts_allocations) return;
  failing_allocation = 1;
  softstep_status status = SOFTSTEP_OK;
  REQUIRE_NOTHROW(status = softstep_set_failure(SOFTSTEP_FAILED, longer.c_str(), "second"));
  CHECK(failing_allocation.exchange(0) == 0);
  CHECK(status == SOFTSTEP_FAILED);
  CHECK(std::string(softstep_last_message()) == "second");
  CHECK(std::string(softstep_last_argument()).empty());
}

TEST_CASE("More ranks than there can be are refused", "[c]") {
  softstep_own_ranks own{};
  own.struct_size = sizeof own;
  own.gather = [](void*, const void*, size_t, void*) -> const char* { return "gather"; };
  own.broadcast = [](void*, void*, size_t, size_t) -> const char* { return "broadcast"; };
  own.receive = [](void*, void*, size_t) -> const char* { return "receive"; };
  own.send = [](void*, const void*, size_t) -> const char* { return "send"; };
  own.flush = [](void*) -> const char* { return "flush"; };
  softstep_ranks* ranks = nullptr;
  for (const std::size_t size : {std::size_t{1} << 31, SIZE_MAX}) {
    own.size = size;
    CHECK(failure(softstep_ranks_create(&own, &ranks), SOFTSTEP_BAD_ARGUMENT) == "own.size");
    CHECK(std::string(softstep_last_message()).find(std::to_string(size)) != std::string::npos);
    CHECK(ranks == nullptr);
  }
  own.size = 2;
  CHECK(softstep_ranks_create(&own, &ranks) == SOFTSTEP_OK);
  softstep_ranks_destroy(ranks);
}

// Found by tests/fuzz/c_calls.cpp: a line break went from the word into the message.
TEST_CASE("a word with a line break is refused in one line by the C face", "[c]") {
  const CProblem problem;
  const softstep_batch batch = problem.batch();
  const auto is_one_line = [](softstep_status status) {
    const std::string message = softstep_last_message();
    INFO(message);
    CHECK(status == SOFTSTEP_BAD_ARGUMENT);
    CHECK(message.find('\n') == std::string::npos);
  };
  softstep_attention_options options{};
  options.struct_size = sizeof options;
  softstep_model* made = nullptr;
  for (const char* softstep_attention_options::*word :
       {&softstep_attention_options::key_query, &softstep_attention_options::loss,
        &softstep_attention_options::optimal_loss, &softstep_attention_options::isa}) {
    options.*word = "a\nb";
    is_one_line(softstep_attention_model_create(&batch, &options, &made));
    options.*word = nullptr;
  }
  const double spectrum[2] = {1.0, 2.0};
  softstep_in_context_options in_context{};
  in_context.struct_size = sizeof in_context;
  in_context.dim = in_context.n_examples = 2;
  in_context.spectrum = spectrum;
  in_context.form = "a\nb";
  is_one_line(softstep_in_context_model_create(&in_context, &made));
  // A struct that would end within one of its pointers.
  options.struct_size -= 4;
  is_one_line(softstep_attention_model_create(&batch, &options, &made));
}
