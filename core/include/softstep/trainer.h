#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"
#include "softstep/step_rules.h"
#include "softstep/train_state.h"

namespace softstep {

/// One row of a trace: the state *before* step `step` is taken (the last row: after the last step).
struct TraceRecord {
  std::int64_t step = 0;             ///< steps taken before this row
  double loss = 0.0;                 ///< L
  double log10_gap = 0.0;            ///< log10(L - L*)
  double weight_norm = 0.0;          ///< Frobenius norm of the first observable
  double log10_gradient_norm = 0.0;  ///< of its gradient
  double step_length = 0.0;          ///< length of the step that led here (0 at the start)
  double one_minus_cos =
      std::numeric_limits<double>::quiet_NaN();             ///< against the reference; NaN without one
  double angle = std::numeric_limits<double>::quiet_NaN();  ///< the same in radians
  double min_optimal_attention = 0.0;                       ///< smallest p_i,opt; NaN where a model has none
  double log10_one_minus_optimal_attention = 0.0;           ///< of the largest 1 - p_i,opt
  double seconds = 0.0;       ///< spent in steps so far; measuring and tracing are not counted
  double log10_loss = 0.0;    ///< of L itself, right where it underflows
  double optimal_loss = 0.0;  ///< L* that the gap is measured from
  /// Share of samples on the right side; NaN where a model has none.
  double accuracy = std::numeric_limits<double>::quiet_NaN();
  /// What is watched beside the first observable (the decoder), in the model's order.
  struct Watched {
    double norm = 0.0;                                                ///< Frobenius
    double log10_gradient_norm = 0.0;                                 ///< of its gradient
    double one_minus_cos = std::numeric_limits<double>::quiet_NaN();  ///< NaN without a reference
  };
  std::vector<Watched> others = {};  ///< one for each observable but the first
};

/// What the progress callback is told.
struct Progress {
  std::int64_t step = 0;  ///< just reached
  double seconds = 0.0;   ///< spent in steps so far
  /// Brings the weights just reached into the TrainState that was given to train().
  std::function<void()> write_state = {};
};

/// How a run ended.
enum class TrainStatus {
  not_run,           ///< no run has been made
  max_iterations,    ///< took all the steps asked for
  converged,         ///< 1 - cos fell to stop_one_minus_cos
  stationary,        ///< the gradient is exactly zero
  gap_not_positive,  ///< the rule needs L > L* and L <= L*
  not_finite,        ///< the next step would not be finite; the weights are the last finite ones
  interrupted,       ///< a callback or the stop token asked to stop
  out_of_time        ///< max_seconds have been spent in steps
};
SOFTSTEP_EXPORT const char* to_string(TrainStatus status);

/// What the gradient of a model with several blocks is normalised by.
enum class Normalization {
  separate,  ///< each block by its own gradient: every block has its rule to itself
  joint      ///< all blocks by the norm of the whole gradient; for rules that move along the gradient
};
SOFTSTEP_EXPORT const char* to_string(Normalization normalization);
SOFTSTEP_EXPORT Normalization parse_normalization(const std::string& name);  ///< throws InvalidArgument

/// What train() is asked for.
struct SOFTSTEP_EXPORT TrainerOptions {
  /// One rule for all blocks, or one for each in the model's order.
  std::vector<RuleSettings> rules = {RuleSettings{}};
  std::int64_t n_steps = 1000;                            ///< further steps to take from the state given
  MasterWeights master_weights = MasterWeights::working;  ///< how float32 takes small steps
  /// Throws InvalidArgument if the model, the rule, or float64 master weights, cannot go with the span form
  /// asked for.
  Form form = Form::automatic;
  Normalization normalization = Normalization::separate;  ///< of several blocks
  /// Samples a step sees; 0: all. Every epoch goes once through all samples in an order of its own, drawn
  /// from batch_seed and the number of the epoch alone (a resumed run sees the same); its last batch is
  /// smaller where the size does not divide n.
  std::size_t batch_size = 0;
  std::uint64_t batch_seed = 0;  ///< of the order in mini-batches
  /// Directions to compare with (W_mm), in the order of Model::observables(); an empty one, or none, is not
  /// compared.
  std::vector<std::vector<double>> references = {};
  /// Rows per factor of ten, log-spaced (every step while steps are few); 0: only the first and the last row.
  int trace_rows_per_decade = 20;
  /// Called for each traced row, in order; return false to stop. The TrainState given to train() holds the
  /// weights of the row. Where it throws, the exception leaves train(), and the state is that of the row.
  std::function<bool(const TraceRecord&)> trace = {};
  /// Asked about 10 times a second at most, between rows too; return false to stop. Where it throws, the
  /// exception leaves train(), and the state is that of the step just reached.
  std::function<bool(const Progress&)> progress = {};
  /// Called where a checkpoint is due: at step numbers that are multiples of checkpoint_steps, when
  /// checkpoint_seconds have gone by since the last one (looked at about 10 times a second), and at the end
  /// of a run that has taken steps since; however it ends. The TrainState given to train() holds the weights
  /// of the step. Where it throws, the exception leaves train() as from `progress`. softstep/checkpoints.h
  /// keeps them on the disk.
  std::function<void(const Progress&)> checkpoint = {};
  std::int64_t checkpoint_steps = 0;  ///< 0: no number of steps makes one due
  /// By the clock of the world, which goes on while a run measures.
  double checkpoint_seconds = std::numeric_limits<double>::infinity();
  /// Looked at before every step.
  std::stop_token stop = {};
  /// Stop (out_of_time) when this much has been spent in steps of this call; looked at about 10 times a
  /// second.
  double max_seconds = std::numeric_limits<double>::infinity();
  /// Report in `time_to` when 1 - cos first falls to each of these (needs a reference).
  std::vector<double> thresholds = {};
  /// Stop when 1 - cos falls to this (0: never; needs a reference).
  double stop_one_minus_cos = 0.0;

  /// Throws InvalidArgument naming the field: whatever can be told without a model.
  void validate() const;
  /// Rule of block k. Throws InvalidArgument where there is none.
  const RuleSettings& rule(std::size_t k) const;
};

/// What a run did.
struct SOFTSTEP_EXPORT TrainSummary {
  TrainStatus status = TrainStatus::not_run;  ///< how it ended
  Form form = Form::automatic;                ///< the one used
  std::int64_t steps = 0;                     ///< steps taken by this call
  /// Of these, how many were shorter than the rounding of adding them to the weights (u |W|, u of what is
  /// kept: 2^-48 with float32, 2^-53 with float64 or float64 master weights): the weights do not follow such
  /// steps. With several blocks: in every block that moved.
  std::int64_t steps_below_rounding = 0;
  double seconds = 0.0;        ///< time in those steps
  double setup_seconds = 0.0;  ///< before them, to bring W into its form: Gram matrices, copies
  int threads_used = 1;        ///< asked for in a step; 1 where the work does not pay for more
  TraceRecord last = {};       ///< at the final weights
  /// Where 1 - cos first fell to a threshold.
  struct Crossing {
    double threshold;   ///< as given
    std::int64_t step;  ///< the first step at or below it
    double seconds;     ///< spent in steps until then
  };
  std::vector<Crossing> time_to = {};  ///< thresholds reached, in the order given; others absent

  /// Everything above in words, a line each.
  std::string report() const;
};

/// Runs the rules from `state` for options.n_steps steps and leaves the state ready to go on. Throws
/// InvalidArgument for bad options (a rule that does not go with joint normalisation, a batch larger than n,
/// a reference of the wrong size); every other ending has a name in the summary. A step that is refused
/// changes nothing, neither weights nor what rules remember. With batches smaller than n, an exactly zero
/// gradient or a gap that is not positive on one batch is a step of length zero, not an end.
template <NumberType T>
SOFTSTEP_EXPORT TrainSummary train(const Model<T>& model, TrainState<T>& state,
                                   const TrainerOptions& options);

}  // namespace softstep
