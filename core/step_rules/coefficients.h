#pragma once

// Coefficients of the gradient's mantissa that Polyak's step and its relatives share.

#include <cmath>

#include "softstep/step_rules.h"

namespace softstep::rules {

/// x e^exponent, right where e^exponent alone is no normal number.
inline double times_exp(double x, double exponent) { return Scaled{x, exponent}.value(); }

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
