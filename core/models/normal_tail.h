#pragma once

// The normal distribution and its density, with a common exponent where both underflow.

#include <cmath>

namespace softstep {

/// Phi(m) = probability e^exponent, phi(m) = density e^exponent; exponent = -m^2 / 2 for m < 0, else 0.
/// For m < -6, where m Phi(m) cancels all but 1 / m^2 of phi(m), phi(m) + m Phi(m) = mean e^exponent > 0;
/// else mean is 0.
struct NormalTail {
  double probability, density, exponent, mean = 0.0;
};

/// e^(x^2) erfc(x) for x >= 0. Relative error 2 u (x^2 + 8) below 26, where x^2 is rounded; from there the
/// first terms of the asymptotic series, of which the tenth is below 1e-19.
inline double scaled_erfc(double x) {
  if (x < 26.0) return std::exp(x * x) * std::erfc(x);
  const double step = 1.0 / (2.0 * x * x);
  double term = 1.0, sum = 1.0;
  for (int k = 1; k <= 9; ++k) {
    term *= -(2.0 * k - 1.0) * step;
    sum += term;
  }
  return sum / (x * std::sqrt(M_PI));
}

/// (phi(m) + m Phi(m)) / phi(m) for m < -6. Phi(m) / phi(m) is 1 / (x + k) with x = -m and the continued
/// fraction k = 1 / (x + 2 / (x + 3 / (x + ...))), so that this is k / (x + k): nothing cancels. What the
/// first 24 terms leave out is below 2^-53.
inline double mean_beyond(double m) {
  double k = 0.0;
  for (int term = 24; term >= 1; --term) k = term / (k - m);
  return k / (k - m);
}

/// NaN at NaN.
inline NormalTail normal_tail(double m) {
  const double at_0 = 1.0 / std::sqrt(2.0 * M_PI);
  if (m < 0.0)
    return {0.5 * scaled_erfc(-m / std::sqrt(2.0)), at_0, -0.5 * m * m,
            m < -6.0 ? at_0 * mean_beyond(m) : 0.0};
  return {0.5 * std::erfc(-m / std::sqrt(2.0)), at_0 * std::exp(-0.5 * m * m), 0.0};
}

}  // namespace softstep
