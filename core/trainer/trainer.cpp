#include "softstep/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/data/text.h"
#include "core/trainer/course.h"
#include "core/trainer/direction_watch.h"
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

void check_reference(const char* name, const std::vector<double>& reference) {
  for (const double x : reference)
    if (!std::isfinite(x)) throw InvalidArgument(name, "has an entry that is not finite");
  if (!reference.empty() && frobenius_norm(reference.data(), reference.size()) == 0.0)
    throw InvalidArgument(name, "is zero and has no direction");
}

void RunOptions::validate(bool has_reference) const {
  if (n_steps < 0) throw InvalidArgument("n_steps", std::to_string(n_steps) + " (need 0 or more)");
  if (trace_rows_per_decade < 0)
    throw InvalidArgument("trace_rows_per_decade",
                          std::to_string(trace_rows_per_decade) + " (need 0 or more)");
  for (const double x : thresholds)
    if (!(x > 0.0)) throw InvalidArgument("thresholds", data::number_text(x) + " (need positive numbers)");
  if (!(stop_one_minus_cos >= 0.0))
    throw InvalidArgument("stop_one_minus_cos",
                          data::number_text(stop_one_minus_cos) + " (need 0 or a positive number)");
  if (!has_reference && (!thresholds.empty() || stop_one_minus_cos > 0.0))
    throw InvalidArgument("reference", "missing (thresholds and stop_one_minus_cos need one)");
}

void TrainerOptions::validate() const {
  make_step_rule<double>(rule);
  check_reference("reference", reference);
  RunOptions::validate(!reference.empty());
}

namespace {

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

// The attention layer with a fixed decoder, W in one of its forms.
template <class T>
class AttentionCourse final : public Course {
 public:
  AttentionCourse(Objective<T>& objective, TrainState<T>& state, const TrainerOptions& options)
      : state_(state),
        reference_(options.reference),
        rule_(make_step_rule<T>(options.rule)),
        trajectory_(make_trajectory(chosen_form(Layer<T>::of(objective), state, options, *rule_),
                                    Layer<T>::of(objective), state, rule_->moves_along_gradient())),
        rule_state_(laid_out(state.rule_state)),
        direction_(options.reference),
        weight_bound_(frobenius_norm(state.weights.data(), state.weights.size())) {}

  const Trajectory<T>& trajectory() const { return *trajectory_; }

  Advance advance(std::int64_t iteration) override {
    trajectory_->evaluate(now_, want_gradient | (rule_->needs_loss_gap() ? want_loss_gap : 0u));
    if (!std::isfinite(now_.gradient_norm)) return {TrainStatus::not_finite, 0.0};
    const auto shape = trajectory_->gradient_shape();
    const Step<T> step =
        rule_->step({iteration, now_.loss_gap, now_.gradient.data(), shape.n_rows, shape.n_cols,
                     now_.gradient_exponent, now_.gradient_norm, trajectory_->weights()},
                    rule_state_);
    const TrainStatus status = status_of(step, weight_bound_);
    if (status == TrainStatus::max_iterations) trajectory_->move(step, iteration);
    return {status, step.length};
  }

  void measure(TraceRecord& row) override {
    trajectory_->evaluate(now_, want_all);
    trajectory_->write(state_);
    state_.rule_state = laid_out(rule_state_);
    row.loss = now_.loss;
    row.log10_loss = std::log10(now_.loss);
    row.log10_gap = now_.loss_gap.log10();
    row.log10_gradient_norm = now_.gradient_norm_scaled().log10();
    row.min_optimal_attention = now_.min_optimal_attention;
    row.log10_one_minus_optimal_attention = now_.log10_one_minus_optimal_attention;
    if (has_master())
      measure_weights(state_.master_weights, row);
    else
      measure_weights(state_.weights, row);
  }

  void moved(double length) override {
    direction_.moved(length, has_master() ? std::numeric_limits<double>::epsilon()
                                          : static_cast<double>(std::numeric_limits<T>::epsilon()));
  }
  bool surely_above(double threshold) const override { return direction_.surely_above(threshold); }
  bool direction_at_most(double threshold) override {
    trajectory_->write(state_);
    return has_master() ? direction_.at_most(state_.master_weights, threshold)
                        : direction_.at_most(state_.weights, threshold);
  }

 private:
  bool has_master() const { return !state_.master_weights.empty(); }

  // Rules see matrices as the trajectory has them, a state keeps them as its weights: it can be taken up under another layout.
  RuleState laid_out(const RuleState& from) const {
    RuleState to;
    for (const auto& [name, values] : from.values)
      to.values[name] = values.size() == state_.weights.size() ? trajectory_->laid_out(values) : values;
    return to;
  }

  template <class W>
  void measure_weights(const std::vector<W>& w, TraceRecord& row) const {
    row.weight_norm = frobenius_norm(w.data(), w.size());
    if (reference_.empty()) return;
    const Direction direction = compare_direction(w.data(), reference_.data(), w.size());
    row.one_minus_cos = direction.one_minus_cos;
    row.angle = direction.angle;
  }

  TrainState<T>& state_;
  const std::vector<double>& reference_;
  std::unique_ptr<StepRule<T>> rule_;
  std::unique_ptr<Trajectory<T>> trajectory_;
  RuleState rule_state_;
  DirectionWatch direction_;
  Evaluation<T> now_;
  double weight_bound_;
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
  const auto started = std::chrono::steady_clock::now();
  AttentionCourse<T> course(objective, state, options);
  const double setup = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  TrainSummary summary = run(course, options, state.step, state.seconds);
  summary.form = course.trajectory().form();
  summary.threads_used = course.trajectory().n_threads();
  summary.setup_seconds = setup;
  return summary;
}

template TrainState<float> initial_state<float>(const double*, std::size_t, MasterWeights);
template TrainState<double> initial_state<double>(const double*, std::size_t, MasterWeights);
template TrainSummary train(Objective<float>&, TrainState<float>&, const TrainerOptions&);
template TrainSummary train(Objective<double>&, TrainState<double>&, const TrainerOptions&);

}  // namespace softstep
