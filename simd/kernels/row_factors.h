#pragma once

// What each sample's gradient row is multiplied by, and the batch exponent C.
//
//   m_i = gamma_opt - pivot_gap + e^c_i mu_i
//   -l'(m) = s e^q:  logistic s = 1 / (1 + e^-|m|), q = -max(m, 0);  exponential s = 1, q = -m
//   size_i = c_i + q_i + p_i log 2, p_i the binary exponent of gap_unit, query_unit and row_unit        C = max_i size_i
//   row_scale = 1 / row_unit          row_factor = -s e^(size_i - C) / (n query_unit)
// row_unit is the power of two at or below `largest`, so that the scaled row is in [1, 2) and no product
// leaves the range of numbers on the way. A zero row or query has no size and factors 0.
//
// Returns C; -infinity if every row is zero; NaN if any size is NaN, or any `largest` is not finite.
//
// Error: c + q, p log 2 added to it and size_i - C are rounded once each. So the factor errs by
// 5 u (|m_i| + |c_i| + |m_k| + |c_k| + |size_i - C|) + 0.7 u (|p_i| + |p_k|), k the largest row, and 12 u for
// two exp and a quotient; C by 4 u (|m_k| + |c_k| + |C|). |m| stands for the sizes of the terms of m. Callers
// keep p small: they leave out of unit_power what all rows have in common. tests/simd/test_row_factors.cpp
// holds both bounds.
//
// Traffic: reads 8 n elements, writes 3 n, reads 2 n of them again; n is small beside n d. Outputs must not
// overlap inputs.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE Vec<T> load_count(const T* p, std::size_t count, T fill) {
  return count == Vec<T>::width ? Vec<T>::load(p) : load_part(p, count, fill);
}

// One vector of rows; the fields of RowFactorsArgs, and e^c_i mu_i.
template <class T>
struct RowOutcome {
  bool logistic;
  Vec<T> exponent, shifted_gap, pivot_gap, optimal_score, largest, unit_power, inverse_query;
};
// Its sizes, row_scale, and row_factor as yet without e^(size - C).
template <class T>
struct RowSize {
  Vec<T> size, scale, slope;
};

template <class T>
SOFTSTEP_INLINE RowSize<T> row_size(const RowOutcome<T>& in) {
  using V = Vec<T>;
  const V zero = V::all(0), one = V::all(1), none = V::all(-std::numeric_limits<T>::infinity());
  const V c = in.exponent, largest = in.largest, m = in.optimal_score - in.pivot_gap + in.shifted_gap;
  const V slope = in.logistic ? one / (one + exp_nonpositive(zero - absolute(m))) : one;
  const V q = zero - (in.logistic ? max(m, zero) : m);
  // The reciprocal of the unit must be a normal number.
  const V most = V::all(T(std::numeric_limits<T>::max_exponent - 2));
  const V exponent = select(equal(largest, zero), zero, binary_exponent(largest));
  const V unit = select(less(most, exponent), most, exponent);
  // (largest + m) * 0 is NaN where either is not finite; max may have lost a NaN.
  const V natural = fma(largest + m, zero, c + q), log_2 = V::all(T(0.69314718055994530942));
  const V size = fma(in.unit_power + unit, log_2, natural);
  return {select(equal(largest, zero), select(equal(c, c), none, c), size),
          power_of_two(V::all(ExpConstants<T>::shifter) - unit), (zero - slope) * in.inverse_query};
}

// Rows i .. i + count - 1. Returns their sizes.
template <class T>
SOFTSTEP_INLINE Vec<T> row_sizes(const RowFactorsArgs<T>& in, std::size_t i, std::size_t count) {
  const auto load = [&](const T* p, T fill) SOFTSTEP_LAMBDA_INLINE { return load_count(p + i, count, fill); };
  const Vec<T> zero = Vec<T>::all(0), c = load(in.exponent, -std::numeric_limits<T>::infinity()),
               gap = load(in.mean_gap, T(0)) * load(in.gap_unit, T(1));
  // A mean gap of 0 makes the term 0, even where c is -infinity or NaN.
  const RowSize<T> row = row_size<T>({.logistic = in.logistic,
                                      .exponent = c,
                                      .shifted_gap = select(equal(gap, zero), zero, exp_nonpositive(c) * gap),
                                      .pivot_gap = load(in.pivot_gap, T(0)),
                                      .optimal_score = load(in.optimal_score, T(0)),
                                      .largest = load(in.largest, T(0)),
                                      .unit_power = load(in.unit_power, T(0)),
                                      .inverse_query = load(in.inverse_query, T(0))});
  store_count(row.size, in.size + i, count);
  store_count(row.scale, in.row_scale + i, count);
  store_count(row.slope, in.row_factor + i, count);
  return row.size;
}

template <class T>
T row_factors(const RowFactorsArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const V zero = V::all(0);
  // `poison` becomes NaN where a size is NaN, because max may lose it.
  V top = V::all(-infinity), poison = zero;
  for (std::size_t i = 0; i < in.n; i += w) {
    const V size = row_sizes(in, i, in.n - i < w ? in.n - i : w);
    top = max(top, size);
    poison = poison + select(equal(size, size), zero, size);
  }
  const T largest = maximum(top) + sum(poison);
  if (!(largest > -infinity)) return largest;
  for (std::size_t i = 0; i < in.n; i += w) {
    const std::size_t count = in.n - i < w ? in.n - i : w;
    const V size = load_count(in.size + i, count, -infinity),
            slope = load_count(in.row_factor + i, count, T(0));
    store_count(slope * exp_nonpositive(size - V::all(largest)), in.row_factor + i, count);
  }
  return largest;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
