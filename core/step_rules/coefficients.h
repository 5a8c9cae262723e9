#pragma once

// Coefficients of the gradient's mantissa that Polyak's step and its relatives share.

#include <cmath>
#include <limits>

#include "softstep/step_rules.h"

namespace softstep::rules {

/// e^exponent as factors that a number is multiplied by one after the other, so that the product is right
/// where e^exponent alone is no normal number.
struct ExpInParts {
  double first, part;
  explicit ExpInParts(double exponent) : first(std::exp(exponent)), part(1.0) {
    // A product that is a number has |exponent| < 1455: a quarter of that is none that leaves the range, and
    // the products of three quarters lie between the number and the last one.
    if (!std::isnormal(first)) first = part = std::exp(0.25 * exponent);
  }
  bool is_whole() const { return part == 1.0; }
  double times(double x) const { return x * first * part * part * part; }
};

/// x e^exponent, right where e^exponent alone is no normal number.
inline double times_exp(double x, double exponent) { return ExpInParts(exponent).times(x); }

/// (L - L*) / (c |G|^2) on the mantissa G': (gap' e^(E - C)) / (c ||G'||^2), divided twice so that ||G'||^2
/// is never formed.
template <class T>
double polyak_coefficient(const StepContext<T>& at, double factor) {
  return times_exp(at.loss_gap.mantissa / at.gradient_norm / at.gradient_norm / factor,
                   at.loss_gap.exponent - at.gradient_exponent);
}

/// At most `cap`, a bound on the coefficient of G; infinite: none.
inline double capped(double coefficient, double cap, double gradient_exponent) {
  const double largest = times_exp(cap, gradient_exponent);
  return coefficient > largest ? largest : coefficient;
}

}  // namespace softstep::rules
