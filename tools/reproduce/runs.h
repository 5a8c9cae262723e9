#pragma once

// Runs behind the reproductions, with their traces.

#include <functional>
#include <string>
#include <vector>

#include "entry.h"
#include "softstep/softstep.h"

namespace softstep::program::reproduce {

/// A trace as columns.
struct Trace {
  std::vector<TraceRecord> rows;
  TrainSummary summary;
  /// One value of every row from step `first` on.
  std::vector<double> column(const std::function<double(const TraceRecord&)>& value,
                             std::int64_t first = 1) const;
  std::vector<double> steps(std::int64_t first = 1) const;
  const TraceRecord& last() const { return summary.last; }
};

/// A rule, its name in figures and data, and the rule that a broken system has in its place.
struct RuleUnderTest {
  const char *text, *label, *broken;
  RuleSettings settings(const Context& context) const { return parse_rule(context.broken ? broken : text); }
};

/// The attention layer with a fixed decoder from W = 0.
struct AttentionRun {
  const BatchView<double>* batch = nullptr;
  RuleSettings rule = {};
  std::int64_t n_steps = 1000;
  std::vector<double> reference = {};
  OptimalLoss optimal_loss = OptimalLoss::optimal;
  int trace_rows_per_decade = 20;
  double stop_one_minus_cos = 0.0;
  std::vector<double>* weights = nullptr;  ///< where the last ones go
  /// Takes in the gradients of the rows of the trace from step n_steps / 10 on; run_attention only.
  MarginCertificate* certificate = nullptr;
};
Trace run_attention(const AttentionRun& run);
/// Many of them, side by side where that pays (softstep/train_many.h); the traces in order.
std::vector<Trace> run_attentions(const std::vector<AttentionRun>& runs, int n_threads);

/// Whether one of the runs was stopped by a signal: what it says is then not complete.
bool interrupted_run(const std::vector<Trace>& traces);

/// A model of several blocks from a state; the state moves on.
Trace run_model(Model<double>& model, TrainState<double>& state, TrainerOptions options);

/// The set-up of arXiv 2308.16898 for tokens that training selects: 6 samples of 8 tokens on the sphere in 10
/// dimensions.
GeneratorOptions random_tokens(std::uint64_t seed);

/// W_mm; throws if there is none.
std::vector<double> max_margin_direction(const BatchView<double>& batch, int n_threads = 1);

/// Rows "label, seed, step, ..." of a trace, under trace_columns of run_report.h with `log10_loss` at the
/// end.
extern const std::vector<std::string> trace_file_columns;
void add_trace_rows(DataFile& file, const std::string& label, std::uint64_t seed, const Trace& trace);

}  // namespace softstep::program::reproduce
