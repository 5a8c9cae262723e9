#include "softstep/objective.h"

#include <cmath>

#include "core/data/text.h"
#include "core/objective/blocked.h"
#include "core/objective/gradient_size.h"
#include "core/objective/layer.h"
#include "core/objective/mantissa.h"
#include "core/objective/transpose.h"

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
  throw InvalidArgument("optimal_loss",
                        "\"" + name + "\" is not known (known: optimal, selected, value, zero)");
}

void ObjectiveOptions::validate() const {
  if (!std::isfinite(optimal_loss_value))
    throw InvalidArgument("optimal_loss_value",
                          data::number_text(optimal_loss_value) + " (need a finite number)");
  if (n_threads < 0)
    throw InvalidArgument("n_threads",
                          std::to_string(n_threads) + " (need 0 for all available, or a positive number)");
}

template <class T>
struct Objective<T>::Impl {
  Layer<T> layer;
  std::string isa;
  LargeArray<T> projected, rows;  // V = Z W^T; g, then scaled by e^(c_i - C) l'_i / n
  LargeArray<T> transposed;       // W^T with row stride

  SquaredNorm<T> squares;

  Impl(const BatchView<T>& batch, const ObjectiveOptions& options)
      : layer(batch, options), isa(layer.isa.name), squares(batch.dim) {}

  // Rows of V enough to repay a transposition of W, from which the product takes no sums over lanes. Whole evaluations with
  // AVX-512 on one thread: 1.1 times faster at 100,20,100 in float64, 1.25 at 200,16,100 in float32, slower by as much at
  // 64,16,2048 in float64.
  bool transposes() const { return layer.batch.n_samples * sizeof(T) >= 768; }

  void prepare() {
    if (!projected.empty()) return;
    projected = layer.zero_rows();
    if (transposes()) transposed.resize(layer.batch.dim * layer.stride);
  }

  void project(const Team& team, const T* weights) {
    const std::size_t n = layer.batch.n_samples, d = layer.batch.dim, stride = layer.stride;
    const T* z = layer.queries.data();
    if (transposes()) {
      const auto [begin, end] = team.share(d, band_unit);
      transpose_rows(begin, end, d, weights, d, transposed.data(), stride);
      team.wait();
    }
    for_each_block(n, d, team, [&](Block block) {
      T* v = projected.data() + block.row * stride + block.col;
      if (transposes())
        layer.kernels.product_nn({block.n_rows, block.n_cols, d, z + block.row * stride, stride,
                                  transposed.data() + block.col, stride, v, stride});
      else
        layer.kernels.product_nt({block.n_rows, block.n_cols, d, z + block.row * stride, stride,
                                  weights + block.col * d, d, v, stride});
    });
    team.wait();
  }

  void outer_product(const Team& team, T* gradient) {
    const std::size_t n = layer.batch.n_samples, d = layer.batch.dim, stride = layer.stride;
    for_each_block(d, d, team, [&](Block block) {
      layer.kernels.product_tn({block.n_rows, block.n_cols, n, rows.data() + block.row, stride,
                                layer.queries.data() + block.col, stride,
                                gradient + block.row * d + block.col, d});
    });
  }

  void evaluate(const T* weights, Evaluation<T>& out, unsigned want) {
    const std::size_t d = layer.batch.dim;
    const bool want_rows = (want & want_gradient) != 0;
    prepare();
    if (want_rows && rows.empty()) rows = layer.zero_rows();
    if (want_rows) out.gradient.resize(d * d);
    T* g = want_rows ? rows.data() : nullptr;
    with_team(layer.threads_for_products(want_rows ? 2.0 : 1.0, d), [&](const Team& team) {
      project(team, weights);
      layer.attend(team, projected.data(), g);
      if (!layer.conclude(team, out, want)) return;
      layer.scale_rows(team, g);
      outer_product(team, out.gradient.data());
      squares.add_share(team, layer.kernels, out.gradient.data());
    });
    if (want_rows && !is_without_rows(out))
      out.gradient_norm = finished_norm(layer.kernels, squares.total(), out.gradient, out.gradient_exponent);
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
  impl_->evaluate(weights, out, want);
}

template <class T>
std::vector<double> Objective<T>::attention(const T* weights) {
  if (weights == nullptr) throw InvalidArgument("weights", "null");
  Impl& me = *impl_;
  me.prepare();
  with_team(me.layer.threads_for_products(1.0, me.layer.batch.dim),
            [&](const Team& team) { me.project(team, weights); });
  return me.layer.attention(me.projected.data());
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
int Objective<T>::threads_used() const {
  return impl_->layer.threads_for_products(2.0, impl_->layer.batch.dim);
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
