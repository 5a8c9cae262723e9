#pragma once

// Gradient flow in steps of a given length, for laws of its path that do not say how time runs: as the
// gradient falls like e^-t, plain flow stands still in any time that can be waited for.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "interrupt.h"
#include "softstep/model.h"

namespace softstep::program::reproduce {

/// Norm of all blocks together.
inline double norm_of_blocks(const std::vector<std::vector<double>>& blocks) {
  double norm = 0.0;
  for (const auto& block : blocks)
    for (const double x : block) norm = std::hypot(norm, x);
  return norm;
}

/// theta <- theta - length(|theta|) G / |G| with the gradient of all blocks together, their exponents in it:
/// explicit Euler steps of the flow. row(n, blocks) sees the start and every step; what it returns says
/// whether to go on. False if it, a signal, or a gradient that is zero or not finite ended it.
template <class Length, class Row>
bool follow_lengths(const Model<double>& model, std::vector<std::vector<double>>& blocks,
                    std::int64_t n_steps, const Length& length, const Row& row) {
  const auto space = model.make_workspace();
  Evaluation<double> at;
  for (std::int64_t n = 0;; ++n) {
    if (!row(n, blocks)) return false;
    if (n == n_steps) return true;
    if (n % 256 == 0 && interrupted()) return false;
    model.evaluate(views_of(blocks), at, *space, want_gradient);
    double top = -std::numeric_limits<double>::infinity(), norm = 0.0;
    for (const auto& gradient : at.gradients) top = std::max(top, gradient.exponent);
    for (const auto& gradient : at.gradients)
      if (gradient.norm != 0.0) norm = std::hypot(norm, gradient.norm * std::exp(gradient.exponent - top));
    if (!(norm > 0.0) || !std::isfinite(norm)) return false;
    const double step = length(norm_of_blocks(blocks)) / norm;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (at.gradients[b].norm == 0.0) continue;
      const double factor = step * std::exp(at.gradients[b].exponent - top);
      const auto mantissa = at.gradients[b].mantissa();
      for (std::size_t k = 0; k < blocks[b].size(); ++k) blocks[b][k] -= factor * mantissa[k];
    }
  }
}

}  // namespace softstep::program::reproduce
