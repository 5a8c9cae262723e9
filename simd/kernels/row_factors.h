#pragma once

// What each sample's gradient row is multiplied by, and the batch exponent C.
//
//   m_i = gamma_opt - pivot_gap + e^c_i mu_i
//   -l'(m) = s e^q:  logistic s = 1 / (1 + e^-|m|), q = -max(m, 0);  exponential s = 1, q = -m
//   size_i = c_i + q_i + log of (gap_unit, query_unit, row_unit)         C = max_i size_i
//   row_scale = 1 / row_unit          row_factor = -s e^(size_i - C) / (n query_unit)
// row_unit is the power of two at or below `largest`, so that the scaled row is in [1, 2) and no product
// leaves the range of numbers on the way. A zero row or query has no size and factors 0.
//
// Returns C; -infinity if every row is zero; NaN if any size is NaN, or any `largest` is not finite.
//
// Error: q, c and their sum are each rounded once, so that size_i - C errs by 4 u (|m| + |c_i| + |C|). The
// relative error of the factor is that and 12 u for two exp and a quotient (tests/simd/test_row_factors.cpp).
//
// Traffic: reads 8 n elements, writes 2 n; n is small beside n d. Outputs must not overlap inputs.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE Vec<T> load_count(const T* p, std::size_t count, T fill) {
  return count == Vec<T>::width ? Vec<T>::load(p) : load_part(p, count, fill);
}

// Rows i .. i + count - 1: size, row_scale, and row_factor as yet without e^(size - C).
template <class T>
SOFTSTEP_INLINE Vec<T> row_sizes(const RowFactorsArgs<T>& in, std::size_t i, std::size_t count) {
  using V = Vec<T>;
  constexpr T log2 = T(0.69314718055994530942), infinity = std::numeric_limits<T>::infinity();
  const auto load = [&](const T* p, T fill) SOFTSTEP_LAMBDA_INLINE { return load_count(p + i, count, fill); };
  const V zero = V::all(0), one = V::all(1), none = V::all(-infinity);
  const V c = load(in.exponent, -infinity), gap = load(in.mean_gap, T(0)) * load(in.gap_unit, T(1));
  // A mean gap of 0 makes the term 0, even where c is -infinity or NaN.
  const V shifted = select(equal(gap, zero), zero, exp_nonpositive(c) * gap);
  const V m = load(in.optimal_score, T(0)) - load(in.pivot_gap, T(0)) + shifted;
  const V slope = in.logistic ? one / (one + exp_nonpositive(zero - absolute(m))) : one;
  const V q = zero - (in.logistic ? max(m, zero) : m);
  // The reciprocal of the unit must be a normal number.
  const V largest = load(in.largest, T(0)), most = V::all(T(std::numeric_limits<T>::max_exponent - 2));
  const V binary = select(equal(largest, zero), zero, binary_exponent(largest));
  const V unit = select(less(most, binary), most, binary);
  // (largest + m) * 0 is NaN where either is not finite; max may have lost a NaN.
  V size = c + q + load(in.log_unit, T(0)) + fma(unit, V::all(log2), (largest + m) * zero);
  size = select(equal(largest, zero), select(equal(c, c), none, c), size);
  store_count(size, in.size + i, count);
  store_count(power_of_two(V::all(ExpConstants<T>::shifter) - unit), in.row_scale + i, count);
  store_count((zero - slope) * load(in.inverse_query, T(0)), in.row_factor + i, count);
  return size;
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
