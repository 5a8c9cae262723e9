#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "core/objective/gradient_size.h"
#include "core/objective/mantissa.h"
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
        rows_(pass_.zero_rows()),
        squares_(dim_),
        n_threads_(layer.threads_for_products(2.0, dim_)) {
    if (along_gradient && master_.empty() && pass_.transposed() && pays_without_gradient(layer)) {
      gram_norm_.emplace(layer);
      if (!gram_norm_->is_usable()) gram_norm_.reset();
    }
    if (gram_norm_) row_stride_ = layer.stride;
    weights_ =
        gram_norm_ ? pass_.transposed(state.weights, dim_, row_stride_) : pass_.laid_out(state.weights);
  }

  Form form() const override { return Form::dense; }
  int n_threads() const override { return n_threads_; }
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
    with_team(n_threads_, [&](const Team& team) {
      pass_.project(team, weights_.data(), row_stride_, projected_.data());
      pass_.attend(team, projected_.data(), rows);
      if (!layer.conclude(team, out, want)) return;
      pass_.scale(team, rows);
      if (gram_norm_) return;
      pass_.outer_product(team, rows, out.gradient.data());
      squares_.add_share(team, layer.kernels, out.gradient.data());
    });
    if (!want_rows || is_without_rows(out)) return;
    if (gram_norm_)
      set_norm_of_rows(out);
    else
      out.gradient_norm = finished_norm(layer.kernels, squares_.total(), out.gradient, out.gradient_exponent);
  }

  void move(const Step<T>& step, std::int64_t) override {
    with_team(n_threads_, [&](const Team& team) {
      if (gram_norm_) {
        pass_.add_outer_product(team, static_cast<T>(-step.coefficient), step.direction, weights_.data(),
                                row_stride_);
        return;
      }
      // By the threads that have these rows of the gradient in their caches.
      const auto [begin, end] = team.share(dim_, band_unit);
      move_weights(pass_.layer().kernels, step, begin * dim_, end * dim_, weights_, master_);
    });
  }

  void write(TrainState<T>& state) const override {
    state.weights = gram_norm_ ? pass_.transposed(weights_, row_stride_, dim_) : pass_.laid_out(weights_);
    state.master_weights = pass_.laid_out(master_);
    state.span = {};
  }

 private:
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
  SquaredNorm<T> squares_;
  int n_threads_;
};

}  // namespace softstep
