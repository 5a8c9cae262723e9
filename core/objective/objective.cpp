#include "softstep/objective.h"

#include <cmath>

#include "core/objective/blocked.h"
#include "core/objective/gradient_size.h"
#include "core/objective/layer.h"

namespace softstep {

const char* to_string(Loss loss) { return loss == Loss::logistic ? "logistic" : "exponential"; }

const char* to_string(OptimalLoss mode) {
  switch (mode) {
    case OptimalLoss::optimal:
      return "optimal";
    case OptimalLoss::selected:
      return "selected";
    case OptimalLoss::value:
      return "value";
    case OptimalLoss::zero:
      return "zero";
  }
  return "";
}

const char* to_string(StoredTokens type) {
  return type == StoredTokens::f16 ? "f16" : type == StoredTokens::bf16 ? "bf16" : "working";
}

StoredTokens parse_stored_tokens(const std::string& name) {
  for (const StoredTokens type : {StoredTokens::working, StoredTokens::f16, StoredTokens::bf16})
    if (name == to_string(type)) return type;
  throw InvalidArgument("token_storage", "\"" + name + "\" is not known (known: working, f16, bf16)");
}

Loss parse_loss(const std::string& name) {
  for (const Loss loss : {Loss::logistic, Loss::exponential})
    if (name == to_string(loss)) return loss;
  throw InvalidArgument("loss", "\"" + name + "\" is not known (known: logistic, exponential)");
}

OptimalLoss parse_optimal_loss(const std::string& name) {
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero})
    if (name == to_string(mode)) return mode;
  throw InvalidArgument("lstar", "\"" + name + "\" is not known (known: optimal, selected, value, zero)");
}

void ObjectiveOptions::validate() const {
  if (!std::isfinite(optimal_loss_value))
    throw InvalidArgument("optimal_loss_value",
                          std::to_string(optimal_loss_value) + " (need a finite number)");
  if (n_threads < 0)
    throw InvalidArgument("n_threads",
                          std::to_string(n_threads) + " (need 0 for all available, or a positive number)");
}

template <class T>
struct Objective<T>::Impl {
  Layer<T> layer;
  std::string isa;
  LargeArray<T> projected, rows;  // V = Z W^T; g, then scaled by e^(c_i - C) l'_i / n

  Impl(const BatchView<T>& batch, const ObjectiveOptions& options)
      : layer(batch, options), isa(layer.isa.name) {}

  double flops() const {
    const auto n = static_cast<double>(layer.batch.n_samples), d = static_cast<double>(layer.batch.dim);
    return n * d * d;
  }

  void project(const T* weights) {
    const std::size_t d = layer.batch.dim, stride = layer.stride;
    if (projected.empty()) projected = layer.zero_rows();
    for_each_block(layer.batch.n_samples, d, layer.threads_for(flops()), [&](Block block) {
      layer.kernels.product_nt({block.n_rows, block.n_cols, d, layer.queries.data() + block.row * stride,
                                stride, weights + block.col * d, d,
                                projected.data() + block.row * stride + block.col, stride});
    });
  }

  void gradient(Evaluation<T>& out) {
    const std::size_t n = layer.batch.n_samples, d = layer.batch.dim, stride = layer.stride;
    out.gradient.resize(d * d);
    out.gradient_exponent = layer.set_factors();
    if (is_without_rows(out)) return;
    layer.scale_rows(rows.data());
    for_each_block(d, d, layer.threads_for(flops()), [&](Block block) {
      layer.kernels.product_tn({block.n_rows, block.n_cols, n, rows.data() + block.row, stride,
                                layer.queries.data() + block.col, stride,
                                out.gradient.data() + block.row * d + block.col, d});
    });
    out.gradient_norm = finished_norm(layer.kernels, out.gradient, out.gradient_exponent);
  }
};

template <class T>
Objective<T>::Objective(const BatchView<T>& batch, const ObjectiveOptions& options)
    : impl_(std::make_unique<Impl>(batch, options)) {}
template <class T>
Objective<T>::~Objective() = default;
template <class T>
Objective<T>::Objective(Objective&&) noexcept = default;
template <class T>
Objective<T>& Objective<T>::operator=(Objective&&) noexcept = default;

template <class T>
void Objective<T>::evaluate(const T* weights, Evaluation<T>& out, unsigned want) {
  if (weights == nullptr) throw InvalidArgument("weights", "null");
  Impl& me = *impl_;
  me.project(weights);
  const bool want_rows = (want & want_gradient) != 0;
  if (want_rows && me.rows.empty()) me.rows = me.layer.zero_rows();
  me.layer.attend(me.projected.data(), want_rows ? me.rows.data() : nullptr);
  me.layer.losses(out, want);
  if ((want & want_attention) != 0) me.layer.attention_of_optimal(out);
  if (want_rows) me.gradient(out);
}

template <class T>
std::vector<double> Objective<T>::attention(const T* weights) {
  if (weights == nullptr) throw InvalidArgument("weights", "null");
  impl_->project(weights);
  return impl_->layer.attention(impl_->projected.data());
}

template <class T>
Layer<T>& Layer<T>::of(Objective<T>& objective) {
  return objective.impl_->layer;
}

template <class T>
const BatchView<T>& Objective<T>::batch() const {
  return impl_->layer.batch;
}
template <class T>
const TokenScores& Objective<T>::token_scores() const {
  return impl_->layer.scores;
}
template <class T>
const ObjectiveOptions& Objective<T>::options() const {
  return impl_->layer.options;
}
template <class T>
const std::string& Objective<T>::isa() const {
  return impl_->isa;
}
template <class T>
double Objective<T>::optimal_loss() const {
  return impl_->layer.optimal_loss();
}

template Layer<float>& Layer<float>::of(Objective<float>&);
template Layer<double>& Layer<double>::of(Objective<double>&);
template class Objective<float>;
template class Objective<double>;

}  // namespace softstep
