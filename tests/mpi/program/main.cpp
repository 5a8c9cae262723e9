// Runs over MPI against the same runs in one process, bit for bit: mpirun -n K softstep_mpi_tests. The
// communicator is one of the caller's own, with its ranks in another order than MPI_COMM_WORLD has them.
//
// --plant order or last-bit feeds the comparison a wrong answer, which it must find: exit code 1.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mpi/program/max_margin.h"
#include "mpi/program/planted.h"
#include "softstep/mpi.h"
#include "softstep/softstep.h"

namespace softstep::test {
namespace {

struct Case {
  std::string name, rule;
  AttentionOptions layer = {};
  TrainerOptions trainer = {};
  std::string queries = {};  // several, all
  bool ragged = false;
  std::size_t dim = 104;
};

template <class T>
Dataset<T> data_of(const Case& a) {
  DatasetParts<T> parts;
  const std::size_t n = 37, n_tokens = 20;
  const auto base = generate({.n_samples = n, .n_tokens = n_tokens, .dim = a.dim, .seed = 5});
  const BatchView<double>& view = base.view();
  parts.n_samples = n;
  parts.dim = a.dim;
  if (!a.ragged) parts.n_tokens = n_tokens;
  if (a.ragged) parts.offsets.push_back(0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t n_of = a.ragged ? 3 + i % (n_tokens - 3) : n_tokens;
    for (std::size_t k = 0; k < n_of * a.dim; ++k) parts.tokens.push_back(static_cast<T>(view.sample(i)[k]));
    if (a.ragged) parts.offsets.push_back(parts.offsets.back() + static_cast<std::int64_t>(n_of));
    parts.labels.push_back(view.labels[i]);
    if (a.queries != "several") continue;
    if (i == 0) parts.query_offsets.push_back(0);
    const std::size_t m = 1 + i % 3;
    for (std::size_t q = 0; q < m; ++q) {
      parts.query_index.push_back(static_cast<std::int64_t>(q));
      parts.query_weights.push_back(T(1) + static_cast<T>(q));
    }
    parts.query_offsets.push_back(parts.query_offsets.back() + static_cast<std::int64_t>(m));
  }
  parts.all_tokens_are_queries = a.queries == "all";
  for (std::size_t k = 0; k < a.dim; ++k) parts.decoder.push_back(static_cast<T>(view.decoder[k]));
  return make_dataset<T>(std::move(parts));
}

struct Ended {
  std::vector<unsigned char>
      bytes;  // of blocks, what is beside them, memories, and every number of the trace
  TrainStatus status = TrainStatus::not_run;
  std::int64_t steps = 0;
};

template <class T>
Ended run(const Case& a, const BatchView<T>& batch, std::shared_ptr<Ranks> ranks) {
  AttentionOptions layer = a.layer;
  layer.ranks = std::move(ranks);
  const AttentionModel<T> model(batch, layer);
  TrainState<T> state = normal_state(model, 0.05, 7);
  TrainerOptions options = a.trainer;
  options.rules = {parse_rule(a.rule)};
  if (a.layer.train_decoder && options.normalization == Normalization::separate)
    options.rules = {parse_rule(a.rule), parse_rule("ngd:step-size=0.1")};
  if (!a.layer.train_decoder && a.layer.key_query == KeyQuery::combined && options.batch_size == 0)
    options.form = Form::dense;
  Ended out;
  options.trace = [&](const TraceRecord& row) {
    append(out.bytes, std::vector<double>{row.loss, row.log10_gap, row.weight_norm, row.log10_gradient_norm,
                                          row.step_length, row.min_optimal_attention,
                                          row.log10_one_minus_optimal_attention, row.log10_loss,
                                          row.optimal_loss, row.accuracy});
    return true;
  };
  // In two parts, as a run that goes on.
  options.n_steps = 3;
  out.steps = train(model, state, options).steps;
  options.n_steps = 4;
  const TrainSummary rest = train(model, state, options);
  out.steps += rest.steps;
  out.status = rest.status;
  for (const auto& block : state.blocks) append(out.bytes, block);
  for (const auto& block : state.remainders) append(out.bytes, block);
  for (const auto& block : state.masters) append(out.bytes, block);
  for (const RuleState& memory : state.rule_states)
    for (const auto& [name, values] : memory.values) append(out.bytes, values);
  const std::string identity = model.identity();
  append(out.bytes, identity);
  return out;
}

// A run that ends at once compares nothing.
bool has_run(const Ended& ended) { return ended.steps >= 3; }

template <class T>
bool is_same(const Case& a, const std::shared_ptr<MpiRanks>& mpi, const std::string& plant) {
  const Dataset<T> data = data_of<T>(a);
  const Ended alone = run<T>(a, data.view(), nullptr);
  std::vector<std::int64_t> query_offsets;
  const BatchView<T> part =
      part_of(data.view(), share_of_rank(data.view().n_samples, mpi->rank(), mpi->size()), query_offsets);
  std::shared_ptr<Ranks> ranks = mpi;
  if (!plant.empty()) ranks = std::make_shared<Planted>(mpi, plant, sizeof(T));
  const Ended together = run<T>(a, part, ranks);
  const bool same = has_run(alone) && alone.status == together.status && alone.bytes == together.bytes;
  if (!same)
    std::printf("rank %zu of %zu: %s, %s: not the bits of one process (%s, %s)\n", mpi->rank(), mpi->size(),
                a.name.c_str(), sizeof(T) == sizeof(float) ? "float" : "double", to_string(alone.status),
                to_string(together.status));
  return same;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* rule :
       {"gd:step-size=20", "ngd:step-size=1", "polyak", "adam", "momentum", "sign", "muon"})
    all.push_back({.name = rule, .rule = rule});
  for (const char* rule : {"gd:step-size=20", "ngd:step-size=1", "polyak", "adam"}) {
    all.push_back({.name = std::string(rule) + " mini-batch", .rule = rule, .trainer = {.batch_size = 8}});
    all.push_back({.name = std::string(rule) + " joint",
                   .rule = rule,
                   .layer = {.train_decoder = true, .optimal_loss = OptimalLoss::zero}});
  }
  all.push_back({.name = "joint by the whole gradient, mini-batch",
                 .rule = "ngd:step-size=1",
                 .layer = {.train_decoder = true, .optimal_loss = OptimalLoss::zero},
                 .trainer = {.normalization = Normalization::joint, .batch_size = 5}});
  all.push_back({.name = "batches of 2, which some ranks have nothing of",
                 .rule = "polyak",
                 .trainer = {.batch_size = 2}});
  for (const std::size_t batch : {std::size_t{0}, std::size_t{7}}) {
    all.push_back({.name = "factored",
                   .rule = "ngd:step-size=1",
                   .layer = {.key_query = KeyQuery::factored, .rank = 5},
                   .trainer = {.batch_size = batch}});
    all.push_back({.name = "prompt",
                   .rule = "polyak",
                   .layer = {.key_query = KeyQuery::prompt},
                   .trainer = {.batch_size = batch}});
    for (const char* queries : {"several", "all"})
      all.push_back({.name = std::string("queries: ") + queries,
                     .rule = "polyak",
                     .trainer = {.batch_size = batch},
                     .queries = queries});
  }
  all.push_back({.name = "exponential loss", .rule = "polyak", .layer = {.loss = Loss::exponential}});
  all.push_back({.name = "L* of the tokens selected",
                 .rule = "gd:step-size=20",
                 .layer = {.optimal_loss = OptimalLoss::selected}});
  all.push_back({.name = "ragged", .rule = "ngd:step-size=1", .ragged = true, .dim = 240});
  all.push_back({.name = "three threads", .rule = "ngd:step-size=1", .layer = {.n_threads = 3}, .dim = 240});
  all.push_back({.name = "to saturation", .rule = "ngd:step-size=500"});
  return all;
}

int run_all(const std::string& plant) {
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm turned = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, 0, size - rank, &turned);
  const auto mpi = std::make_shared<MpiRanks>(turned);
  MPI_Comm_free(&turned);
  int n_wrong = 0, n = 0;
  for (const Case& a : cases()) {
    n += 2;
    if (!is_same<float>(a, mpi, plant)) ++n_wrong;
    if (!is_same<double>(a, mpi, plant)) ++n_wrong;
  }
  const Counts solved = solve_all(mpi, plant);
  n += solved.n;
  n_wrong += solved.n_wrong;
  int n_wrong_of_all = 0;
  MPI_Allreduce(&n_wrong, &n_wrong_of_all, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0) std::printf("%d runs on %d ranks, %d differ\n", n, size, n_wrong_of_all);
  return n_wrong_of_all == 0 ? 0 : 1;
}

}  // namespace
}  // namespace softstep::test

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  const std::string plant = argc == 3 && std::string(argv[1]) == "--plant" ? argv[2] : "";
  int code = 2;
  try {
    code = softstep::test::run_all(plant);
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    std::fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  MPI_Finalize();
  return code;
}
