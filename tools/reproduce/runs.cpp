#include "runs.h"

#include <memory>
#include <optional>
#include <stdexcept>

#include "interrupt.h"
#include "softstep/train_many.h"

namespace softstep::program::reproduce {

std::vector<double> Trace::column(const std::function<double(const TraceRecord&)>& value,
                                  std::int64_t first) const {
  std::vector<double> out;
  for (const TraceRecord& row : rows)
    if (row.step >= first) out.push_back(value(row));
  return out;
}

std::vector<double> Trace::steps(std::int64_t first) const {
  return column([](const TraceRecord& row) { return static_cast<double>(row.step); }, first);
}

namespace {

void watch(TrainerOptions& options, Trace& trace) {
  options.trace = [&trace, also = options.trace](const TraceRecord& row) {
    trace.rows.push_back(row);
    return !interrupted() && (!also || also(row));
  };
  options.progress = [](const Progress&) { return !interrupted(); };
}

// What a run consists of.
struct Made {
  Made(const AttentionRun& run, Trace& trace)
      : model(*run.batch, {.optimal_loss = run.optimal_loss}), state(initial_state(model)) {
    options.rules = {run.rule};
    options.n_steps = run.n_steps;
    options.references = {run.reference};
    options.trace_rows_per_decade = run.trace_rows_per_decade;
    options.stop_one_minus_cos = run.stop_one_minus_cos;
    watch(options, trace);
  }
  AttentionModel<double> model;
  TrainState<double> state;
  TrainerOptions options;
};

}  // namespace

Trace run_attention(const AttentionRun& run) {
  Trace trace;
  Made made(run, trace);
  if (run.certificate != nullptr)
    made.options.trace = [&, inner = made.options.trace,
                          scores = score_tokens(*run.batch)](const TraceRecord& row) {
      if (row.step >= run.n_steps / 10)
        add_attention_gradient(*run.certificate, *run.batch, scores,
                               std::span<const double>(made.state.blocks[0]));
      return inner(row);
    };
  trace.summary = train(made.model, made.state, made.options);
  if (run.weights != nullptr) *run.weights = made.state.blocks[0];
  return trace;
}

std::vector<Trace> run_attentions(const std::vector<AttentionRun>& runs, int n_threads) {
  std::vector<std::unique_ptr<Made>> made(runs.size());
  std::vector<Trace> traces(runs.size());
  train_many<double>({.n_runs = runs.size(),
                      .make = [&](std::size_t k) -> std::optional<ManyRun<double>> {
                        if (interrupted()) return std::nullopt;
                        made[k] = std::make_unique<Made>(runs[k], traces[k]);
                        return ManyRun<double>{&made[k]->model, &made[k]->state, &made[k]->options};
                      },
                      .done =
                          [&](std::size_t k, const TrainSummary& summary) {
                            traces[k].summary = summary;
                            if (runs[k].weights != nullptr) *runs[k].weights = made[k]->state.blocks[0];
                            made[k].reset();
                          }},
                     n_threads);
  return traces;
}

Trace run_model(Model<double>& model, TrainState<double>& state, TrainerOptions options) {
  Trace trace;
  watch(options, trace);
  trace.summary = train(model, state, options);
  return trace;
}

bool interrupted_run(const std::vector<Trace>& traces) {
  for (const Trace& trace : traces)
    if (trace.summary.status == TrainStatus::interrupted || trace.summary.status == TrainStatus::not_run)
      return true;
  return false;
}

GeneratorOptions random_tokens(std::uint64_t seed) {
  return {.generator = "random_unit", .n_samples = 6, .n_tokens = 8, .dim = 10, .seed = seed};
}

std::vector<double> max_margin_direction(const BatchView<double>& batch, int n_threads) {
  MaxMarginOptions options;
  options.n_threads = n_threads;
  options.progress = [](std::size_t, double, double) { return !interrupted(); };
  const MaxMarginResult solved = solve_max_margin(batch, options);
  if (solved.status != MaxMarginStatus::optimal)
    throw std::runtime_error(std::string("the max-margin problem of a reproduction is ") +
                             to_string(solved.status));
  return solved.weights;
}

const std::vector<std::string> trace_file_columns = {"label",
                                                     "seed",
                                                     "step",
                                                     "log10_loss",
                                                     "log10_gap",
                                                     "weight_norm",
                                                     "log10_gradient_norm",
                                                     "one_minus_cos",
                                                     "log10_one_minus_optimal_attention",
                                                     "seconds"};

void add_trace_rows(DataFile& file, const std::string& label, std::uint64_t seed, const Trace& trace) {
  if (file.columns.empty()) file.columns = trace_file_columns;
  for (const TraceRecord& row : trace.rows) {
    std::vector<std::string> cells = {label, std::to_string(seed), std::to_string(row.step)};
    for (const double value : {row.log10_loss, row.log10_gap, row.weight_norm, row.log10_gradient_norm,
                               row.one_minus_cos, row.log10_one_minus_optimal_attention, row.seconds})
      cells.push_back(shortest(value));
    file.rows.push_back(cells);
  }
}

}  // namespace softstep::program::reproduce
