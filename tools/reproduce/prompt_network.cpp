#include "reproduce/prompt_network.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace softstep::program::reproduce {

namespace {

struct Space final : Workspace {
  std::vector<std::vector<double>> layers;  // what goes into each layer, and the outputs
  std::vector<double> slopes, back, transposed;
};

// y[r, k] += sum_j x(r, j) w[j, k], where x(r, j) lies at x[r row_step + j step]; four j at a time, so that
// y is read and written once for four products.
void add_product(std::size_t n_rows, std::size_t n_inner, std::size_t n_out, const double* x,
                 std::size_t row_step, std::size_t step, const double* w, double* y) {
  for (std::size_t r = 0; r < n_rows; ++r) {
    const double* from = x + r * row_step;
    double* to = y + r * n_out;
    std::size_t j = 0;
    for (; j + 4 <= n_inner; j += 4) {
      const double a = from[j * step], b = from[(j + 1) * step], c = from[(j + 2) * step],
                   d = from[(j + 3) * step];
      const double* row = w + j * n_out;
      for (std::size_t k = 0; k < n_out; ++k)
        to[k] += (a * row[k] + b * row[n_out + k]) + (c * row[2 * n_out + k] + d * row[3 * n_out + k]);
    }
    for (; j < n_inner; ++j)
      for (std::size_t k = 0; k < n_out; ++k) to[k] += from[j * step] * w[j * n_out + k];
  }
}

void finish(BlockGradient<double>& gradient) {
  double square = 0.0;
  for (const double g : gradient.mantissa()) square += g * g;
  gradient.norm = std::sqrt(square);
  gradient.exponent = 0.0;
}

}  // namespace

PromptNetwork::PromptNetwork(std::vector<std::size_t> widths) : widths_(std::move(widths)) {
  for (std::size_t l = 0; l + 1 < widths_.size(); ++l) {
    blocks_.push_back({"weights " + std::to_string(l + 1), widths_[l], widths_[l + 1]});
    blocks_.push_back({"bias " + std::to_string(l + 1), 1, widths_[l + 1]});
  }
}

std::unique_ptr<Workspace> PromptNetwork::make_workspace() const { return std::make_unique<Space>(); }

void PromptNetwork::evaluate_at(Point<double> at, Evaluation<double>& out, Workspace& workspace,
                                unsigned want, SampleSet samples) const {
  auto& space = static_cast<Space&>(workspace);
  const std::size_t n = samples.size(n_samples()), n_layers = widths_.size() - 1;
  space.layers.resize(n_layers + 1);
  space.layers[0].resize(n * widths_[0]);
  for (std::size_t row = 0; row < n; ++row)
    std::copy_n(inputs.data() + samples[row] * widths_[0], widths_[0],
                space.layers[0].data() + row * widths_[0]);
  for (std::size_t l = 0; l < n_layers; ++l) {
    const std::size_t n_in = widths_[l], n_out = widths_[l + 1];
    std::vector<double>& y = space.layers[l + 1];
    y.resize(n * n_out);
    for (std::size_t row = 0; row < n; ++row)
      std::copy_n(at[2 * l + 1].data(), n_out, y.data() + row * n_out);
    add_product(n, n_in, n_out, space.layers[l].data(), n_in, 1, at[2 * l].data(), y.data());
    if (l + 1 < n_layers)
      for (double& z : y) z = z < 0.0 ? 0.0 : z;  // keeps NaN
  }
  const std::vector<double>& outputs = space.layers.back();
  const std::size_t n_outputs = widths_.back();
  const double weight = 1.0 / static_cast<double>(n * n_outputs);
  space.slopes.resize(outputs.size());
  double loss = 0.0;
  for (std::size_t row = 0; row < n; ++row)
    for (std::size_t k = 0; k < n_outputs; ++k) {
      const double miss = outputs[row * n_outputs + k] - targets[samples[row] * n_outputs + k];
      loss += 0.5 * weight * miss * miss;
      space.slopes[row * n_outputs + k] = weight * miss;
    }
  if ((want & (want_loss | want_loss_gap)) != 0) {
    out.loss = loss;
    out.loss_scaled = out.loss_gap = {loss, 0.0};
    out.optimal_loss = 0.0;
  }
  if ((want & want_gradient) == 0) return;
  out.gradients.resize(blocks_.size());
  for (std::size_t l = n_layers; l-- > 0;) {
    const std::size_t n_in = widths_[l], n_out = widths_[l + 1];
    const std::vector<double>& x = space.layers[l];
    const std::span<double> weights = out.gradients[2 * l].room(n_in * n_out),
                            bias = out.gradients[2 * l + 1].room(n_out);
    std::fill(weights.begin(), weights.end(), 0.0);
    std::fill(bias.begin(), bias.end(), 0.0);
    add_product(n_in, n, n_out, x.data(), 1, n_in, space.slopes.data(), weights.data());
    for (std::size_t row = 0; row < n; ++row)
      for (std::size_t k = 0; k < n_out; ++k) bias[k] += space.slopes[row * n_out + k];
    finish(out.gradients[2 * l]);
    finish(out.gradients[2 * l + 1]);
    if (l == 0) break;
    space.transposed.resize(n_in * n_out);
    for (std::size_t j = 0; j < n_in; ++j)
      for (std::size_t k = 0; k < n_out; ++k) space.transposed[k * n_in + j] = at[2 * l][j * n_out + k];
    space.back.assign(n * n_in, 0.0);
    add_product(n, n_out, n_in, space.slopes.data(), n_out, 1, space.transposed.data(), space.back.data());
    for (std::size_t k = 0; k < space.back.size(); ++k)
      if (x[k] == 0.0) space.back[k] = 0.0;
    space.slopes.swap(space.back);
  }
}

}  // namespace softstep::program::reproduce
