#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/trainer/compensation.h"
#include "core/trainer/forms/conclusion.h"
#include "core/trainer/forms/query_units.h"
#include "core/trainer/trajectory.h"
#include "softstep/metrics.h"

namespace softstep {

/// What the two span forms share. Every gradient is in the span of a fixed set of matrices E_k, so that
/// W = base + sum_k c_k E_k. Kept are the coefficients c and y = (<2^e_k E_k, W>)_k (query span: with c_k,
/// y_k vectors); a step changes c by the gradient's coefficients g and y_k by 2^e_k (H g)_k, H the Gram
/// matrix of the E_k, and ||G||^2 = <g, H g>. The E_k are made of data over powers of two (coarse_power), so
/// that H, g and c are numbers of T whatever the size of the data: c is of the size of W. The powers e_k
/// bring y to what the data themselves are to W.
///
/// y would drift from c by the rounding of every step; it is computed afresh from c at fixed steps. With
/// float32 the steps in between are summed up by themselves, and added to c with what that rounds off: c
/// takes in steps far below its rounding, for nothing.
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

  bool admits(std::size_t, const Step<T>& step) const override {
    return holds(reach_after(step), step.coefficient);
  }

  void move(std::size_t, const Step<T>& step, std::int64_t iteration) override {
    const auto a = static_cast<T>(-step.coefficient);
    const bool anew = is_refreshed_after(iteration);
    std::vector<T>& sum = step_sum();
    reach_ = reach_after(step);
    with_team(this->n_threads(), [&](const Team& team) {
      const auto [begin, end] = team.share(coefficients_.size(), band_unit);
      data_.kernels.axpy(end - begin, a, step.direction + begin, sum.data() + begin);
      if (!anew) add_in_units(team, -step.coefficient, image_.data(), projected_.data());
    });
    if (anew) refresh();
  }

  void write(TrainState<T>& state) const override {
    state.span = {this->form(), base_,  coefficients_, {projected_.begin(), projected_.end()},
                  remainder_,   recent_};
    state.blocks[0] = weights_of(state.span);
    state.remainders[0].clear();
  }

  // For a run whose steps are taken beside those of others (core/trainer/many/), by the same arithmetic in
  // another place: what a step needs and changes, y and the sum that the gradient's coefficients are added
  // to.
  const QueryUnits<T>& units() const { return units_; }
  const RowFactors<T>& factors() const { return conclusion_.factors(); }
  std::span<T> projected() { return projected_; }
  std::vector<T>& step_sum() { return is_compensated<T> ? recent_ : coefficients_; }
  /// Whether y is computed afresh after the step with this index, from what is kept.
  static bool is_refreshed_after(std::int64_t iteration) { return before_refresh(iteration) == 0; }
  /// Steps from this one on after which it is not.
  static std::int64_t before_refresh(std::int64_t iteration) { return 63 - iteration % 64; }
  void refresh() {
    std::copy(base_projected_.begin(), base_projected_.end(), projected_.begin());
    with_team(this->n_threads(), [&](const Team& team) {
      if (is_compensated<T>) {
        const auto [begin, end] = team.share(coefficients_.size(), band_unit);
        data_.kernels.axpy_compensated(end - begin, T(1), recent_.data() + begin,
                                       coefficients_.data() + begin, remainder_.data() + begin);
        std::fill(recent_.begin() + static_cast<std::ptrdiff_t>(begin),
                  recent_.begin() + static_cast<std::ptrdiff_t>(end), T(0));
        team.wait();
      }
      apply_gram(team, coefficients_.data(), image_.data());
      team.wait();
      add_in_units(team, 1.0, image_.data(), projected_.data());
    });
  }
  /// Whether the square of a gradient's norm, from inner products, has its digits where its terms could add
  /// up to `whole`. It has lost them where the terms cancel so far that rounding, relative to whole^2,
  /// counts. Of n terms of one size and no cancellation the quotient is about 1/n, far above; 1/36 n where
  /// the sum is estimated from the largest entries of rows of normal numbers.
  static bool has_digits(double squared, double whole) {
    constexpr double smallest = 64.0 * std::numeric_limits<T>::epsilon();
    return squared > smallest * whole * whole;
  }
  /// Whether T holds what is kept after a step with this coefficient, where sum_k |c_k| |E_k| is at most
  /// `reach`: W and the c_k, the sums that W is made by, and the coefficient in the units of y.
  bool holds(double reach, double coefficient) const {
    constexpr auto largest = static_cast<double>(std::numeric_limits<T>::max());
    return reach < largest * least_size_ && std::fabs(coefficient) < std::ldexp(largest, -largest_power_);
  }
  /// The norm of the matrix itself, of coefficients in this form's layout: where has_digits() says no.
  double norm_of(const T* coefficients) const { return norm_of_matrix(data_.kernels, expand(coefficients)); }

 protected:
  explicit SpanTrajectory(const AttentionData<T>& data)
      : data_(data), units_(data), conclusion_(data, units_.powers()) {}

  // From y to g without l', and g times its factors.
  virtual void attend(const Team& team, bool with_rows) = 0;
  virtual const AttentionPass<T>& attention() const = 0;
  virtual void scale(const Team& team, const RowFactors<T>& factors) = 0;
  virtual void apply_gram(const Team& team, const T* g, T* out) const = 0;
  /// projected_k += a 2^e_k image_k.
  virtual void add_in_units(const Team& team, double a, const T* image, T* projected) const = 0;
  /// At least sum_k |g_k| |E_k|.
  virtual double sum_of_sizes(const T* g) const = 0;
  /// y of the base, before anything else.
  virtual std::vector<T> project_base(const T* weights) const = 0;
  /// sum_k c_k E_k, dim x dim
  virtual std::vector<T> expand(const T* coefficients) const = 0;

  /// Called last in the constructors: where y and g are kept, the sizes of what the c_k are multiplied by on
  /// the way to W, one after the other, and the powers e_k.
  void start(const TrainState<T>& state, std::span<T> projected, std::span<T> rows,
             const std::vector<double>& sizes, const std::vector<int>& powers) {
    const std::size_t size = projected.size();
    for (const double x : sizes)
      if (x > 0.0) least_size_ = std::min(least_size_, x);
    for (const int power : powers) largest_power_ = std::max(largest_power_, power);
    projected_ = projected;
    rows_ = rows;
    coefficients_.assign(size, T(0));
    image_.assign(size, T(0));
    if (is_compensated<T>) remainder_ = recent_ = coefficients_;
    const bool goes_on = state.span.form == this->form() && state.span.coefficients.size() == size &&
                         state.span.projected.size() == size && is_its_own(state);
    const std::vector<T>& base = goes_on ? state.span.base : state.blocks[0];
    bool zero = true;
    for (const T w : base) zero = zero && w == T(0);
    if (!zero) base_ = base;
    base_projected_ = zero ? std::vector<T>(size, T(0)) : project_base(base_.data());
    const std::vector<T>& first = goes_on ? state.span.projected : base_projected_;
    std::copy(first.begin(), first.end(), projected_.begin());
    reach_ = frobenius_norm(state.blocks[0]);
    if (!goes_on) return;
    coefficients_ = state.span.coefficients;
    if (!is_compensated<T>) return;
    remainder_ = remainder_of(coefficients_, state.span.remainder);
    if (state.span.recent.size() == size) recent_ = state.span.recent;
  }

  const AttentionData<T>& data_;
  QueryUnits<T> units_;
  Conclusion<T> conclusion_;
  std::vector<T> base_, base_projected_;  // W where the coefficients are 0; empty if that is 0
  std::vector<T> coefficients_, image_;   // c and H g
  std::vector<T> remainder_, recent_;     // float32: of the coefficients; steps since the last refresh()
  std::span<T> projected_, rows_;         // y and g

 private:
  // sum_k |g_k| |E_k| of the gradient, and a bound of sum_k |c_k| |E_k|: while that is a number of T, so is
  // W, term by term.
  double whole_ = 0.0, reach_ = 0.0;
  double least_size_ = 1.0;  // of what is not zero, where it is below 1
  int largest_power_ = 0;    // e_k, where it is above 0
  double reach_after(const Step<T>& step) const { return reach_ + std::fabs(step.coefficient) * whole_; }

  std::vector<T> weights_of(const typename TrainState<T>::Span& span) const {
    std::vector<T> sum = span.coefficients;
    const bool is_whole = span.recent.size() == sum.size() && span.remainder.size() == sum.size();
    for (std::size_t k = 0; is_whole && k < sum.size(); ++k) sum[k] += span.recent[k] + span.remainder[k];
    std::vector<T> w = expand(sum.data());
    for (std::size_t k = 0; k < span.base.size(); ++k) w[k] += span.base[k];
    return w;
  }

  // Whether the state is as write() left it: its weights may have been set to others since.
  bool is_its_own(const TrainState<T>& state) const {
    return (state.span.base.empty() || state.span.base.size() == state.blocks[0].size()) &&
           weights_of(state.span) == state.blocks[0];
  }

  // ||G|| from <g, H g>, or from the matrix.
  void set_norm(BlockGradient<T>& out) {
    const double squared = data_.kernels.dot(image_.size(), rows_.data(), image_.data());
    whole_ = sum_of_sizes(rows_.data());
    if (has_digits(squared, whole_)) {
      out.norm = std::sqrt(squared);
      return;
    }
    out.norm = norm_of(rows_.data());
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }
};

}  // namespace softstep
