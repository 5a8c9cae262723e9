#pragma once

// Gradient flow of a model's blocks, for laws that are stated in time and not in steps.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "interrupt.h"
#include "softstep/model.h"

namespace softstep::program::reproduce {

/// d(block)/dt = -rate dL/d(block) by the classical Runge-Kutta method of fourth order in steps of `step`,
/// from time 0. row(t, blocks, evaluation) sees every step, the last one too, with loss, gap and gradients
/// there; what it returns says whether to go on. False if it, or a signal, ended the flow.
template <class Row>
bool follow_flow(const Model<double>& model, std::vector<std::vector<double>>& blocks, double rate,
                 double step, std::int64_t n_steps, const Row& row) {
  const auto space = model.make_workspace();
  Evaluation<double> at;
  std::vector<std::vector<double>> slope = blocks, sum = blocks, moved = blocks;
  const auto slopes = [&](const std::vector<std::vector<double>>& where, unsigned want) {
    model.evaluate(views_of(where), at, *space, want);
    for (std::size_t b = 0; b < blocks.size(); ++b) at.gradients[b].plain(slope[b]);
  };
  for (std::int64_t n = 0;; ++n) {
    slopes(blocks, want_gradient | want_loss_gap | want_loss);
    if (!row(static_cast<double>(n) * step, blocks, at)) return false;
    if (n == n_steps) return true;
    if (n % 256 == 0 && interrupted()) return false;
    sum = slope;
    for (int stage = 1; stage < 4; ++stage) {
      const double ahead = stage == 3 ? step : step / 2.0;
      for (std::size_t b = 0; b < blocks.size(); ++b)
        for (std::size_t k = 0; k < blocks[b].size(); ++k)
          moved[b][k] = blocks[b][k] - ahead * rate * slope[b][k];
      slopes(moved, want_gradient);
      for (std::size_t b = 0; b < blocks.size(); ++b)
        for (std::size_t k = 0; k < blocks[b].size(); ++k)
          sum[b][k] += (stage == 3 ? 1.0 : 2.0) * slope[b][k];
    }
    for (std::size_t b = 0; b < blocks.size(); ++b)
      for (std::size_t k = 0; k < blocks[b].size(); ++k) blocks[b][k] -= step * rate / 6.0 * sum[b][k];
  }
}

}  // namespace softstep::program::reproduce
