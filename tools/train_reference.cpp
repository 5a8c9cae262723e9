#include "train_reference.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "job.h"
#include "max_margin_progress.h"
#include "run_report.h"
#include "softstep/error.h"
#include "softstep/metrics.h"

namespace softstep::program {

namespace {

// Of W trained alone, with the solver's progress.
template <class T>
ModelReferences solve_alone(const BatchView<T>& batch, int n_threads) {
  MaxMarginOptions solver;
  solver.n_threads = n_threads;
  solver.ranks = ranks_of_job();
  ProgressLine line;
  MaxMarginResult solved = solve_with_progress(batch, solver, line);
  ModelReferences out;
  out.json = reference_json(solved);
  if (!is_direction(solved)) {
    out.notes.push_back(
        fmt::format("no direction to compare with: the max-margin problem is {}", to_string(solved.status)));
    return out;
  }
  const char* problem = solved.status == MaxMarginStatus::max_sweeps
                            ? "the max-margin solver ran out of sweeps"
                        : solved.status == MaxMarginStatus::at_rounding
                            ? "rounding keeps the max-margin solver from its tolerance"
                            : nullptr;
  if (problem != nullptr)
    out.notes.push_back(
        fmt::format("{}: its direction has a duality gap of {}", problem, rounded(solved.duality_gap, 2)));
  out.directions.push_back(std::move(solved.weights));
  return out;
}

ModelReferences from_file(const std::string& file, std::size_t dim) {
  ModelReferences out;
  out.directions.push_back(load_weights(file, dim));
  const double norm = frobenius_norm(out.directions[0]);
  if (!(norm > 0.0))
    throw InvalidArgument("--reference", fmt::format("{} is zero: it has no direction", file));
  out.json = Json{{"status", "file"}, {"file", file}, {"norm", number(norm)}};
  return out;
}

[[noreturn]] void refuse_file(const TrainOptions& options) {
  throw InvalidArgument(
      "--reference",
      fmt::format("{} is a file of W; with other models than W alone solve or none", options.reference));
}

}  // namespace

template <class T>
ModelReferences find_references(const TrainOptions& options, const BatchView<T>& batch, int n_threads) {
  const bool alone = !options.model.any();
  if (options.reference == "none") {
    ModelReferences none;
    if (alone) none.json = nullptr;
    return none;
  }
  if (options.reference == "solve")
    return alone ? solve_alone(batch, n_threads) : solve_references(options.model, batch, n_threads);
  ModelReferences out;
  all_or_none(ranks_of_job().get(), [&] {
    if (!alone) refuse_file(options);
    out = from_file(options.reference, batch.dim);
  });
  return out;
}

ModelReferences find_class_references(const TrainOptions& options, const MulticlassData& data,
                                      int n_threads) {
  if (options.reference_option->count() == 0 || options.reference == "none") return {};
  if (options.reference != "solve") refuse_file(options);
  return solve_class_references(data, n_threads);
}

template ModelReferences find_references(const TrainOptions&, const BatchView<float>&, int);
template ModelReferences find_references(const TrainOptions&, const BatchView<double>&, int);

}  // namespace softstep::program
