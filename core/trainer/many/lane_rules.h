#pragma once

// The rules of runs side by side whose steps are computed entry by entry. What is by entry is a kernel's
// (simd/kernels/run_sign.h, run_adam.h, run_momentum.h); what is by run, coefficients and what is remembered
// beside the entries, is here. The formulas are those of core/step_rules/rules/.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/rules/adam.h"
#include "core/step_rules/rules/momentum.h"
#include "core/step_rules/rules/sign.h"
#include "core/trainer/many/lane_samples.h"
#include "softstep/trainer.h"

namespace softstep {

/// What the kernels are given of a run: fields of RunRuleArgs.
struct LaneCoefficients {
  double step = 0.0, unit = 0.0, unit_again = 1.0;
  double keep_mean = 1.0, keep_root = 1.0, rescale = 1.0, take_mean = 0.0, take_root = 0.0;
  double mean_share = 1.0, root_share = 1.0, eps = 0.0;
};

/// What a rule sees of an iteration: the gradient is not zero, and the gap positive where it is asked for.
struct LaneContext {
  std::int64_t iteration = 0;
  double gradient_exponent = 0.0, gradient_norm = 0.0;
  Scaled loss_gap = {};
  double largest_mean = 0.0, largest_root = 0.0;  ///< of what is remembered by entry
};

/// The rule of one run.
class LaneRuleOfRun {
 public:
  virtual ~LaneRuleOfRun() = default;
  /// Names of what is remembered by entry, as in RuleState; null: nothing.
  virtual const char* mean_name() const { return nullptr; }
  virtual const char* root_name() const { return nullptr; }
  /// Whether a step needs the loss gap, and that to be positive.
  virtual bool needs_loss_gap() const { return false; }
  /// Proposes a step; accept() remembers the one proposed last.
  virtual LaneCoefficients propose(const LaneContext& at) = 0;
  virtual void accept() {}
  /// What is remembered beside the entries.
  virtual void read(const RuleState&) {}
  virtual void write(RuleState&) const {}
  /// The direction of an entry, from what the kernel has remembered of it: where squares leave their range.
  virtual double direction(double gradient, double mean, double root, const LaneCoefficients& at) const = 0;

 protected:
  static double remembered_number(const RuleState& state, const char* name) {
    const auto found = state.values.find(name);
    return found == state.values.end() || found->second.empty() ? 0.0 : found->second[0];
  }
  // A factor in two parts, neither of which leaves the number range where their product with a mantissa does
  // not.
  static void split(double numerator, double denominator, LaneCoefficients& out) {
    const double whole = numerator / denominator;
    out.unit = whole;
    out.unit_again = 1.0;
    if (std::isnormal(whole)) return;
    const int power = std::max(-1000, std::min(1000, -std::ilogb(denominator)));
    out.unit = std::ldexp(1.0, power);
    out.unit_again = numerator / std::ldexp(denominator, power);
  }
};

class SignOfRun final : public LaneRuleOfRun {
 public:
  explicit SignOfRun(const RuleSettings& settings)
      : settings_(rules::read_settings("sign", rules::SignDescent::fields(), settings.options)) {}
  LaneCoefficients propose(const LaneContext& at) override {
    LaneCoefficients out;
    out.unit = 1.0;
    out.step = rules::scheduled(settings_.step_size, settings_.schedule_power, at.iteration);
    return out;
  }
  double direction(double gradient, double, double, const LaneCoefficients&) const override {
    return gradient > 0.0 ? 1.0 : gradient < 0.0 ? -1.0 : 0.0;
  }

 private:
  rules::SignDescent::Settings settings_;
};

class AdamOfRun final : public LaneRuleOfRun {
 public:
  explicit AdamOfRun(const RuleSettings& settings)
      : settings_(rules::read_settings("adam", rules::Adam::fields(), settings.options)),
        keep_root_(std::sqrt(settings_.beta2)),
        take_root_(std::sqrt(1.0 - settings_.beta2)),
        log_beta1_(std::log(settings_.beta1)),
        log_beta2_(std::log(settings_.beta2)) {}
  const char* mean_name() const override { return "adam.mean"; }
  const char* root_name() const override { return "adam.root_mean_square"; }
  LaneCoefficients propose(const LaneContext& at) override {
    LaneCoefficients out;
    const double largest = std::max(settings_.beta1 * at.largest_mean, keep_root_ * at.largest_root);
    const rules::CommonExponent common =
        rules::common_exponent(largest, exponent_, at.gradient_exponent, at.gradient_norm);
    next_exponent_ = common.exponent;
    out.step = rules::scheduled(settings_.step_size, settings_.schedule_power, at.iteration);
    split(common.unit, at.gradient_norm, out);
    out.keep_mean = settings_.beta1;
    out.keep_root = keep_root_;
    out.rescale = common.factor;
    out.take_mean = 1.0 - settings_.beta1;
    out.take_root = take_root_;
    const double count = count_ + 1.0;
    out.mean_share = 1.0 / share(count * log_beta1_);
    out.root_share = 1.0 / std::sqrt(share(count * log_beta2_));
    out.eps = settings_.eps == 0.0 ? 0.0 : rules::times_exp(settings_.eps, -next_exponent_);
    return out;
  }
  void accept() override {
    exponent_ = next_exponent_;
    count_ += 1.0;
  }
  void read(const RuleState& state) override {
    exponent_ = remembered_number(state, "adam.exponent");
    count_ = remembered_number(state, "adam.steps");
  }
  void write(RuleState& state) const override {
    state.values["adam.exponent"] = {exponent_};
    state.values["adam.steps"] = {count_};
  }
  double direction(double, double mean, double root, const LaneCoefficients& at) const override {
    const double denominator = root * at.root_share + at.eps;
    return denominator == 0.0 ? 0.0 : mean * at.mean_share / denominator;
  }

 private:
  // 1 - e^x; from here on it is rounded to 1.
  static double share(double x) { return x < -38.0 ? 1.0 : -std::expm1(x); }

  rules::Adam::Settings settings_;
  const double keep_root_, take_root_, log_beta1_, log_beta2_;
  double exponent_ = 0.0, next_exponent_ = 0.0, count_ = 0.0;
};

class MomentumOfRun final : public LaneRuleOfRun {
 public:
  explicit MomentumOfRun(const RuleSettings& settings)
      : settings_(rules::read_settings("momentum", rules::DualAcceleration::fields(), settings.options)) {}
  const char* mean_name() const override { return "momentum.v"; }
  bool needs_loss_gap() const override { return true; }
  LaneCoefficients propose(const LaneContext& at) override {
    LaneCoefficients out;
    out.step = settings_.step_size;
    const double apart = at.gradient_exponent - at.loss_gap.exponent, factor = std::exp(apart);
    if (std::isnormal(factor)) {
      split(factor, at.loss_gap.mantissa, out);
    } else {
      out.unit = std::exp(0.5 * apart);
      out.unit_again = out.unit / at.loss_gap.mantissa;
    }
    out.keep_mean = count_ / (count_ + 1.0);
    return out;
  }
  void accept() override { count_ += 1.0; }
  void read(const RuleState& state) override { count_ = remembered_number(state, "momentum.steps"); }
  void write(RuleState& state) const override { state.values["momentum.steps"] = {count_}; }
  double direction(double gradient, double mean, double, const LaneCoefficients& at) const override {
    return mean + (gradient == 0.0 ? 0.0 : gradient * at.unit * at.unit_again);
  }

 private:
  rules::DualAcceleration::Settings settings_;
  double count_ = 0.0;
};

/// Which of them a run's rules are; nothing where its steps cannot be taken side by side.
template <class T>
std::optional<LaneRule> lane_rule_of(const TrainerOptions& options, bool trains_decoder) {
  const bool all_along_gradient =
      std::all_of(options.rules.begin(), options.rules.end(), [](const auto& rule) {
        return rule.object == nullptr && make_step_rule<T>(rule)->moves_along_gradient();
      });
  if (all_along_gradient) return trains_decoder ? LaneRule::joint : LaneRule::along_gradient;
  if (trains_decoder || options.rules.size() != 1 || options.rules[0].object != nullptr) return std::nullopt;
  const std::string& name = options.rules[0].rule;
  if (name == "sign") return LaneRule::sign;
  if (name == "adam") return LaneRule::adam;
  if (name == "momentum") return LaneRule::momentum;
  return std::nullopt;
}

/// The rule of a run that lane_rule_of() knows, other than along_gradient.
inline std::unique_ptr<LaneRuleOfRun> make_lane_rule(LaneRule rule, const RuleSettings& settings) {
  if (rule == LaneRule::sign) return std::make_unique<SignOfRun>(settings);
  if (rule == LaneRule::adam) return std::make_unique<AdamOfRun>(settings);
  return std::make_unique<MomentumOfRun>(settings);
}

}  // namespace softstep
