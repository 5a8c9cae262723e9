#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/objective.h"
#include "softstep/step_rules.h"

namespace softstep {

/// One row of a trace: the state *before* step `step` is taken (the last row: after the last step).
struct TraceRecord {
  std::int64_t step = 0;
  double loss = 0.0;
  double log10_gap = 0.0;
  double weight_norm = 0.0;
  double log10_gradient_norm = 0.0;
  double step_length = 0.0;  ///< length of the step that led here (0 at the start)
  double one_minus_cos =
      std::numeric_limits<double>::quiet_NaN();  ///< against the reference; NaN without one
  double angle = std::numeric_limits<double>::quiet_NaN();
  double min_optimal_attention = 0.0;
  double log10_one_minus_optimal_attention = 0.0;
  double seconds = 0.0;     ///< spent in steps so far; measuring and tracing are not counted
  double log10_loss = 0.0;  ///< of L itself, right where it underflows
  /// Models alone: share of samples on the right side, and what is watched beside the weights (the decoder), in the model's
  /// order.
  double accuracy = std::numeric_limits<double>::quiet_NaN();
  struct Watched {
    double norm = 0.0, log10_gradient_norm = 0.0;
    double one_minus_cos = std::numeric_limits<double>::quiet_NaN();
  };
  std::vector<Watched> others;
};

enum class TrainStatus {
  not_run,
  max_iterations,    ///< took all the steps asked for
  converged,         ///< 1 - cos fell to stop_one_minus_cos
  stationary,        ///< the gradient is exactly zero
  gap_not_positive,  ///< the rule needs L > L* and L <= L*
  not_finite,        ///< the next step would not be finite; the weights are the last finite ones
  interrupted        ///< the callback asked to stop
};
SOFTSTEP_EXPORT const char* to_string(TrainStatus status);

/// How float32 weights take steps smaller than their rounding unit.
enum class MasterWeights {
  working,  ///< in the working type
  float64   ///< kept in double, rounded to the working type for the kernels
};

/// How a run keeps W. The trajectory is the same to rounding; the cost of a step is not. The span forms use that every
/// gradient is a sum of g_i z_i^T (query span) or x_it z_i^T (token span), for rules that move along the gradient itself.
enum class Form {
  automatic,   ///< the cheapest for the shape, the rule and the number of steps
  dense,       ///< W, dim x dim: 4 n d^2 + 4 n T d flops a step
  query_span,  ///< V = Z W^T and the queries' Gram matrix: 2 n^2 d + 4 n T d
  token_span   ///< scores and the Gram matrix of all tokens: 2 (n T)^2
};
SOFTSTEP_EXPORT const char* to_string(Form form);
/// "auto", "dense", "query-span" or "token-span"; throws InvalidArgument otherwise.
SOFTSTEP_EXPORT Form parse_form(const std::string& name);

/// What every run is told, whatever it trains.
struct SOFTSTEP_EXPORT RunOptions {
  std::int64_t n_steps = 1000;  ///< further steps to take from the state given
  MasterWeights master_weights = MasterWeights::working;
  /// Rows per factor of ten, log-spaced (every step while steps are few); 0: only the first and the last row.
  int trace_rows_per_decade = 20;
  /// Called for each traced row, in order; return false to stop.
  std::function<bool(const TraceRecord&)> trace;
  /// Asked about 10 times a second at most, between rows too; return false to stop. Gets the step just
  /// reached.
  std::function<bool(std::int64_t)> progress;
  /// Report in `time_to` when 1 - cos first falls to each of these (needs `reference`).
  std::vector<double> thresholds;
  /// Stop when 1 - cos falls to this (0: never; needs `reference`).
  double stop_one_minus_cos = 0.0;
  void validate(bool has_reference) const;  ///< throws InvalidArgument naming the field
};

struct SOFTSTEP_EXPORT TrainerOptions : RunOptions {
  RuleSettings rule;
  /// Throws InvalidArgument if the rule, or float64 master weights, cannot go with the span form asked for.
  Form form = Form::automatic;
  /// Direction to compare with (W_mm), dim*dim values or empty.
  std::vector<double> reference;
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// A run that can be put down and taken up: continuing gives the same bits as never having stopped.
template <class T>
struct TrainState {
  std::vector<T> weights;              ///< W, dim x dim
  std::vector<double> master_weights;  ///< W in double, with MasterWeights::float64; else empty
  RuleState rule_state;
  /// What a span form goes on from, beside W: empty after dense runs, not used if `weights` have been set to others since. W = base + sum_k coefficient_k (its token or row)
  /// z_i^T; `projected` is V or the scores, in the form's own layout.
  struct Span {
    Form form = Form::dense;
    std::vector<T> base, coefficients, projected;
  } span;
  std::int64_t step = 0;
  double seconds = 0.0;
};

struct TrainSummary {
  TrainStatus status = TrainStatus::not_run;
  Form form = Form::automatic;  ///< the one used
  std::int64_t steps = 0;       ///< steps taken by this call
  double seconds = 0.0;         ///< time in those steps
  double setup_seconds = 0.0;   ///< before them, to bring W into its form: Gram matrices, copies
  int threads_used = 1;  ///< train(Objective): asked for in a step; 1 where the work does not pay for more
  TraceRecord last;      ///< at the final weights
  struct Crossing {
    double threshold;
    std::int64_t step;
    double seconds;
  };
  std::vector<Crossing> time_to;  ///< thresholds reached, in the order given; others absent
};

/// A state at step 0. `weights`: dim * dim initial weights, row-major; null means zero. Throws
/// InvalidArgument where one is not finite in T.
template <class T>
SOFTSTEP_EXPORT TrainState<T> initial_state(const double* weights, std::size_t dim,
                                            MasterWeights master = MasterWeights::working);
/// N(0, std^2) initial weights from the documented random stream.
SOFTSTEP_EXPORT std::vector<double> normal_weights(std::size_t dim, double std, std::uint64_t seed);
/// The first `size` numbers of the same stream: for blocks of other shapes.
SOFTSTEP_EXPORT std::vector<double> normal_values(std::size_t size, double std, std::uint64_t seed);

/// Runs the rule from `state` for options.n_steps steps and leaves the state ready to go on.
/// Throws InvalidArgument for bad options; every other ending has a name in the summary.
template <class T>
SOFTSTEP_EXPORT TrainSummary train(Objective<T>& objective, TrainState<T>& state,
                                   const TrainerOptions& options);

/// Writes a state to / reads it from a safetensors file. Loading checks rule and dim. Throws InvalidArgument.
template <class T>
SOFTSTEP_EXPORT void save_state(const std::string& path, const TrainState<T>& state,
                                const RuleSettings& rule);
template <class T>
SOFTSTEP_EXPORT TrainState<T> load_state(const std::string& path, std::size_t dim, const RuleSettings& rule);

}  // namespace softstep
