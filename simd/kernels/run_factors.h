#pragma once

// What the gradient rows of runs side by side are multiplied by, and each run's exponent C: row_factors.h for
// every lane by itself, in double whatever T.
//
// Formulas, error and special values are those of row_factors in double, by run, for products e^c_i mu_i that
// are what they are. A run whose C is -infinity or NaN has factors 0. Sums and maxima run over the samples in
// order, in the run's own lane: its bits do not depend on its neighbours. tests/simd/test_runs.cpp holds the
// bounds.
//
// Beside it sum_of_sizes = sum_i |row_factor_i| query_norm_i, whose terms are rounded once each and added up
// one by one.
//
// Traffic: reads 9 n w numbers, writes 3 n w, reads 3 n w again. Outputs must not overlap inputs.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/row_factors.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// As many numbers as a vector of double has.
SOFTSTEP_INLINE Vec<double> load_double(const float* p) { return widened(p); }
SOFTSTEP_INLINE Vec<double> load_double(const double* p) { return Vec<double>::load(p); }

// Adds each lane of `sum` to its number at `out`.
template <class T>
SOFTSTEP_INLINE void add_in_double(Vec<T> sum, double* out) {
  using W = Vec<double>;
  T lanes[Vec<T>::width];
  sum.store(lanes);
  for (std::size_t r = 0; r < Vec<T>::width; r += W::width)
    (W::load(out + r) + load_double(lanes + r)).store(out + r);
}

template <class T>
void run_factors(const RunFactorsArgs<T>& args) {
  // A copy, which no store can change.
  const RunFactorsArgs<T> in = args;
  using V = Vec<double>;
  constexpr std::size_t lanes = Vec<T>::width, w = V::width;
  const V zero = V::all(0), smallest = V::all(static_cast<double>(std::numeric_limits<T>::min())),
          none = V::all(-std::numeric_limits<double>::infinity());
  for (std::size_t r = 0; r < lanes; r += w) {
    // `poison` becomes NaN where a size is NaN, because max may lose it.
    V top = none, poison = zero;
    for (std::size_t k = r; k < in.n * lanes; k += lanes) {
      const V largest = load_double(in.largest + k);
      const V with_reciprocal =
          select(less(zero, largest), select(less(largest, smallest), smallest, largest), largest);
      const RowSize<double> row =
          row_size<double>({.logistic = in.logistic,
                            .exponent = load_double(in.exponent + k),
                            .shifted_gap = load_double(in.shifted_gap + k) * V::load(in.gap_unit + k),
                            .pivot_gap = V::load(in.pivot_gap + k),
                            .optimal_score = V::load(in.optimal_score + k),
                            .largest = with_reciprocal,
                            .unit_power = V::load(in.unit_power + k),
                            .inverse_query = V::load(in.inverse_query + k)});
      row.size.store(in.size + k);
      row.scale.store(in.row_scale + k);
      row.slope.store(in.row_factor + k);
      top = max(top, row.size);
      poison = poison + select(equal(row.size, row.size), zero, row.size);
    }
    top = top + poison;
    top.store(in.top + r);
    const auto has_rows = less(none, top);
    const V base = select(has_rows, top, zero);
    V sum_of_sizes = zero;
    for (std::size_t k = r; k < in.n * lanes; k += lanes) {
      const V slope = V::load(in.row_factor + k);
      const V factor = select(has_rows, slope * exp_nonpositive(V::load(in.size + k) - base), zero);
      factor.store(in.row_factor + k);
      sum_of_sizes = fma(absolute(factor), V::load(in.query_norm + k), sum_of_sizes);
    }
    sum_of_sizes.store(in.sum_of_sizes + r);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
