#pragma once

// Losses l(m), their derivatives and differences, as mantissa and exponent where plain numbers would
// underflow or cancel. m: margin of a sample, gamma: the token score the gap is measured from, delta = gamma
// - m.

#include <cmath>

#include "softstep/loss.h"
#include "softstep/scaled.h"

namespace softstep {

/// Beyond this margin e^-m goes into the exponent. Small enough for float32 mantissas.
inline constexpr double exponent_margin = 30.0;

/// l(m), plain.
inline double loss_value(Loss loss, double m) {
  if (loss == Loss::exponential) return std::exp(-m);
  return m > 0.0 ? std::log1p(std::exp(-m)) : -m + std::log1p(std::exp(m));
}

/// l(m) as a pair.
inline Scaled loss_scaled(Loss loss, double m) {
  if (loss == Loss::exponential)
    return std::fabs(m) > exponent_margin ? Scaled{1.0, -m} : Scaled{std::exp(-m), 0.0};
  if (!(m > exponent_margin)) return {loss_value(loss, m), 0.0};
  // log1p(x) = x (1 - x/2 + ...), and x < 1e-13 here
  return {1.0 - 0.5 * std::exp(-m), -m};
}

/// -l'(m) > 0 as a pair: e^-m, or 1 / (1 + e^m).
inline Scaled loss_slope(Loss loss, double m) {
  if (m > exponent_margin) return {loss == Loss::exponential ? 1.0 : 1.0 / (1.0 + std::exp(-m)), -m};
  if (loss == Loss::logistic) return {1.0 / (1.0 + std::exp(m)), 0.0};
  // Large negative margins overflow too.
  return m < -exponent_margin ? Scaled{1.0, -m} : Scaled{std::exp(-m), 0.0};
}

/// l''(m) as a pair: e^-m, or sigma(m) sigma(-m) = e^-|m| / (1 + e^-|m|)^2.
inline Scaled loss_curvature(Loss loss, double m) {
  if (loss == Loss::exponential) return loss_slope(loss, m);
  const double size = std::fabs(m), e = std::exp(-size), one_plus = 1.0 + e;
  return size > exponent_margin ? Scaled{1.0 / (one_plus * one_plus), -size}
                                : Scaled{e / (one_plus * one_plus), 0.0};
}

/// a^2 / 2, of a as far from 1 as double holds; the exponent stays 0 where the square is a normal number.
inline Scaled half_square(Scaled a) {
  const double plain = 0.5 * a.mantissa * a.mantissa;
  if (std::isnormal(plain) || a.mantissa == 0.0 || !std::isfinite(a.mantissa))
    return {plain, 2.0 * a.exponent};
  const int power = std::ilogb(a.mantissa);
  const double unit = std::ldexp(a.mantissa, -power);
  return {0.5 * unit * unit, 2.0 * (a.exponent + power * std::log(2.0))};
}

/// (r - delta)^2 / 2 - r^2 / 2 = delta (delta / 2 - r), r the residual.
inline Scaled squared_difference(double residual, Scaled delta) {
  if (delta.mantissa == 0.0) return {0.0, 0.0};
  if (residual == 0.0) return half_square(delta);
  return {delta.mantissa * (0.5 * delta.value() - residual), delta.exponent};
}

/// log(1 + x) for x > -1/2 given as a pair, as a pair.
[[gnu::always_inline]] inline Scaled log_one_plus(Scaled x) {
  constexpr double small = 1e-13, large = 1e13;  // about e^-exponent_margin and e^exponent_margin
  const double size = std::fabs(x.mantissa);
  // The usual case, without a logarithm to find out that it is.
  if (x.exponent == 0.0 && size > small && size < large) return {std::log1p(x.mantissa), 0.0};
  const double log_x = std::log(std::fabs(x.mantissa)) + x.exponent;
  if (log_x < -exponent_margin) return {x.mantissa * (1.0 - 0.5 * x.value()), x.exponent};
  if (log_x > exponent_margin) return {log_x + std::exp(-log_x), 0.0};
  return {std::log1p(x.value()), 0.0};
}

// log1p(s expm1(d)) for the slope s = sigma(-gamma) and a large d < 0: 1 + x may be near 0, so it is measured
// from the other end, where x is positive.
Scaled logistic_rise(double gamma, double d);

/// l(gamma - delta) - l(gamma) for delta = mantissa * e^exponent, without cancellation and without underflow:
///   exponential  e^-gamma expm1(delta)        logistic  log1p(sigma(-gamma) expm1(delta))
/// `slope`: loss_slope(loss, gamma).
[[gnu::always_inline]] inline Scaled loss_difference(Loss loss, double gamma, Scaled slope, Scaled delta) {
  if (delta.mantissa == 0.0) return {0.0, 0.0};
  const double d = delta.value();
  // Below 4e-18 the first-order term is the value to beyond double precision.
  if (std::fabs(d) < 4e-18) return {slope.mantissa * delta.mantissa, slope.exponent + delta.exponent};
  if (loss == Loss::logistic && d < -0.5) return logistic_rise(gamma, d);
  // expm1(d) as a pair: large d stays finite
  const Scaled growth = d > 1.0 ? Scaled{-std::expm1(-d), d} : Scaled{std::expm1(d), 0.0};
  const Scaled x = {slope.mantissa * growth.mantissa, slope.exponent + growth.exponent};
  return loss == Loss::exponential ? x : log_one_plus(x);
}

inline Scaled loss_difference(Loss loss, double gamma, Scaled delta) {
  return loss_difference(loss, gamma, loss_slope(loss, gamma), delta);
}

/// Sum of pairs, in the order added, on the largest exponent; NaN anywhere gives NaN.
inline Scaled sum_scaled(const Scaled* terms, std::size_t n) {
  double top = -INFINITY;
  for (std::size_t i = 0; i < n; ++i)
    if (terms[i].mantissa != 0.0 && terms[i].exponent > top) top = terms[i].exponent;
  if (top == -INFINITY) top = 0.0;
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i)
    if (terms[i].mantissa != 0.0)
      sum += terms[i].mantissa * (terms[i].exponent == top ? 1.0 : std::exp(terms[i].exponent - top));
  return {sum, top};
}

/// Their mean.
inline Scaled mean_scaled(const Scaled* terms, std::size_t n) {
  Scaled mean = sum_scaled(terms, n);
  mean.mantissa /= static_cast<double>(n);
  return mean;
}

/// L - L* for an L* that is given: a plain subtraction.
inline Scaled minus_optimal(Scaled loss, double optimal_loss) {
  if (optimal_loss == 0.0) return loss;
  return loss.exponent > 0.0  // beyond what a plain number holds, perhaps
             ? Scaled{loss.mantissa - optimal_loss * std::exp(-loss.exponent), loss.exponent}
             : Scaled{loss.value() - optimal_loss, 0.0};
}

}  // namespace softstep
