#include "softstep/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "core/trainer/direction_watch.h"
#include "core/trainer/trace_schedule.h"
#include "core/trainer/trajectory.h"
#include "softstep/metrics.h"

namespace softstep {

const char* to_string(TrainStatus status) {
  switch (status) {
    case TrainStatus::not_run:
      return "not_run";
    case TrainStatus::max_iterations:
      return "max_iterations";
    case TrainStatus::converged:
      return "converged";
    case TrainStatus::stationary:
      return "stationary";
    case TrainStatus::gap_not_positive:
      return "gap_not_positive";
    case TrainStatus::not_finite:
      return "not_finite";
    case TrainStatus::interrupted:
      return "interrupted";
  }
  return "";
}

void TrainerOptions::validate() const {
  make_step_rule<double>(rule);
  if (n_steps < 0) throw InvalidArgument("n_steps", std::to_string(n_steps) + " (need 0 or more)");
  if (trace_rows_per_decade < 0)
    throw InvalidArgument("trace_rows_per_decade",
                          std::to_string(trace_rows_per_decade) + " (need 0 or more)");
  for (const double x : reference)
    if (!std::isfinite(x)) throw InvalidArgument("reference", "has an entry that is not finite");
  if (!reference.empty() && frobenius_norm(reference.data(), reference.size()) == 0.0)
    throw InvalidArgument("reference", "is zero and has no direction");
  for (const double x : thresholds)
    if (!(x > 0.0)) throw InvalidArgument("thresholds", std::to_string(x) + " (need positive numbers)");
  if (!(stop_one_minus_cos >= 0.0))
    throw InvalidArgument("stop_one_minus_cos",
                          std::to_string(stop_one_minus_cos) + " (need 0 or a positive number)");
  if (reference.empty() && (!thresholds.empty() || stop_one_minus_cos > 0.0))
    throw InvalidArgument("reference", "missing (thresholds and stop_one_minus_cos need one)");
}

namespace {

using Clock = std::chrono::steady_clock;

/// Time spent in steps; stopped while the trainer measures or reports.
class Stopwatch {
 public:
  explicit Stopwatch(double seconds) : seconds_(seconds) {}
  void start() {
    started_ = Clock::now();
    running_ = true;
  }
  void pause() {
    if (running_) seconds_ += std::chrono::duration<double>(Clock::now() - started_).count();
    running_ = false;
  }
  bool running() const { return running_; }
  double seconds() const { return seconds_; }

 private:
  double seconds_;
  bool running_ = false;
  Clock::time_point started_;
};

/// Asks options.progress about ten times a second, whatever a step costs, without reading the clock at every
/// step.
class ProgressTimer {
 public:
  bool due() {
    if (--countdown_ > 0) return false;
    const auto now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    stride_ = elapsed < 0.05 ? stride_ * 2 : (elapsed > 0.1 && stride_ > 1 ? stride_ / 2 : stride_);
    countdown_ = stride_;
    if (elapsed < 0.05) return false;
    last_ = now;
    return true;
  }

 private:
  std::int64_t stride_ = 1, countdown_ = 1;
  Clock::time_point last_ = Clock::now();
};

// The form asked for; else that of the state, if it is one in the middle of a run; else the cheapest.
template <class T>
Form chosen_form(const Layer<T>& layer, const TrainState<T>& state, const TrainerOptions& options,
                 const StepRule<T>& rule) {
  const bool may_span = rule.moves_along_gradient() && state.master_weights.empty();
  Form form = options.form;
  if (form == Form::automatic)
    form = !may_span ? Form::dense : state.step > 0 ? state.span.form : cheapest_form(layer);
  if (form != Form::dense && !may_span)
    throw InvalidArgument("form", std::string(to_string(form)) + " does not go with " +
                                      (state.master_weights.empty() ? "rule " + std::string(rule.name())
                                                                    : "float64 master weights") +
                                      " (dense does)");
  if (form == Form::token_span && layer.options.token_storage != StoredTokens::working)
    throw InvalidArgument("form", "token-span does not go with tokens stored as " +
                                      std::string(to_string(layer.options.token_storage)));
  return form;
}

template <class T>
class Run {
 public:
  Run(Objective<T>& objective, TrainState<T>& state, const TrainerOptions& options)
      : state_(state),
        options_(options),
        rule_(make_step_rule<T>(options.rule)),
        started_(Clock::now()),
        trajectory_(make_trajectory(chosen_form(Layer<T>::of(objective), state, options, *rule_),
                                    Layer<T>::of(objective), state)),
        schedule_(options.trace_rows_per_decade, state.step),
        watch_(state.seconds) {
    summary_.setup_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    if (!options.reference.empty()) direction_.emplace(options.reference);
    pending_ = options.thresholds;
    weight_bound_ = frobenius_norm(state.weights.data(), state.weights.size());
  }

  TrainSummary operator()() {
    const double seconds_before = state_.seconds;
    const std::int64_t first = state_.step, end = first + options_.n_steps;
    summary_.status = TrainStatus::max_iterations;
    summary_.form = trajectory_->form();
    bool go_on = report();
    while (go_on && state_.step < end) {
      if (!advance()) break;
      if (watching() && reached_target()) break;
      go_on = state_.step == end || !schedule_.due(state_.step) || report();
      if (go_on && progress_.due() && options_.progress) {
        watch_.pause();
        go_on = options_.progress(state_.step);
      }
    }
    watch_.pause();
    if (!go_on) summary_.status = TrainStatus::interrupted;
    state_.seconds = watch_.seconds();
    if (state_.step != summary_.last.step) report();
    summary_.steps = state_.step - first;
    summary_.seconds = state_.seconds - seconds_before;
    return summary_;
  }

 private:
  bool has_master() const { return !state_.master_weights.empty(); }
  bool watching() const { return !pending_.empty() || options_.stop_one_minus_cos > 0.0; }

  bool direction_at_most(double threshold) {
    if (direction_->surely_above(threshold)) return false;
    watch_.pause();
    trajectory_->write(state_);
    return has_master() ? direction_->at_most(state_.master_weights, threshold)
                        : direction_->at_most(state_.weights, threshold);
  }

  // One step; false (with the reason in the summary) if it cannot be taken.
  bool advance() {
    if (!watch_.running()) watch_.start();
    trajectory_->evaluate(now_, want_gradient | (rule_->needs_loss_gap() ? want_loss_gap : 0u));
    const auto shape = trajectory_->gradient_shape();
    const Step<T> step =
        std::isfinite(now_.gradient_norm)
            ? rule_->step({state_.step, now_.loss_gap, now_.gradient.data(), shape.n_rows, shape.n_cols,
                           now_.gradient_exponent, now_.gradient_norm, trajectory_->weights()},
                          state_.rule_state)
            : Step<T>{Step<T>::Outcome::moved, now_.gradient_norm, nullptr, now_.gradient_norm};
    if (step.outcome == Step<T>::Outcome::stationary) return end_with(TrainStatus::stationary);
    if (step.outcome == Step<T>::Outcome::gap_not_positive) return end_with(TrainStatus::gap_not_positive);
    // The weights stay finite if their norm does: checked before anything is written.
    const double bound = weight_bound_ + step.length;
    if (!(bound < static_cast<double>(std::numeric_limits<T>::max())) ||
        !(std::fabs(step.coefficient) < static_cast<double>(std::numeric_limits<T>::max())))
      return end_with(TrainStatus::not_finite);
    weight_bound_ = bound;
    trajectory_->move(step, state_.step);
    ++state_.step;
    step_length_ = step.length;
    return true;
  }

  bool end_with(TrainStatus status) {
    summary_.status = status;
    return false;
  }

  // Notes thresholds crossed; true if the run is to stop here.
  bool reached_target() {
    const double epsilon =
        has_master() ? std::numeric_limits<double>::epsilon() : std::numeric_limits<T>::epsilon();
    direction_->moved(step_length_, epsilon);
    const auto crossed = [&](double threshold) {
      if (!direction_at_most(threshold)) return false;
      summary_.time_to.push_back({threshold, state_.step, watch_.seconds()});
      return true;
    };
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(), crossed), pending_.end());
    if (!(options_.stop_one_minus_cos > 0.0) || !direction_at_most(options_.stop_one_minus_cos)) return false;
    summary_.status = TrainStatus::converged;
    return true;
  }

  // Measures the current weights into summary_.last and hands the row out.
  bool report() {
    watch_.pause();
    trajectory_->evaluate(now_, want_all);
    trajectory_->write(state_);
    TraceRecord& row = summary_.last;
    row = {};
    row.step = state_.step;
    row.loss = now_.loss;
    row.log10_gap = now_.loss_gap.log10();
    row.log10_gradient_norm = now_.gradient_norm_scaled().log10();
    row.step_length = step_length_;
    row.min_optimal_attention = now_.min_optimal_attention;
    row.log10_one_minus_optimal_attention = now_.log10_one_minus_optimal_attention;
    row.seconds = watch_.seconds();
    if (has_master())
      measure_weights(state_.master_weights, row);
    else
      measure_weights(state_.weights, row);
    return !options_.trace || options_.trace(row);
  }

  template <class W>
  void measure_weights(const std::vector<W>& w, TraceRecord& row) const {
    row.weight_norm = frobenius_norm(w.data(), w.size());
    if (options_.reference.empty()) return;
    const Direction direction = compare_direction(w.data(), options_.reference.data(), w.size());
    row.one_minus_cos = direction.one_minus_cos;
    row.angle = direction.angle;
  }

  TrainState<T>& state_;
  const TrainerOptions& options_;
  std::unique_ptr<StepRule<T>> rule_;
  Clock::time_point started_;
  std::unique_ptr<Trajectory<T>> trajectory_;
  TraceSchedule schedule_;
  Stopwatch watch_;
  ProgressTimer progress_;
  std::optional<DirectionWatch> direction_;
  std::vector<double> pending_;
  Evaluation<T> now_;
  TrainSummary summary_;
  double weight_bound_ = 0.0, step_length_ = 0.0;
};

}  // namespace

template <class T>
TrainState<T> initial_state(const double* weights, std::size_t dim, MasterWeights master) {
  const std::size_t size = dim * dim;
  TrainState<T> state;
  state.weights.assign(size, T(0));
  for (std::size_t k = 0; k < size && weights != nullptr; ++k) {
    state.weights[k] = static_cast<T>(weights[k]);
    if (!std::isfinite(state.weights[k]))
      throw InvalidArgument("weights", "entry " + std::to_string(k) + " is not finite");
  }
  if (master == MasterWeights::float64 && sizeof(T) < sizeof(double)) {
    if (weights != nullptr)
      state.master_weights.assign(weights, weights + size);
    else
      state.master_weights.assign(size, 0.0);
  }
  return state;
}

template <class T>
TrainSummary train(Objective<T>& objective, TrainState<T>& state, const TrainerOptions& options) {
  options.validate();
  const std::size_t size = objective.batch().dim * objective.batch().dim;
  if (state.weights.size() != size)
    throw InvalidArgument("state", "has " + std::to_string(state.weights.size()) +
                                       " weights (need dim x dim = " + std::to_string(size) + ")");
  if (!state.master_weights.empty() && state.master_weights.size() != size)
    throw InvalidArgument("state", "has " + std::to_string(state.master_weights.size()) +
                                       " master weights (need none or " + std::to_string(size) + ")");
  for (const T w : state.weights)
    if (!std::isfinite(w)) throw InvalidArgument("state", "has a weight that is not finite");
  if (!options.reference.empty() && options.reference.size() != size)
    throw InvalidArgument("reference", "has " + std::to_string(options.reference.size()) +
                                           " entries (need dim x dim = " + std::to_string(size) + ")");
  return Run<T>(objective, state, options)();
}

template TrainState<float> initial_state<float>(const double*, std::size_t, MasterWeights);
template TrainState<double> initial_state<double>(const double*, std::size_t, MasterWeights);
template TrainSummary train(Objective<float>&, TrainState<float>&, const TrainerOptions&);
template TrainSummary train(Objective<double>&, TrainState<double>&, const TrainerOptions&);

}  // namespace softstep
