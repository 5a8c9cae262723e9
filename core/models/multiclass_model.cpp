// Softmax cross entropy of a linear classifier; its margin and certificate.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/digest.h"
#include "core/data/extremes.h"
#include "core/isa/active_isa.h"
#include "core/losses/loss_terms.h"
#include "core/models/class_odds.h"
#include "core/models/double_gradient.h"
#include "softstep/error.h"
#include "softstep/multiclass.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// -n dL/dW e^-top and n (1 - S_y) e^-top from the logarithms of all shares; NaN stays.
double descent(const MulticlassData& data, SampleSet samples, const std::vector<double>& log_shares,
               double top, const simd::Kernels<double>& kernels, std::vector<double>& out) {
  const std::size_t k = data.n_classes, d = data.dim, n = samples.size(data.n_samples());
  out.assign(k * d, 0.0);
  double weight = 0.0;
  for (std::size_t row = 0; row < n; ++row) {
    const std::size_t i = samples[row], y = data.classes[i];
    const double* h = data.features.data() + i * d;
    double mistakes = 0.0;
    for (std::size_t c = 0; c < k; ++c) {
      const double share = c == y ? 0.0 : std::exp(log_shares[row * k + c] - top);
      if (share == 0.0) continue;
      mistakes += share;
      kernels.axpy(d, -share, h, out.data() + c * d);
    }
    if (mistakes != 0.0) kernels.axpy(d, mistakes, h, out.data() + y * d);
    weight += mistakes;
  }
  return weight;
}

double largest_of(const std::vector<double>& values) {
  double largest = -infinity;
  for (const double x : values) largest = data::larger(largest, x);
  return largest;
}

template <class T>
class MulticlassModel final : public Model<T> {
 public:
  MulticlassModel(const MulticlassData& data, const std::string& isa) : data_(data), isa_(resolve_isa(isa)) {
    data_.validate();
    blocks_ = {{"weights", data_.n_classes, data_.dim}};
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.n_samples(); }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    digest.add(data_.features.data(), data_.features.size());
    digest.add(data_.classes.data(), data_.classes.size());
    return "multiclass, data " + std::to_string(data_.n_samples()) + " x " + std::to_string(data_.n_classes) +
           " x " + std::to_string(data_.dim) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const std::size_t n = samples.size(n_samples()), k = data_.n_classes;
    space.weights.assign(at[0].begin(), at[0].end());
    space.log_shares.resize(n * k);
    space.terms.resize(n);
    std::size_t n_right = 0;
    for (std::size_t row = 0; row < n; ++row) {
      const Scaled odds =
          class_odds(data_, samples[row], space.weights.data(), *isa_.f64, space.log_shares.data() + row * k);
      n_right += odds.exponent < 0.0 ? 1 : 0;  // the largest of the wrong logits less the right one
      space.terms[row] = odds.mantissa == 0.0 ? Scaled{} : log_one_plus(odds);
    }
    if ((want & (want_loss_gap | want_loss)) != 0) {
      out.loss_scaled = mean_scaled(space.terms.data(), n);
      out.loss_gap = out.loss_scaled;
      out.loss = out.loss_scaled.value();
      out.optimal_loss = 0.0;
      out.accuracy = static_cast<double>(n_right) / static_cast<double>(n);
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;
    double top = largest_of(space.log_shares);
    descent(data_, samples, space.log_shares, top, *isa_.f64, space.sum);
    out.gradients.resize(1);
    write_gradient(-1.0, space.sum, top - std::log(static_cast<double>(n)), isa_.template kernels<T>(),
                   out.gradients[0]);
  }

 private:
  struct Space final : Workspace {
    std::vector<double> weights, log_shares, sum;
    std::vector<Scaled> terms;
  };

  const MulticlassData data_;
  const simd::Isa& isa_;
  std::vector<BlockShape> blocks_;
};

void require_matrix(const MulticlassData& data, std::span<const double> weights) {
  data.validate();
  if (weights.size() != data.n_classes * data.dim)
    throw InvalidArgument("weights", std::to_string(weights.size()) + " entries (need n_classes * dim = " +
                                         std::to_string(data.n_classes * data.dim) + ")");
}

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_multiclass_model(const MulticlassData& data, const std::string& isa) {
  return std::make_unique<MulticlassModel<T>>(data, isa);
}

double multiclass_margin(const MulticlassData& data, std::span<const double> weights, MatrixNorm norm,
                         double p) {
  require_matrix(data, weights);
  const simd::Kernels<double>& kernels = *resolve_isa("").f64;
  std::vector<double> log_share(data.n_classes);
  double smallest = infinity;
  for (std::size_t i = 0; i < data.n_samples(); ++i) {
    const Scaled odds = class_odds(data, i, weights.data(), kernels, log_share.data());
    smallest = data::smaller(smallest, -odds.exponent);
  }
  return smallest / matrix_norm(weights, data.n_classes, data.dim, norm, p);
}

void add_multiclass_gradient(MarginCertificate& certificate, const MulticlassData& data,
                             std::span<const double> weights) {
  require_matrix(data, weights);
  const simd::Kernels<double>& kernels = *resolve_isa("").f64;
  const std::size_t k = data.n_classes, n = data.n_samples();
  std::vector<double> log_shares(n * k), sum;
  for (std::size_t i = 0; i < n; ++i) {
    const Scaled odds = class_odds(data, i, weights.data(), kernels, log_shares.data() + i * k);
    if (!std::isfinite(odds.exponent))
      throw InvalidArgument("weights", "a logit of sample " + std::to_string(i) + " is not finite");
  }
  const double weight = descent(data, {}, log_shares, largest_of(log_shares), kernels, sum);
  certificate.add(sum, weight);
}

template std::unique_ptr<Model<float>> make_multiclass_model(const MulticlassData&, const std::string&);
template std::unique_ptr<Model<double>> make_multiclass_model(const MulticlassData&, const std::string&);

}  // namespace softstep
