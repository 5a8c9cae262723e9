#include "softstep/linear_model.h"

#include <cmath>
#include <limits>

#include "core/data/digest.h"
#include "core/isa/active_isa.h"
#include "core/layer/slope_sum.h"
#include "core/models/loss_check.h"
#include "softstep/error.h"

namespace softstep {

void LinearOptions::validate() const {
  require_finite_optimal_loss(optimal_loss_value);
  if (optimal_loss != OptimalLoss::zero && optimal_loss != OptimalLoss::value)
    throw InvalidArgument("optimal_loss",
                          std::string(to_string(optimal_loss)) +
                              " is that of attention; with a linear model zero fits, or a value");
}

namespace {

// m_i = y_i w^T x_i,  L = (1/n) sum_i l(m_i),  dL/dw = (1/n) sum_i l'(m_i) y_i x_i, l' as mantissa and
// exponent.
template <class T>
class LinearModel final : public Model<T> {
 public:
  LinearModel(const BatchView<T>& batch, const LinearOptions& options)
      : batch_(batch),
        options_(options),
        loss_(options_.loss, options_.own_loss.get()),
        isa_(resolve_isa(options.isa)),
        kernels_(isa_.template kernels<T>()) {
    batch.validate();
    options.validate();
    require_known_infimum(loss_, options.optimal_loss, batch.targets != nullptr);
    if (options.optimal_loss == OptimalLoss::value) optimal_loss_ = options.optimal_loss_value;
    blocks_ = {{"weights", batch.dim, 1}};
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return batch_.n_samples; }
  double optimal_loss() const override { return optimal_loss_; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    for (std::size_t i = 0; i < batch_.n_samples; ++i) {
      digest.add(batch_.sample(i), batch_.dim);
      digest.add(batch_.sign(i));
      digest.add(batch_.target(i));
    }
    return "linear, loss " + loss_.name() + ", L* " + data::exact_text(optimal_loss_) + ", data " +
           std::to_string(batch_.n_samples) + " x " + std::to_string(batch_.dim) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const std::size_t m = samples.size(batch_.n_samples);
    space.margins.resize(m);
    for (std::size_t row = 0; row < m; ++row)
      space.margins[row] =
          batch_.sign(samples[row]) * kernels_.dot(batch_.dim, at[0].data(), batch_.sample(samples[row]));
    if ((want & (want_loss_gap | want_loss)) != 0) loss(space, samples, out);
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;

    out.gradients.resize(1);
    sum_slopes(
        m, batch_.dim,
        [&](std::size_t row) { return loss_.slope(space.margins[row], batch_.target(samples[row])); },
        [&](std::size_t row) { return batch_.sign(samples[row]); },
        [&](std::size_t row) { return batch_.sample(samples[row]); }, kernels_, space.sum, out.gradients[0]);
  }

  // (1/n) sum_i l''(m_i) (x_i^T v) x_i
  void hessian_product_at(Point<T> at, Point<T> direction, std::vector<BlockGradient<T>>& out, Workspace&,
                          SampleSet samples) const override {
    const std::size_t m = samples.size(batch_.n_samples), d = batch_.dim;
    std::vector<Scaled> factors;
    double top = -std::numeric_limits<double>::infinity(), largest = 0.0;
    for (std::size_t row = 0; row < m; ++row) {
      const T* x = batch_.sample(samples[row]);
      const double margin = batch_.sign(samples[row]) * kernels_.dot(d, at[0].data(), x);
      Scaled factor = loss_.curvature(margin, batch_.target(samples[row]));
      if (std::isnan(factor.mantissa) && std::isfinite(margin))
        throw NotSupported("hessian_product", "the loss " + loss_.name() + " has no second derivative");
      factor.mantissa *= kernels_.dot(d, direction[0].data(), x) / static_cast<double>(m);
      if (factor.mantissa != 0.0) top = std::max(top, factor.exponent);
      largest = std::max(largest, std::fabs(factor.mantissa));
      factors.push_back(factor);
    }
    const int power = coarse_power<double>(largest);
    std::vector<double> sum(d, 0.0);
    for (std::size_t row = 0; row < m; ++row) {
      if (factors[row].mantissa == 0.0) continue;
      const double factor =
          in_units<double>(factors[row].mantissa, -power) * std::exp(factors[row].exponent - top);
      for (std::size_t j = 0; j < d; ++j)
        sum[j] += factor * static_cast<double>(batch_.sample(samples[row])[j]);
    }
    out.resize(1);
    write_sum(sum, top + power * std::log(2.0), kernels_, out[0]);
  }

 private:
  struct Space final : Workspace {
    std::vector<double> margins, sum;
    std::vector<Scaled> terms;
  };

  void loss(Space& space, SampleSet samples, Evaluation<T>& out) const {
    const std::size_t m = space.margins.size();
    const auto count = static_cast<double>(m);
    space.terms.resize(m);
    std::size_t n_right = 0;
    out.loss = 0.0;
    for (std::size_t row = 0; row < m; ++row) {
      const double target = batch_.target(samples[row]);
      out.loss += loss_.value(space.margins[row], target) / count;
      space.terms[row] = loss_.scaled(space.margins[row], target);
      if (space.margins[row] > 0.0) ++n_right;
    }
    out.loss_scaled = mean_scaled(space.terms.data(), m);
    out.loss_gap = minus_optimal(out.loss_scaled, optimal_loss_);
    out.optimal_loss = optimal_loss_;
    out.accuracy = batch_.targets != nullptr ? std::numeric_limits<double>::quiet_NaN()
                                             : static_cast<double>(n_right) / count;
  }

  const BatchView<T> batch_;
  const LinearOptions options_;
  const LossOf loss_;
  const simd::Isa& isa_;
  const simd::Kernels<T>& kernels_;
  std::vector<BlockShape> blocks_;
  double optimal_loss_ = 0.0;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_linear_model(const BatchView<T>& batch, const LinearOptions& options) {
  return std::make_unique<LinearModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_linear_model(const BatchView<float>&, const LinearOptions&);
template std::unique_ptr<Model<double>> make_linear_model(const BatchView<double>&, const LinearOptions&);

}  // namespace softstep
