#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "core/objective/gradient_size.h"
#include "core/trainer/gram_norm.h"
#include "core/trainer/move_weights.h"
#include "core/trainer/pass.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// W itself, transposed where the pass has it so; in double beside it with float64 master weights.
///
/// A rule that moves along the gradient needs its norm and W + a G, not G. Where W is large beside the samples G is not
/// formed: the norm comes from Gram matrices and the product is added to W, which is then read twice and written once in a
/// step and nothing else of its size exists. Its rows are padded, so that they do not share sets of the cache. The entries of the gradient are then the rows g.
template <class T>
class DenseTrajectory final : public Trajectory<T> {
 public:
  DenseTrajectory(Layer<T>& layer, const TrainState<T>& state, bool along_gradient)
      : pass_(layer, fits_lanes(layer)),
        dim_(layer.batch.dim),
        row_stride_(layer.batch.dim),
        master_(pass_.laid_out(state.master_weights)),
        projected_(pass_.zero_rows()),
        rows_(pass_.zero_rows()) {
    if (along_gradient && master_.empty() && pass_.transposed() && pays_without_gradient(layer)) {
      gram_norm_.emplace(layer);
      if (!gram_norm_->is_usable()) gram_norm_.reset();
    }
    if (gram_norm_) row_stride_ = layer.stride;
    weights_ =
        gram_norm_ ? pass_.transposed(state.weights, dim_, row_stride_) : pass_.laid_out(state.weights);
  }

  Form form() const override { return Form::dense; }
  typename Trajectory<T>::Shape gradient_shape() const override {
    return gram_norm_ ? typename Trajectory<T>::Shape{pass_.n_rows(), pass_.n_cols()}
                      : typename Trajectory<T>::Shape{dim_, dim_};
  }
  const T* weights() const override { return gram_norm_ ? nullptr : weights_.data(); }
  std::vector<double> laid_out(const std::vector<double>& matrix) const override {
    return pass_.laid_out(matrix);
  }

  void evaluate(Evaluation<T>& out, unsigned want) override {
    Layer<T>& layer = pass_.layer();
    const bool want_rows = (want & want_gradient) != 0;
    if (want_rows) out.gradient.resize(gram_norm_ ? pass_.size() : dim_ * dim_);
    T* rows = !want_rows ? nullptr : gram_norm_ ? out.gradient.data() : rows_.data();
    pass_.project(weights_.data(), row_stride_, projected_.data());
    pass_.attend(projected_.data(), rows);
    layer.losses(out, want);
    if ((want & want_attention) != 0) layer.attention_of_optimal(out);
    if (!want_rows) return;
    out.gradient_exponent = layer.set_factors();
    if (is_without_rows(out)) return;
    pass_.scale(rows);
    if (gram_norm_) {
      set_norm_of_rows(out);
    } else {
      pass_.outer_product(rows, out.gradient.data());
      out.gradient_norm = finished_norm(layer.kernels, out.gradient, out.gradient_exponent);
    }
  }

  void move(const Step<T>& step, std::int64_t) override {
    if (gram_norm_) {
      pass_.add_outer_product(static_cast<T>(-step.coefficient), step.direction, weights_.data(),
                              row_stride_);
      return;
    }
    move_weights(pass_.layer().kernels, step, weights_, master_);
  }

  void write(TrainState<T>& state) const override {
    state.weights = gram_norm_ ? pass_.transposed(weights_, row_stride_, dim_) : pass_.laid_out(weights_);
    state.master_weights = pass_.laid_out(master_);
    state.span = {};
  }

 private:
  // 2 n^2 d flops against four passes over d^2 numbers. Measured with AVX-512 on one thread, 16 to 256 samples in 200 to 2048
  // dimensions: from d = 12 n on 10 to 18 % of a step are gained, or nothing within 1 %; at d = 4 n up to 18 % are lost.
  static bool pays_without_gradient(const Layer<T>& layer) {
    return 12 * layer.batch.n_samples <= layer.batch.dim;
  }

  void set_norm_of_rows(Evaluation<T>& out) const {
    if (const auto norm = (*gram_norm_)(out.gradient.data())) {
      out.gradient_norm = *norm;
      return;
    }
    std::vector<T> matrix(dim_ * dim_);
    pass_.outer_product(out.gradient.data(), matrix.data());
    const double squared = pass_.layer().kernels.dot(matrix.size(), matrix.data(), matrix.data());
    out.gradient_norm = std::sqrt(squared);
    if (out.gradient_norm == 0.0) out.gradient_exponent = -std::numeric_limits<double>::infinity();
  }

  Pass<T> pass_;
  std::size_t dim_, row_stride_;  // of weights_
  std::vector<T> weights_;
  std::vector<double> master_;
  LargeArray<T> projected_, rows_;  // V; g unless it is the gradient's entries
  std::optional<GramNorm<T>> gram_norm_;
};

}  // namespace softstep
