#include "softstep/loss.h"

#include <cmath>
#include <limits>

#include "core/data/quoted.h"
#include "core/losses/loss_of.h"
#include "softstep/error.h"

namespace softstep {

Scaled logistic_rise(double gamma, double d) {
  const Scaled back =
      loss_difference(Loss::logistic, gamma - d, loss_slope(Loss::logistic, gamma - d), {-d, 0.0});
  return {-back.mantissa, back.exponent};
}

const char* to_string(Loss loss) {
  switch (loss) {
    case Loss::logistic:
      return "logistic";
    case Loss::exponential:
      return "exponential";
    case Loss::squared:
      return "squared";
  }
  return "";
}

Loss parse_loss(const std::string& name) {
  for (const Loss loss : {Loss::logistic, Loss::exponential, Loss::squared})
    if (name == to_string(loss)) return loss;
  throw InvalidArgument("loss", data::quoted(name) + " is not known (known: logistic, exponential, squared)");
}

const char* to_string(OptimalLoss mode) {
  switch (mode) {
    case OptimalLoss::optimal:
      return "optimal";
    case OptimalLoss::selected:
      return "selected";
    case OptimalLoss::value:
      return "value";
    case OptimalLoss::zero:
      return "zero";
  }
  return "";
}

OptimalLoss parse_optimal_loss(const std::string& name) {
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero})
    if (name == to_string(mode)) return mode;
  throw InvalidArgument("optimal_loss",
                        data::quoted(name) + " is not known (known: optimal, selected, value, zero)");
}

Scaled LossFunction::second_derivative(double, double) const {
  return {std::numeric_limits<double>::quiet_NaN(), 0.0};
}

// A Taylor polynomial for a delta below 1e-8, or 1e-8 of m, if it errs less than the difference of two
// values: the polynomial by about its next term, (l''/l' d)^2 / 6, or l'/l d / 2 where l'' is not known, the
// difference by u l / (l' d), u = 2^-53. For a loss that falls like e^-m 1e-8 of a large m is no small delta.
// What m - d is rounded by goes into the difference.
Scaled LossFunction::difference(double m, Scaled delta, double target) const {
  if (delta.mantissa == 0.0) return {0.0, 0.0};
  const double d = delta.value();
  const Scaled slope = derivative(m, target), curvature = second_derivative(m, target),
               before = value(m, target);
  const double small = 1e-8 * std::fmax(1.0, std::fabs(m));
  const bool is_small = std::fabs(d) <= small;
  // To first order nothing changes, as where a squared hinge loss ends: the second is what there is, if the
  // loss is curved so on the side that m goes to. Where it is not, it has a kink, or the third is what there
  // is: values tell.
  if (slope.mantissa == 0.0 && is_small) {
    const double share = (second_derivative(m - std::copysign(small, d), target) / curvature).value();
    if (share > 0.5 && share < 2.0) return curvature * half_square(delta);
  }
  const double ratio = (curvature / slope).value(), share = std::fabs((slope / before).value() * d);
  const bool has_second = std::isfinite(ratio);
  const double of_polynomial = has_second ? ratio * d * (ratio * d) / 6.0 : share / 2.0;
  // Where delta, l(m) or what the one changes of the other is below the range of double, no difference of
  // values sees it.
  const bool is_unseen =
      d == 0.0 || (slope.mantissa != 0.0 && (share == 0.0 || (is_small && before.mantissa == 0.0)));
  if (is_unseen || (is_small && of_polynomial <= 0x1p-53 / share))
    return -(slope * delta) * Scaled{1.0 - (has_second ? 0.5 * ratio * d : 0.0), 0.0};
  const double moved = m - d, rounded_off = (m - moved) - d;
  const Scaled after = value(moved, target), slope_after = derivative(moved, target);
  const double top = std::fmax(after.exponent, before.exponent);
  const double correction =
      rounded_off == 0.0 ? 0.0 : slope_after.mantissa * rounded_off * std::exp(slope_after.exponent - top);
  return {after.mantissa * std::exp(after.exponent - top) -
              before.mantissa * std::exp(before.exponent - top) + correction,
          top};
}

namespace {

class BuiltIn final : public LossFunction {
 public:
  explicit BuiltIn(Loss loss) : loss_(loss, nullptr) {}
  std::string name() const override { return loss_.name(); }
  Scaled value(double m, double target) const override { return loss_.scaled(m, target); }
  Scaled derivative(double m, double target) const override { return -loss_.slope(m, target); }
  Scaled second_derivative(double m, double target) const override { return loss_.curvature(m, target); }
  Scaled difference(double m, Scaled delta, double target) const override {
    return loss_.difference(m, delta, target);
  }
  bool is_decreasing() const override { return loss_.is_decreasing(); }

 private:
  LossOf loss_;
};

class Correlation final : public LossFunction {
 public:
  std::string name() const override { return "correlation"; }
  Scaled value(double m, double) const override { return {-m, 0.0}; }
  Scaled derivative(double, double) const override { return {-1.0, 0.0}; }
  Scaled second_derivative(double, double) const override { return {0.0, 0.0}; }
  Scaled difference(double, Scaled delta, double) const override { return delta; }
  bool is_decreasing() const override { return true; }
  bool is_bounded_below() const override { return false; }
};

}  // namespace

std::shared_ptr<const LossFunction> make_loss(Loss loss) { return std::make_shared<BuiltIn>(loss); }

std::shared_ptr<const LossFunction> make_correlation_loss() { return std::make_shared<Correlation>(); }

}  // namespace softstep
