#pragma once

// How far the gradients of decoders and of logistic regression may be off, in the terms of error_bounds.h.

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/reference/error_bounds.h"

namespace softstep::reference {

/// Error of sum_j a_j b_j over d terms in the working type, however they are grouped, with size = sum_j |a_j
/// b_j|.
inline double dot_error(std::size_t d, double size, double u) {
  return 1.01 * (static_cast<double>(d) + 8.0) * u * size;
}

/// Error of X^T p, relative to l'(m): p_t is off by e^(2 delta) from the scores, and rounded
///   8 T + 12 + |z_t| times (p_a (7 T + 6), exp 3, argument |z_t|, product 1, sum T); below the smallest
///   normal number it is lost.
template <class Number>
double mean_token_error(const Sample<Number>& sample, const Attention<Number>& attention, double delta,
                        double u, double smallest) {
  const std::size_t d = sample.query.size();
  double error = 0.0;
  for (std::size_t t = 0; t < sample.n_tokens; ++t) {
    double size = 0.0;
    for (std::size_t j = 0; j < d; ++j)
      size = std::hypot(size, static_cast<double>(sample.tokens[t * d + j]));
    const double roundings = 8.0 * static_cast<double>(sample.n_tokens) + 12.0 +
                             std::fabs(static_cast<double>(attention.relative_scores[t]));
    // Below the smallest normal number p counts as 0: the term after it bounds what is lost.
    const double p = static_cast<double>(attention.attention[t]);
    error += ((p < smallest ? 0.0 : 1.01 * (std::expm1(2.0 * delta) + roundings * u) * p) +
              2.0 * std::exp(2.0 * delta) * smallest) *
             size;
  }
  return error;
}

}  // namespace softstep::reference
