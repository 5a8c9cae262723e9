#pragma once

#include <softstep/model.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace own {

/// Least squares with an offset, L = 1/(2 n) sum_i (a^T x_i + b - y_i)^2. Two blocks: "slope" and "offset".
class LeastSquares final : public softstep::Model<double> {
 public:
  LeastSquares(std::vector<double> points, std::vector<double> targets)
      : points_(std::move(points)),
        targets_(std::move(targets)),
        dim_(points_.size() / targets_.size()),
        blocks_{{"slope", dim_, 1}, {"offset", 1, 1}} {}

  const std::vector<softstep::BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return targets_.size(); }
  std::string identity() const override {
    return "least squares of " + std::to_string(targets_.size()) + " points";
  }

 protected:
  void evaluate_at(softstep::Point<double> at, softstep::Evaluation<double>& out, softstep::Workspace&,
                   unsigned want, softstep::SampleSet samples) const override {
    const std::size_t n = samples.size(n_samples());
    const auto residual = [&](std::size_t i) {
      double sum = at[1][0] - targets_[i];
      for (std::size_t j = 0; j < dim_; ++j) sum += at[0][j] * points_[i * dim_ + j];
      return sum / static_cast<double>(n);
    };
    if ((want & (softstep::want_loss | softstep::want_loss_gap)) != 0) {
      out.loss = 0.0;
      for (std::size_t row = 0; row < n; ++row)
        out.loss += 0.5 * residual(samples[row]) * residual(samples[row]) * static_cast<double>(n);
      out.loss_scaled = out.loss_gap = {out.loss, 0.0};
      out.optimal_loss = 0.0;
    }
    if ((want & softstep::want_gradient) == 0) return;
    out.gradients.resize(2);
    const std::span<double> slope = out.gradients[0].room(dim_), offset = out.gradients[1].room(1);
    std::fill(slope.begin(), slope.end(), 0.0);
    offset[0] = 0.0;
    for (std::size_t row = 0; row < n; ++row) {
      const double r = residual(samples[row]);
      offset[0] += r;
      for (std::size_t j = 0; j < dim_; ++j) slope[j] += r * points_[samples[row] * dim_ + j];
    }
    double square = 0.0;
    for (const double g : slope) square += g * g;
    out.gradients[0].norm = std::sqrt(square);
    out.gradients[1].norm = std::fabs(offset[0]);
    out.gradients[0].exponent = out.gradients[1].exponent = 0.0;
  }

 private:
  std::vector<double> points_, targets_;
  std::size_t dim_;
  std::vector<softstep::BlockShape> blocks_;
};

}  // namespace own
