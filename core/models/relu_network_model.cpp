// One hidden layer of rectified neurons on samples.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "core/models/labelled_points.h"
#include "core/models/loss_check.h"
#include "core/models/outer_layer.h"
#include "softstep/error.h"
#include "softstep/relu_network.h"

namespace softstep {

void ReluOptions::validate() const {
  validate_outer(n_neurons, outer);
  require_finite_optimal_loss(optimal_loss_value);
  if (optimal_loss != OptimalLoss::zero && optimal_loss != OptimalLoss::value)
    throw InvalidArgument("optimal_loss", std::string(to_string(optimal_loss)) +
                                              " is that of attention; with a network zero fits, or a value");
}

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// z_ik = w_k^T x_i,  f_i = sum_k a_k max(z_ik, 0),  m_i = y_i f_i,  L = (1/n) sum_i l(m_i)
//   dL/dw_k = (1/n) sum_i l'(m_i) y_i a_k [z_ik >= 0] x_i      dL/da_k = (1/n) sum_i l'(m_i) y_i max(z_ik, 0)
// W is kept transposed, so that a sample's neurons are one run of numbers.
template <class T>
class ReluModel final : public Model<T> {
 public:
  ReluModel(const BatchView<T>& batch, const ReluOptions& options)
      : options_(options),
        loss_(options_.loss, options_.own_loss.get()),
        isa_(resolve_isa(options.isa)),
        dim_(batch.dim),
        has_targets_(batch.targets != nullptr) {
    batch.validate();
    options.validate();
    require_known_infimum(loss_, options.optimal_loss, has_targets_);
    if (options.optimal_loss == OptimalLoss::value)
      optimal_loss_ = options.optimal_loss_value;
    else if (!loss_.is_bounded_below())
      optimal_loss_ = -infinity;
    blocks_ = outer_blocks(options.n_neurons, dim_, options.outer);
    data_ = LabelledPoints(batch);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.size(); }
  double optimal_loss() const override { return optimal_loss_; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest = data_.digest();
    digest.add(options_.outer.data(), options_.outer.size());
    return "relu network, loss " + loss_.name() + ", L* " + data::exact_text(optimal_loss_) + ", data " +
           std::to_string(n_samples()) + " x " + std::to_string(dim_) + ", neurons " +
           std::to_string(options_.n_neurons) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const std::size_t n = samples.size(n_samples()), m = options_.n_neurons;
    space.weights.resize(dim_ * m);
    for (std::size_t k = 0; k < m; ++k)
      for (std::size_t j = 0; j < dim_; ++j)
        space.weights[j * m + k] = static_cast<double>(at[0][k * dim_ + j]);
    set_outer<T>(options_.outer, at, space.outer);
    space.products.resize(n * m);
    space.active.resize(m);
    space.margins.resize(n);
    const simd::Kernels<double>& kernels = *isa_.f64;
    for (std::size_t row = 0; row < n; ++row) {
      double* z = space.products.data() + row * m;
      const double* x = data_.points.data() + samples[row] * dim_;
      std::fill(z, z + m, 0.0);
      for (std::size_t j = 0; j < dim_; ++j) kernels.axpy(m, x[j], space.weights.data() + j * m, z);
      rectify(z, m, space.active);
      space.margins[row] =
          data_.signs[samples[row]] * kernels.dot(m, space.outer.data(), space.active.data());
    }
    if ((want & (want_loss_gap | want_loss)) != 0) set_loss(space, samples, out);
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) != 0) set_gradients(space, samples, out);
  }

 private:
  struct Space final : Workspace {
    std::vector<double> weights, outer, products, active, margins, sum, sum_by_neuron, outer_sum;
    std::vector<Scaled> terms;
  };

  // max(z, 0), which keeps NaN.
  static void rectify(const double* z, std::size_t m, std::vector<double>& out) {
    for (std::size_t k = 0; k < m; ++k) out[k] = z[k] < 0.0 ? 0.0 : z[k];
  }

  void set_loss(Space& space, SampleSet samples, Evaluation<T>& out) const {
    const std::size_t n = space.margins.size();
    const auto count = static_cast<double>(n);
    space.terms.resize(n);
    std::size_t n_right = 0;
    out.loss = 0.0;
    for (std::size_t row = 0; row < n; ++row) {
      const double target = data_.targets[samples[row]];
      out.loss += loss_.value(space.margins[row], target) / count;
      space.terms[row] = loss_.scaled(space.margins[row], target);
      if (space.margins[row] > 0.0) ++n_right;
    }
    out.loss_scaled = mean_scaled(space.terms.data(), n);
    out.optimal_loss = optimal_loss_;
    out.loss_gap =
        std::isfinite(optimal_loss_) ? minus_optimal(out.loss_scaled, optimal_loss_) : Scaled{infinity, 0.0};
    out.accuracy =
        has_targets_ ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(n_right) / count;
  }

  void set_gradients(Space& space, SampleSet samples, Evaluation<T>& out) const {
    const std::size_t n = space.margins.size(), m = options_.n_neurons;
    const simd::Kernels<double>& kernels = *isa_.f64;
    const bool trains_outer = blocks_.size() > 1;
    double top = -infinity;
    for (std::size_t row = 0; row < n; ++row) {
      const Scaled slope = loss_.slope(space.margins[row], data_.targets[samples[row]]);
      if (slope.mantissa != 0.0 && !(slope.exponent <= top)) top = slope.exponent;
    }
    if (top == -infinity) top = 0.0;  // every slope is 0
    space.sum_by_neuron.assign(dim_ * m, 0.0);
    space.outer_sum.assign(m, 0.0);
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t i = samples[row];
      const Scaled slope = loss_.slope(space.margins[row], data_.targets[i]);
      if (slope.mantissa == 0.0) continue;
      const double factor = data_.signs[i] * slope.mantissa * std::exp(slope.exponent - top);
      const double* z = space.products.data() + row * m;
      if (trains_outer) {
        rectify(z, m, space.active);
        kernels.axpy(m, factor, space.active.data(), space.outer_sum.data());
      }
      for (std::size_t k = 0; k < m; ++k) space.active[k] = z[k] < 0.0 ? 0.0 : space.outer[k];
      for (std::size_t j = 0; j < dim_; ++j)
        kernels.axpy(m, factor * data_.points[i * dim_ + j], space.active.data(),
                     space.sum_by_neuron.data() + j * m);
    }
    space.sum.resize(m * dim_);
    for (std::size_t k = 0; k < m; ++k)
      for (std::size_t j = 0; j < dim_; ++j) space.sum[k * dim_ + j] = space.sum_by_neuron[j * m + k];
    const double exponent = top - std::log(static_cast<double>(n));
    out.gradients.resize(blocks_.size());
    write_gradient(-1.0, space.sum, exponent, isa_.template kernels<T>(), out.gradients[0]);
    if (trains_outer)
      write_gradient(-1.0, space.outer_sum, exponent, isa_.template kernels<T>(), out.gradients[1]);
  }

  const ReluOptions options_;
  const LossOf loss_;
  const simd::Isa& isa_;
  std::size_t dim_;
  bool has_targets_;
  double optimal_loss_ = 0.0;
  std::vector<BlockShape> blocks_;
  LabelledPoints data_;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_relu_model(const BatchView<T>& batch, const ReluOptions& options) {
  return std::make_unique<ReluModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_relu_model(const BatchView<float>&, const ReluOptions&);
template std::unique_ptr<Model<double>> make_relu_model(const BatchView<double>&, const ReluOptions&);

}  // namespace softstep
