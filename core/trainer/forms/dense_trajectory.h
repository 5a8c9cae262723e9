#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/layer/gradient_size.h"
#include "core/layer/mantissa.h"
#include "core/trainer/compensation.h"
#include "core/trainer/forms/choose_form.h"
#include "core/trainer/forms/conclusion.h"
#include "core/trainer/forms/gram_norm.h"
#include "core/trainer/forms/pass.h"
#include "core/trainer/move_weights.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// W itself, transposed where the pass has it so; in double beside it with float64 master weights.
///
/// A rule that moves along the gradient needs its norm and W + a G, not G. Where W is large beside the
/// samples G is not formed: the norm comes from Gram matrices and the product is added to W, which is then
/// read twice and written once in a step. Its rows are padded, so that they do not share sets of the cache.
/// The entries of the gradient are then the rows g.
///
/// With float32 W takes in steps below its rounding: what is rounded off is kept beside it. Where G is not
/// formed that would be two more passes over numbers of its size in every step; there the rows g are summed
/// up, and at fixed steps W is made afresh from what it was and their product, with what that rounds off.
template <class T>
class DenseTrajectory final : public Trajectory<T> {
 public:
  DenseTrajectory(const AttentionData<T>& data, const TrainState<T>& state, bool along_gradient)
      : pass_(data, fits_lanes(data)),
        dim_(data.batch.dim),
        row_stride_(data.batch.dim),
        master_(pass_.laid_out(state.masters[0])),
        gram_norm_(make_gram_norm(data, along_gradient)),
        conclusion_(data, gram_norm_ ? gram_norm_->units().powers() : nullptr),
        squares_(dim_),
        n_threads_(data.threads_for_products(2.0, dim_)) {
    if (gram_norm_) row_stride_ = data.stride;
    weights_ = laid_out_weights(state.blocks[0]);
    if (is_compensated<T> && master_.empty()) take_up_remainder(state);
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
      pass_.outer_product(team, product_, pass_.rows(), mantissa.data());
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

  void move(std::size_t, const Step<T>& step, std::int64_t iteration) override {
    constexpr std::int64_t refresh_every = 64;
    with_team(n_threads_, [&](const Team& team) {
      if (gram_norm_ && is_compensated<T>) {
        const auto [begin, end] = team.share(recent_.size(), band_unit);
        pass_.data().kernels.axpy(end - begin, static_cast<T>(-step.coefficient), step.direction + begin,
                                  recent_.data() + begin);
        if ((iteration + 1) % refresh_every == 0) return refresh(team);
      }
      if (gram_norm_) {
        pass_.add_outer_product(team, static_cast<T>(-step.coefficient), step.direction,
                                gram_norm_->units().rows(), weights_.data(), row_stride_);
        return;
      }
      // By the threads that have these rows of the gradient in their caches.
      const auto [begin, end] = team.share(dim_, band_unit);
      move_weights(pass_.data().kernels, step, begin * dim_, end * dim_,
                   KeptWeights<T>{weights_, master_, remainder_});
    });
  }

  // For a run whose steps are taken beside those of others (core/trainer/many/): its rows' factors, and W and
  // what it is rounded off, row-major, as they are now.
  const RowFactors<T>& factors() const { return conclusion_.factors(); }
  void set_weights(const std::vector<T>& weights, const std::vector<T>& remainder) {
    weights_ = pass_.laid_out(weights);
    remainder_ = pass_.laid_out(remainder);
  }

  void write(TrainState<T>& state) const override {
    state.blocks[0] = back(weights_);
    state.masters[0] = pass_.laid_out(master_);
    state.span = {};
    state.remainders[0].clear();
    if (recent_.empty())
      state.remainders[0] = pass_.laid_out(remainder_);
    else
      state.span = {Form::dense, back(base_), {}, state.blocks[0], back(remainder_), recent_};
  }

 private:
  std::optional<GramNorm<T>> make_gram_norm(const AttentionData<T>& data, bool along_gradient) const {
    if (along_gradient && master_.empty() && pass_.transposed() && pays_without_gradient(data))
      return std::optional<GramNorm<T>>(std::in_place, data);
    return std::nullopt;
  }

  // A matrix laid out as the weights, and back.
  std::vector<T> laid_out_weights(const std::vector<T>& w) const {
    return gram_norm_ ? pass_.transposed(w, dim_, row_stride_) : pass_.laid_out(w);
  }
  std::vector<T> back(const std::vector<T>& w) const {
    return gram_norm_ ? pass_.transposed(w, row_stride_, dim_) : pass_.laid_out(w);
  }

  void take_up_remainder(const TrainState<T>& state) {
    const std::vector<T>& w = state.blocks[0];
    if (!gram_norm_) {
      remainder_ = pass_.laid_out(remainder_of(w, state.remainders[0]));
      return;
    }
    const bool goes_on = state.span.form == Form::dense && state.span.projected == w &&
                         state.span.base.size() == w.size() && state.span.recent.size() == pass_.size();
    base_ = goes_on ? laid_out_weights(state.span.base) : weights_;
    remainder_ = laid_out_weights(goes_on ? remainder_of(state.span.base, state.span.remainder)
                                          : remainder_of(w, state.remainders[0]));
    recent_.assign(pass_.size(), T(0));
    if (goes_on) recent_ = state.span.recent;
  }

  // W and what it is rounded off by, from what they were and the product of the rows since, by bands that
  // stay in cache. Every thread needs all rows first; afterwards they are cleared.
  void refresh(const Team& team) {
    const simd::Kernels<T>& kernels = pass_.data().kernels;
    const std::size_t n = pass_.data().n_rows(), stride = pass_.data().stride;
    team.wait();
    const auto [begin, end] = team.share(dim_, band_unit);
    std::vector<T> band(band_unit * row_stride_, T(0));
    for (std::size_t row = begin; row < end; row += band_unit) {
      const std::size_t n_rows = std::min(band_unit, end - row), at = row * row_stride_;
      kernels.product_tn({n_rows, dim_, n, gram_norm_->units().rows() + row, stride, recent_.data(), stride,
                          band.data(), row_stride_});
      kernels.axpy_compensated(n_rows * row_stride_, T(1), band.data(), base_.data() + at,
                               remainder_.data() + at);
      std::copy_n(base_.data() + at, n_rows * row_stride_, weights_.data() + at);
    }
    team.wait();
    const auto [first, last] = team.share(recent_.size(), band_unit);
    std::fill(recent_.begin() + static_cast<std::ptrdiff_t>(first),
              recent_.begin() + static_cast<std::ptrdiff_t>(last), T(0));
  }

  void set_norm_of_rows(BlockGradient<T>& out) {
    if (const auto norm = (*gram_norm_)(pass_.rows())) {
      out.norm = *norm;
      return;
    }
    std::vector<T> matrix(dim_ * dim_);
    pass_.outer_product(pass_.rows(), gram_norm_->units().rows(), matrix.data());
    out.norm = norm_of_matrix(pass_.data().kernels, std::move(matrix));
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }

  Pass<T> pass_;
  std::size_t dim_, row_stride_;  // of weights_
  std::vector<T> weights_;
  std::vector<double> master_;
  std::vector<T> remainder_;      // float32: of weights_, or of base_ where there are recent rows
  std::vector<T> base_, recent_;  // where G is not formed: W at the last refresh(); sum of the rows since
  std::optional<GramNorm<T>> gram_norm_;
  Conclusion<T> conclusion_;
  SquaredNorm<T> squares_;
  OrderedProduct<T> product_;
  int n_threads_;
};

}  // namespace softstep
