#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "core/layer/gradient_size.h"
#include "core/layer/mantissa.h"
#include "core/trainer/forms/choose_form.h"
#include "core/trainer/forms/conclusion.h"
#include "core/trainer/forms/gram_norm.h"
#include "core/trainer/forms/pass.h"
#include "core/trainer/move_weights.h"
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
  DenseTrajectory(const AttentionData<T>& data, const TrainState<T>& state, bool along_gradient)
      : pass_(data, fits_lanes(data)),
        conclusion_(data),
        dim_(data.batch.dim),
        row_stride_(data.batch.dim),
        master_(pass_.laid_out(state.masters[0])),
        squares_(dim_),
        n_threads_(data.threads_for_products(2.0, dim_)) {
    if (along_gradient && master_.empty() && pass_.transposed() && pays_without_gradient(data)) {
      gram_norm_.emplace(data);
      if (!gram_norm_->is_usable()) gram_norm_.reset();
    }
    if (gram_norm_) row_stride_ = data.stride;
    weights_ =
        gram_norm_ ? pass_.transposed(state.blocks[0], dim_, row_stride_) : pass_.laid_out(state.blocks[0]);
  }

  Form form() const override { return Form::dense; }
  int n_threads() const override { return n_threads_; }
  typename Trajectory<T>::Entries entries(std::size_t) const override {
    if (gram_norm_) return {pass_.n_rows(), pass_.n_cols(), nullptr};
    return {dim_, dim_, weights_.data()};
  }
  std::vector<double> laid_out(std::size_t, const std::vector<double>& matrix) const override {
    return pass_.laid_out(matrix);
  }

  void evaluate(Evaluation<T>& out, unsigned want, SampleSet) override {
    const AttentionData<T>& data = pass_.data();
    const bool want_rows = (want & want_gradient) != 0;
    out.gradients.resize(1);
    BlockGradient<T>& gradient = out.gradients[0];
    std::span<T> mantissa;
    if (want_rows) {
      if (gram_norm_) gradient.into = {pass_.rows(), pass_.size()};
      mantissa = gradient.room(gram_norm_ ? pass_.size() : dim_ * dim_);
    }
    with_team(n_threads_, [&](const Team& team) {
      pass_.project(team, weights_.data(), row_stride_, pass_.projected());
      pass_.attend(team, want_rows);
      if (!conclusion_.conclude(team, pass_.attention(), out, want)) return;
      pass_.scale(team, conclusion_.factors());
      if (gram_norm_) return;
      pass_.outer_product(team, pass_.rows(), mantissa.data());
      squares_.add_share(team, data.kernels, mantissa.data());
    });
    if (!want_rows) return;
    if (!has_rows(gradient.exponent))
      fill_without_rows(gradient, mantissa);
    else if (gram_norm_)
      set_norm_of_rows(gradient);
    else
      set_norm(data.kernels, squares_.total(), mantissa, gradient);
  }
  void measure(Evaluation<T>& out) override { evaluate(out, want_all, {}); }

  void move(std::size_t, const Step<T>& step, std::int64_t) override {
    with_team(n_threads_, [&](const Team& team) {
      if (gram_norm_) {
        pass_.add_outer_product(team, static_cast<T>(-step.coefficient), step.direction, weights_.data(),
                                row_stride_);
        return;
      }
      // By the threads that have these rows of the gradient in their caches.
      const auto [begin, end] = team.share(dim_, band_unit);
      move_weights(pass_.data().kernels, step, begin * dim_, end * dim_, weights_, master_);
    });
  }

  void write(TrainState<T>& state) const override {
    state.blocks[0] = gram_norm_ ? pass_.transposed(weights_, row_stride_, dim_) : pass_.laid_out(weights_);
    state.masters[0] = pass_.laid_out(master_);
    state.span = {};
  }

 private:
  void set_norm_of_rows(BlockGradient<T>& out) {
    if (const auto norm = (*gram_norm_)(pass_.rows())) {
      out.norm = *norm;
      return;
    }
    std::vector<T> matrix(dim_ * dim_);
    pass_.outer_product(pass_.rows(), matrix.data());
    const double squared = pass_.data().kernels.dot(matrix.size(), matrix.data(), matrix.data());
    out.norm = std::sqrt(squared);
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }

  Pass<T> pass_;
  Conclusion<T> conclusion_;
  std::size_t dim_, row_stride_;  // of weights_
  std::vector<T> weights_;
  std::vector<double> master_;
  std::optional<GramNorm<T>> gram_norm_;
  SquaredNorm<T> squares_;
  int n_threads_;
};

}  // namespace softstep
