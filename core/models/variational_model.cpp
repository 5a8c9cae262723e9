// A linear model whose weights are drawn, by its expected loss.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/checked_size.h"
#include "core/isa/active_isa.h"
#include "core/losses/loss_of.h"
#include "core/models/double_gradient.h"
#include "core/models/labelled_points.h"
#include "softstep/error.h"
#include "softstep/variational.h"

namespace softstep {

void VariationalOptions::validate() const {
  if (loss != Loss::squared && loss != Loss::exponential)
    throw InvalidArgument("loss", std::string(to_string(loss)) +
                                      " (its expected value has no closed form; squared or exponential fit)");
}

namespace {

template <class T>
class VariationalModel final : public Model<T> {
 public:
  VariationalModel(const BatchView<T>& batch, const VariationalOptions& options)
      : options_(options), isa_(resolve_isa(options.isa)), dim_(batch.dim) {
    batch.validate();
    options.validate();
    if (is_exponential() && batch.targets != nullptr)
      throw InvalidArgument("loss", "exponential is of labels -1 and +1, and the batch has real targets");
    rank_ = options.rank == 0 ? dim_ : options.rank;
    std::size_t size = 0;
    if (!data::multiply(dim_, rank_, data::max_bytes / 8, size) ||
        !data::multiply(batch.n_samples, rank_, data::max_bytes / 8, size))
      throw InvalidArgument("rank", std::to_string(rank_) + " (the factor does not fit in memory)");
    blocks_ = {{"mean", dim_, 1}, {"factor", dim_, rank_}};
    data_ = LabelledPoints(batch);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.size(); }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    return std::string("variational linear, loss ") + to_string(options_.loss) + ", data " +
           std::to_string(n_samples()) + " x " + std::to_string(dim_) + ", rank " + std::to_string(rank_) +
           " " + data_.digest().text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    set_outputs(at, samples, space);
    const std::size_t n = space.outputs.size();
    const auto count = static_cast<double>(n);
    if ((want & (want_loss_gap | want_loss)) != 0) {
      space.terms.clear();
      std::size_t n_right = 0;
      for (std::size_t row = 0; row < n; ++row) {
        const double m = space.outputs[row];
        if (m > 0.0) ++n_right;
        if (is_exponential()) {
          space.terms.push_back({1.0, space.spreads[row].value() / 2.0 - m});
        } else {
          space.terms.push_back(half_square({m - data_.targets[samples[row]], 0.0}));
          space.terms.push_back({space.spreads[row].mantissa / 2.0, space.spreads[row].exponent});
        }
      }
      out.loss_scaled = mean_scaled(space.terms.data(), space.terms.size());
      // two terms a sample
      if (!is_exponential()) out.loss_scaled.mantissa *= 2.0;
      out.loss = out.loss_scaled.value();
      out.loss_gap = out.loss_scaled;
      out.optimal_loss = 0.0;
      out.accuracy =
          is_exponential() ? static_cast<double>(n_right) / count : std::numeric_limits<double>::quiet_NaN();
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;
    double top = 0.0;
    if (is_exponential()) {
      top = -std::numeric_limits<double>::infinity();
      for (std::size_t row = 0; row < n; ++row) {
        const double exponent = space.spreads[row].value() / 2.0 - space.outputs[row];
        if (!(exponent <= top)) top = exponent;
      }
    }
    space.mean_sum.assign(dim_, 0.0);
    space.factor_sum.assign(dim_ * rank_, 0.0);
    const simd::Kernels<double>& kernels = *isa_.f64;
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t i = samples[row];
      const double* x = data_.points.data() + i * dim_;
      const double weight =
          is_exponential() ? std::exp(space.spreads[row].value() / 2.0 - space.outputs[row] - top) : 1.0;
      const double slope = is_exponential() ? -weight : space.outputs[row] - data_.targets[i];
      kernels.axpy(dim_, data_.signs[i] * slope / count, x, space.mean_sum.data());
      for (std::size_t j = 0; j < dim_; ++j)
        kernels.axpy(rank_, weight * x[j] / count, space.projected.data() + row * rank_,
                     space.factor_sum.data() + j * rank_);
    }
    out.gradients.resize(2);
    write_gradient(1.0, space.mean_sum, top, isa_.template kernels<T>(), out.gradients[0]);
    write_gradient(1.0, space.factor_sum, top + space.power * std::log(2.0), isa_.template kernels<T>(),
                   out.gradients[1]);
  }

 private:
  struct Space final : Workspace {
    std::vector<double> mean, factor, outputs, projected, mean_sum, factor_sum;
    std::vector<Scaled> spreads, terms;
    int power = 0;  // S is 2^power times `factor`
  };
  bool is_exponential() const { return options_.loss == Loss::exponential; }

  // y_i x_i^T mu, S^T x_i over a power of two, and |S^T x_i|^2.
  void set_outputs(Point<T> at, SampleSet samples, Space& space) const {
    const simd::Kernels<double>& kernels = *isa_.f64;
    const std::size_t n = samples.size(n_samples());
    space.mean.assign(at[0].begin(), at[0].end());
    space.factor.assign(at[1].begin(), at[1].end());
    double largest = 0.0;
    for (const double s : space.factor) largest = std::fmax(largest, std::fabs(s));
    space.power = power_of(largest);
    for (double& s : space.factor) s = std::ldexp(s, -space.power);
    space.outputs.resize(n);
    space.spreads.resize(n);
    space.projected.assign(n * rank_, 0.0);
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t i = samples[row];
      const double* x = data_.points.data() + i * dim_;
      double* projected = space.projected.data() + row * rank_;
      space.outputs[row] = data_.signs[i] * kernels.dot(dim_, x, space.mean.data());
      for (std::size_t j = 0; j < dim_; ++j)
        kernels.axpy(rank_, x[j], space.factor.data() + j * rank_, projected);
      space.spreads[row] = {kernels.dot(rank_, projected, projected), 2.0 * space.power * std::log(2.0)};
    }
  }

  const VariationalOptions options_;
  const simd::Isa& isa_;
  std::size_t dim_, rank_ = 0;
  std::vector<BlockShape> blocks_;
  LabelledPoints data_;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_variational_model(const BatchView<T>& batch,
                                                 const VariationalOptions& options) {
  return std::make_unique<VariationalModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_variational_model(const BatchView<float>&,
                                                              const VariationalOptions&);
template std::unique_ptr<Model<double>> make_variational_model(const BatchView<double>&,
                                                               const VariationalOptions&);

}  // namespace softstep
