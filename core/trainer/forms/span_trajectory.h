#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/trainer/forms/conclusion.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// What the two span forms share. Every gradient is in the span of a fixed set of matrices E_k, so that
/// W = base + sum_k b_k E_k. Kept are the coefficients b and y = (<E_k, W>)_k (query span: with b_k, y_k vectors); a step
/// changes b by the gradient's coefficients g and y by H g, H the Gram matrix of the E_k, and ||G||^2 = <g, H g>.
///
/// y would drift from b by the rounding of every step; it is computed afresh from b at fixed steps.
template <class T>
class SpanTrajectory : public Trajectory<T> {
 public:
  void evaluate(Evaluation<T>& out, unsigned want, SampleSet) override {
    const bool want_rows = (want & want_gradient) != 0;
    out.gradients.resize(1);
    BlockGradient<T>& gradient = out.gradients[0];
    gradient.into = rows_;
    with_team(this->n_threads(), [&](const Team& team) {
      attend(team, want_rows);
      if (!conclusion_.conclude(team, attention(), out, want)) return;
      scale(team, conclusion_.factors());
      apply_gram(team, rows_.data(), image_.data());
    });
    if (!want_rows) return;
    if (!has_rows(gradient.exponent))
      fill_without_rows(gradient, rows_);
    else
      set_norm(gradient);
  }
  void measure(Evaluation<T>& out) override { evaluate(out, want_all, {}); }

  void move(std::size_t, const Step<T>& step, std::int64_t iteration) override {
    constexpr std::int64_t refresh_every = 64;
    const auto a = static_cast<T>(-step.coefficient);
    const bool anew = (iteration + 1) % refresh_every == 0;
    with_team(this->n_threads(), [&](const Team& team) {
      const auto [begin, end] = team.share(coefficients_.size(), band_unit);
      data_.kernels.axpy(end - begin, a, step.direction + begin, coefficients_.data() + begin);
      if (!anew) data_.kernels.axpy(end - begin, a, image_.data() + begin, projected_.data() + begin);
    });
    if (anew) refresh();
  }

  void write(TrainState<T>& state) const override {
    state.blocks[0] = weights_of(base_, coefficients_);
    state.span = {this->form(), base_, coefficients_, {projected_.begin(), projected_.end()}};
  }

 protected:
  explicit SpanTrajectory(const AttentionData<T>& data) : data_(data), conclusion_(data) {}

  // From y to g without l', and g times its factors.
  virtual void attend(const Team& team, bool with_rows) = 0;
  virtual const AttentionPass<T>& attention() const = 0;
  virtual void scale(const Team& team, const RowFactors<T>& factors) = 0;
  virtual void apply_gram(const Team& team, const T* g, T* out) const = 0;
  /// At least sum_k |g_k| |E_k|.
  virtual double sum_of_sizes(const T* g) const = 0;
  /// y of the base, before anything else.
  virtual std::vector<T> project_base(const T* weights) const = 0;
  /// sum_k b_k E_k, dim x dim
  virtual std::vector<T> expand(const T* coefficients) const = 0;

  /// Called last in the constructors: where y and g are kept.
  void start(const TrainState<T>& state, std::span<T> projected, std::span<T> rows) {
    const std::size_t size = projected.size();
    projected_ = projected;
    rows_ = rows;
    coefficients_.assign(size, T(0));
    image_.assign(size, T(0));
    const bool goes_on = state.span.form == this->form() && state.span.coefficients.size() == size &&
                         state.span.projected.size() == size && is_its_own(state);
    const std::vector<T>& base = goes_on ? state.span.base : state.blocks[0];
    bool zero = true;
    for (const T w : base) zero = zero && w == T(0);
    if (!zero) base_ = base;
    base_projected_ = zero ? std::vector<T>(size, T(0)) : project_base(base_.data());
    const std::vector<T>& first = goes_on ? state.span.projected : base_projected_;
    std::copy(first.begin(), first.end(), projected_.begin());
    if (goes_on) coefficients_ = state.span.coefficients;
  }

  const AttentionData<T>& data_;
  Conclusion<T> conclusion_;
  std::vector<T> base_, base_projected_;  // W where the coefficients are 0; empty if that is 0
  std::vector<T> coefficients_, image_;   // b and H g
  std::span<T> projected_, rows_;         // y and g

 private:
  std::vector<T> weights_of(const std::vector<T>& base, const std::vector<T>& coefficients) const {
    std::vector<T> w = expand(coefficients.data());
    for (std::size_t k = 0; k < base.size(); ++k) w[k] += base[k];
    return w;
  }

  // Whether the state is as write() left it: its weights may have been set to others since.
  bool is_its_own(const TrainState<T>& state) const {
    return (state.span.base.empty() || state.span.base.size() == state.blocks[0].size()) &&
           weights_of(state.span.base, state.span.coefficients) == state.blocks[0];
  }

  void refresh() {
    with_team(this->n_threads(),
              [&](const Team& team) { apply_gram(team, coefficients_.data(), projected_.data()); });
    for (std::size_t k = 0; k < projected_.size(); ++k) projected_[k] += base_projected_[k];
  }

  // <g, H g> has lost its digits where the terms of the gradient cancel so far that rounding, relative to
  // (sum |g_k| |E_k|)^2, counts: then the norm is that of the matrix itself. Of g with n terms of one size and no
  // cancellation the quotient is about 1/n, far above; 1/36 n where the sum is estimated from the largest entries of rows of
  // normal numbers.
  void set_norm(BlockGradient<T>& out) const {
    const double squared = data_.kernels.dot(image_.size(), rows_.data(), image_.data());
    const double whole = sum_of_sizes(rows_.data());
    constexpr double smallest = 64.0 * std::numeric_limits<T>::epsilon();
    if (squared > smallest * whole * whole) {
      out.norm = std::sqrt(squared);
      return;
    }
    const std::vector<T> matrix = expand(rows_.data());
    out.norm = std::sqrt(data_.kernels.dot(matrix.size(), matrix.data(), matrix.data()));
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }
};

}  // namespace softstep
