#include <algorithm>
#include <cmath>
#include <limits>

#include "core/models/slope_sum.h"
#include "core/objective/active_isa.h"

namespace softstep {
namespace {

// m_i = y_i w^T x_i,  L = (1/n) sum_i l(m_i),  dL/dw = (1/n) sum_i l'(m_i) y_i x_i, l' as mantissa and exponent.
template <class T>
class LogisticModel final : public Model<T> {
 public:
  LogisticModel(const BatchView<T>& batch, const ObjectiveOptions& options)
      : batch_(batch), options_(options), kernels_(resolve_isa(options.isa).template kernels<T>()) {
    batch.validate();
    options.validate();
    const OptimalLoss mode = options.optimal_loss;
    if (mode != OptimalLoss::zero && mode != OptimalLoss::value)
      throw InvalidArgument("optimal_loss",
                            std::string(to_string(mode)) +
                                " is that of attention; with logistic regression zero fits, or a value");
    if (mode == OptimalLoss::value) optimal_loss_ = options.optimal_loss_value;
    isa_ = resolve_isa(options.isa).name;
    blocks_ = {{"weights", batch.dim, 1}};
    observables_ = {{"weights", batch.dim, 1, 0, 1}};
    margins_.resize(batch.n_samples);
    terms_.resize(batch.n_samples);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return batch_.n_samples; }
  const std::vector<Observable>& observables() const override { return observables_; }
  double optimal_loss() const override { return optimal_loss_; }
  const std::string& isa() const override { return isa_; }
  std::vector<double> observe(const std::vector<const double*>& at, std::size_t) const override {
    return {at[0], at[0] + batch_.dim};
  }

  void evaluate(const std::vector<const T*>& at, ModelEvaluation<T>& out, unsigned want,
                SampleSet samples) override {
    const std::size_t m = samples.indices == nullptr ? batch_.n_samples : samples.n;
    const auto sample = [&](std::size_t row) {
      return samples.indices == nullptr ? row : samples.indices[row];
    };
    for (std::size_t row = 0; row < m; ++row) {
      const std::size_t i = sample(row);
      const double f = kernels_.dot(batch_.dim, at[0], batch_.sample(i));
      margins_[row] = batch_.labels[i] < 0 ? -f : f;
    }
    if ((want & (want_loss_gap | want_loss)) != 0) loss(m, out);
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;

    out.gradients.resize(1);
    sum_slopes(
        options_.loss, m, batch_.dim, [&](std::size_t row) { return margins_[row]; },
        [&](std::size_t row) { return batch_.labels[sample(row)]; },
        [&](std::size_t row) { return batch_.sample(sample(row)); }, kernels_, out.gradients[0]);
  }

 private:
  void loss(std::size_t m, ModelEvaluation<T>& out) {
    const auto count = static_cast<double>(m);
    std::size_t n_right = 0;
    out.loss = 0.0;
    for (std::size_t row = 0; row < m; ++row) {
      out.loss += loss_value(options_.loss, margins_[row]) / count;
      terms_[row] = loss_scaled(options_.loss, margins_[row]);
      if (margins_[row] > 0.0) ++n_right;
    }
    out.loss_scaled = mean_scaled(terms_.data(), m);
    out.loss_gap = minus_optimal(out.loss_scaled, optimal_loss_);
    out.accuracy = static_cast<double>(n_right) / count;
  }

  const BatchView<T> batch_;
  const ObjectiveOptions options_;
  const simd::Kernels<T>& kernels_;
  std::vector<BlockShape> blocks_;
  std::vector<Observable> observables_;
  std::string isa_;
  std::vector<double> margins_;
  std::vector<Scaled> terms_;
  double optimal_loss_ = 0.0;
};

}  // namespace

template <class T>
std::unique_ptr<Model<T>> make_logistic_model(const BatchView<T>& batch, const ObjectiveOptions& options) {
  return std::make_unique<LogisticModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_logistic_model(const BatchView<float>&, const ObjectiveOptions&);
template std::unique_ptr<Model<double>> make_logistic_model(const BatchView<double>&,
                                                            const ObjectiveOptions&);

}  // namespace softstep
