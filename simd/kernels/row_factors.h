#pragma once

// What each sample's gradient row is multiplied by, and the batch exponent C.
//
//   m_i = gamma_opt - pivot_gap + e^c_i mu_i
//   -l'(m) = s e^q:  logistic s = 1 / (1 + e^-|m|), q = -max(m, 0);  exponential s = 1, q = -m
//   size_i = e^(c_i + q_i) 2^p_i, p_i the binary exponent of gap_unit, query_unit and row_unit     e^C = max_i size_i
//   row_scale = 1 / row_unit          row_factor = -s (size_i / e^C) / (n query_unit)
// row_unit is the power of two at or below `largest`, so that the scaled row is in [1, 2) and no product
// leaves the range of numbers on the way. A zero row or query has no size and factors 0.
//
// Returns C; -infinity if every row is zero; NaN if any size is NaN, or any `largest` is not finite.
//
// Powers of two stay whole numbers, and quotients of sizes are taken from differences of both exponents. So the
// factors do not feel how far the units are from 1, and those of data times a power of two are the same bits.
//
// Error: c + q, the differences and the sum y = log(size_i / e^C) are rounded once each, so that the factor errs by
// 4 u (|m_i| + |c_i| + |m_k| + |c_k| + |y|), k the largest, and 12 u (exp twice, one quotient); C by 4 u (|m_k| + |c_k| + |C|).
// tests/simd/test_row_factors.cpp holds both.
//
// Traffic: reads 8 n elements, writes 4 n, reads 3 n of them again; n is small beside n d. Outputs must not overlap inputs.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE Vec<T> load_count(const T* p, std::size_t count, T fill) {
  return count == Vec<T>::width ? Vec<T>::load(p) : load_part(p, count, fill);
}

template <class T>
struct RowSizes {
  Vec<T> natural, binary;
};
template <class T>
constexpr T log_of_2 = T(0.69314718055994530942);

// Rows i .. i + count - 1: sizes, row_scale, and row_factor as yet without its quotient of sizes.
template <class T>
SOFTSTEP_INLINE RowSizes<T> row_sizes(const RowFactorsArgs<T>& in, std::size_t i, std::size_t count) {
  using V = Vec<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
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
  const V exponent = select(equal(largest, zero), zero, binary_exponent(largest));
  const V unit = select(less(most, exponent), most, exponent);
  RowSizes<T> out;
  out.binary = load(in.unit_power, T(0)) + unit;
  // (largest + m) * 0 is NaN where either is not finite; max may have lost a NaN.
  out.natural = fma(largest + m, zero, c + q);
  out.natural = select(equal(largest, zero), select(equal(c, c), none, c), out.natural);
  store_count(out.natural, in.natural + i, count);
  store_count(out.binary, in.binary + i, count);
  store_count(power_of_two(V::all(ExpConstants<T>::shifter) - unit), in.row_scale + i, count);
  store_count((zero - slope) * load(in.inverse_query, T(0)), in.row_factor + i, count);
  return out;
}

template <class T>
T row_factors(const RowFactorsArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const V zero = V::all(0), log_2 = V::all(log_of_2<T>);
  // The largest of each lane, in both parts. `poison` becomes NaN where a size is NaN, which no comparison finds.
  V top = V::all(-infinity), top_natural = zero, top_binary = zero, poison = zero;
  for (std::size_t i = 0; i < in.n; i += w) {
    const RowSizes<T> size = row_sizes(in, i, in.n - i < w ? in.n - i : w);
    const V total = fma(size.binary, log_2, size.natural);
    const auto larger = less(top, total);
    top_natural = select(larger, size.natural, top_natural);
    top_binary = select(larger, size.binary, top_binary);
    top = select(larger, total, top);
    poison = poison + select(equal(total, total), zero, total);
  }
  T tops[w], naturals[w], binaries[w];
  top.store(tops);
  top_natural.store(naturals);
  top_binary.store(binaries);
  std::size_t k = 0;
  for (std::size_t lane = 1; lane < w; ++lane)
    if (tops[lane] > tops[k]) k = lane;
  const T largest = tops[k] + sum(poison);
  if (!(largest > -infinity)) return largest;
  const V natural = V::all(naturals[k]), binary = V::all(binaries[k]);
  for (std::size_t i = 0; i < in.n; i += w) {
    const std::size_t count = in.n - i < w ? in.n - i : w;
    const auto load = [&](const T* p, T fill)
                          SOFTSTEP_LAMBDA_INLINE { return load_count(p + i, count, fill); };
    const V y = fma(load(in.binary, T(0)) - binary, log_2, load(in.natural, -infinity) - natural);
    store_count(load(in.row_factor, T(0)) * exp_nonpositive(y), in.row_factor + i, count);
  }
  return largest;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
