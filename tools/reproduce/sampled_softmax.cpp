#include "reproduce/sampled_softmax.h"

#include <algorithm>
#include <cmath>

namespace softstep::program::reproduce {

namespace {

void softmax(std::vector<double>& z) {
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0.0;
  for (double& x : z) sum += x = std::exp(x - top);
  for (double& x : z) x /= sum;
}

// In eight sums side by side, which do not wait for each other.
double dot(const double* a, const double* b, std::size_t n) {
  double sums[8] = {};
  std::size_t j = 0;
  for (; j + 8 <= n; j += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[j + lane] * b[j + lane];
  double sum = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  for (; j < n; ++j) sum += a[j] * b[j];
  return sum;
}

void finish(BlockGradient<double>& gradient) {
  double square = 0.0;
  for (const double g : gradient.mantissa()) square += g * g;
  gradient.norm = std::sqrt(square);
  gradient.exponent = 0.0;
}

}  // namespace

SampledSoftmax::SampledSoftmax(const Contexts& contexts, std::size_t width)
    : shares(contexts.target), contexts_(contexts), width_(width) {
  if (width != 0) blocks_.push_back({"weights", width, contexts.dim});
  blocks_.push_back({"outer", contexts.vocabulary, width != 0 ? width : contexts.dim});
}

void SampledSoftmax::logits(Point<double> at, std::size_t context, std::vector<double>& hidden,
                            std::vector<double>& out) const {
  const std::size_t d = contexts_.dim, v = contexts_.vocabulary;
  const double* h = contexts_.points.data() + context * d;
  hidden.assign(h, h + d);
  if (width_ != 0) {
    hidden.resize(width_);
    for (std::size_t k = 0; k < width_; ++k) {
      const double z = dot(at[0].data() + k * d, h, d);
      hidden[k] = z > 0.0 ? z : 0.0;
    }
  }
  const std::span<const double> outer = at.back();
  out.resize(v);
  for (std::size_t r = 0; r < v; ++r)
    out[r] = dot(outer.data() + r * hidden.size(), hidden.data(), hidden.size());
}

std::vector<double> SampledSoftmax::predictions(Point<double> at) const {
  std::vector<double> out, hidden, z;
  for (std::size_t i = 0; i < contexts_.n; ++i) {
    logits(at, i, hidden, z);
    softmax(z);
    out.insert(out.end(), z.begin(), z.end());
  }
  return out;
}

void SampledSoftmax::evaluate_at(Point<double> at, Evaluation<double>& out, Workspace&, unsigned want,
                                 SampleSet samples) const {
  const std::size_t d = contexts_.dim, v = contexts_.vocabulary, n = samples.size(contexts_.n);
  const bool gradient = (want & want_gradient) != 0;
  std::span<double> inner, outer;
  if (gradient) {
    out.gradients.resize(blocks_.size());
    if (width_ != 0) inner = out.gradients[0].room(width_ * d);
    outer = out.gradients.back().room(blocks_.back().size());
    std::fill(inner.begin(), inner.end(), 0.0);
    std::fill(outer.begin(), outer.end(), 0.0);
  }
  double loss = 0.0;
  std::vector<double> hidden, z, back;
  for (std::size_t row = 0; row < n; ++row) {
    const std::size_t i = samples[row];
    logits(at, i, hidden, z);
    const double top = *std::max_element(z.begin(), z.end());
    double sum = 0.0;
    for (const double x : z) sum += std::exp(x - top);
    const double log_sum = top + std::log(sum);
    for (std::size_t r = 0; r < v; ++r) loss += shares[i * v + r] * (log_sum - z[r]) / static_cast<double>(n);
    if (!gradient) continue;
    for (std::size_t r = 0; r < v; ++r)
      z[r] = (std::exp(z[r] - log_sum) - shares[i * v + r]) / static_cast<double>(n);
    const double* h = contexts_.points.data() + i * d;
    const std::size_t m = hidden.size();
    back.assign(width_, 0.0);
    for (std::size_t r = 0; r < v; ++r) {
      double* gradients = outer.data() + r * m;
      const double* weights = at.back().data() + r * m;
      for (std::size_t k = 0; k < m; ++k) gradients[k] += z[r] * hidden[k];
      for (std::size_t k = 0; k < width_; ++k) back[k] += z[r] * weights[k];
    }
    for (std::size_t k = 0; k < width_; ++k)
      if (hidden[k] > 0.0)
        for (std::size_t j = 0; j < d; ++j) inner[k * d + j] += back[k] * h[j];
  }
  if (gradient)
    for (BlockGradient<double>& g : out.gradients) finish(g);
  if ((want & (want_loss | want_loss_gap)) == 0) return;
  out.loss = loss;
  out.loss_scaled = out.loss_gap = {loss, 0.0};
  out.optimal_loss = 0.0;
}

double mean_entropy(const std::vector<double>& p, std::size_t vocabulary) {
  double sum = 0.0;
  for (const double x : p) sum -= x > 0.0 ? x * std::log(x) : 0.0;
  return sum * static_cast<double>(vocabulary) / static_cast<double>(p.size());
}

}  // namespace softstep::program::reproduce
