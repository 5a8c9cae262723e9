#pragma once

// L - L* of runs side by side, as mantissa and exponent, each in its own lane, in double whatever T; L* that
// of the optimal tokens.
//
// Of a sample (docs/mathematics.md, section 2), delta = gamma_opt - m >= 0:
//   delta = pivot_gap - e^c mu, or the pair -mu e^c where pivot_gap is 0
//   logistic     l(gamma_opt - delta) - l(gamma_opt) = log1p(s e^q expm1(delta)),  s = 1 / (1 + e^-|gamma|), q = -max(gamma, 0)
//   exponential  s e^q expm1(delta),                                               s = 1, q = -gamma
// With expm1(delta) = -expm1(-delta) e^delta the argument is A e^p, A = -s expm1(-delta) and p = q + delta,
// so that nothing overflows; below e^-30 it stays a pair, above e it is p + log(A + e^-p). The mean of the
// samples is on the largest exponent, as sum_scaled() (core/losses/loss_terms.h) has it.
//
// The product e^c mu is the one that run_factors has for l'(m), where it is a normal number of T. Rounded
// another way it would be another m: gap and gradient are both about e^-m, and their quotient, which is what
// a rule takes, would err by u m, u that of T.
//
// Error: relative, at most u (60 + 4 max_i (|c_i| + |q_i| + |delta_i|)), u = 2^-53, for mean gaps and
// products that are what they are (tests/simd/test_runs.cpp). A sample without gap counts 0; without any the
// mantissa is 0. NaN in a run makes its mantissa NaN. Sums run over the samples in order, in the run's own
// lane.
//
// Traffic: reads 7 n w numbers, writes 2 n w and reads them again.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/run_factors.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// e^x - 1 for x <= 0, by the reduction and polynomial of exp.h: 2^n (e^r - 1) + (2^n - 1). To 3 u.
SOFTSTEP_INLINE Vec<double> expm1_nonpositive(Vec<double> x) {
  using C = ExpConstants<double>;
  using V = Vec<double>;
  x = at_least(V::all(C::lowest), x);
  const V shifted = fma(x, V::all(C::log2e), V::all(C::shifter)), n = shifted - V::all(C::shifter);
  const V r = fma(n, V::all(-C::log2_low), fma(n, V::all(-C::log2_high), x));
  V q = fma(V::all(C::q[0]), r, V::all(C::q[1]));
  SOFTSTEP_UNROLL
  for (std::size_t i = 2; i < sizeof(C::q) / sizeof(double); ++i) q = fma(q, r, V::all(C::q[i]));
  q = fma(r * r, q, r);
  const V power = power_of_two(shifted);
  return fma(power, q, power - V::all(1));
}

// log(u + rest) for u in [1/4, 4] and a rest that was rounded off it: u + rest = 2^k (1 + f), f from
// 1/sqrt(2) - 1 to sqrt(2) - 1, log(1 + f) = 2 atanh(f / (2 + f)) by its series. To 6 u of the
// result.
SOFTSTEP_INLINE Vec<double> log_near_one(Vec<double> u, Vec<double> rest) {
  using V = Vec<double>;
  constexpr double coefficients[] = {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
                                     2.0 / 11, 2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3};
  const V k = binary_exponent(u * V::all(1.41421356237309505));
  const V scale = power_of_two(V::all(ExpConstants<double>::shifter) - k);
  const V f = fma(rest, scale, fma(u, scale, V::all(-1.0)));
  const V s = f / (V::all(2) + f), z = s * s;
  V r = V::all(coefficients[0]);
  SOFTSTEP_UNROLL
  for (std::size_t i = 1; i < sizeof(coefficients) / sizeof(double); ++i)
    r = fma(r, z, V::all(coefficients[i]));
  const V log_of_f = fma(s * z, r, s + s);
  return fma(k, V::all(0.69314718055994530942), log_of_f);
}

// One vector of samples: a gap as mantissa e^exponent.
struct GapPair {
  Vec<double> mantissa, exponent;
};
SOFTSTEP_INLINE GapPair gap_of(bool logistic, Vec<double> c, Vec<double> mu, Vec<double> shifted,
                               Vec<double> pivot_gap, Vec<double> slope, Vec<double> slope_exponent) {
  using V = Vec<double>;
  const V zero = V::all(0), one = V::all(1), far = V::all(-30.0), near = V::all(1.0);
  const auto at_optimal = equal(pivot_gap, zero);
  const V plain = pivot_gap - shifted;
  const V delta = select(at_optimal, zero - shifted, select(less(plain, zero), zero, plain));
  // Below 2^-58 expm1 is its argument, which may be a pair.
  const auto is_pair = less(delta, V::all(0x1p-58));
  const V of_pair = select(at_optimal, zero - mu, delta), e_of_pair = select(at_optimal, c, zero);
  const V a = slope * select(is_pair, of_pair, zero - expm1_nonpositive(zero - delta));
  const V p = slope_exponent + delta + select(is_pair, e_of_pair, zero);
  if (!logistic) return {a, p};
  const V e = exp_nonpositive(zero - absolute(p));  // e^p, or e^-p where that is above 1
  const auto is_positive = less(zero, p);
  const auto is_large = less(near, p);
  // Where it counts e is above 0.3. The maximum keeps the divisor off 0, which a select does not: Clang
  // divides by what the select would have replaced.
  const V x = a * select(is_positive, one / max(e, V::all(0x1p-64)), e);
  const V u = select(is_large, a + e, one + x), rest = select(is_large, zero, x - (u - one));
  const V log_x = log_near_one(u, rest) + select(is_large, p, zero);
  const auto is_far = less(p, far);
  return {select(is_far, fma(V::all(-0.5) * x, a, a), log_x), select(is_far, p, zero)};
}

// e^c mu, from the number of T that it was rounded to; where that has lost its digits, from c and mu. NaN in
// c stays.
template <class T>
SOFTSTEP_INLINE Vec<double> shifted_gap_of(Vec<double> c, Vec<double> mu, Vec<double> rounded) {
  using V = Vec<double>;
  const V zero = V::all(0), kept = select(equal(c, c), rounded, c);
  const auto is_lost = less(absolute(kept), V::all(static_cast<double>(std::numeric_limits<T>::min())));
  return select(is_lost, select(equal(mu, zero), zero, exp_nonpositive(c) * mu), kept);
}

template <class T>
void run_gaps(const RunGapsArgs<T>& args) {
  // A copy, which no store can change.
  const RunGapsArgs<T> in = args;
  using V = Vec<double>;
  constexpr std::size_t lanes = Vec<T>::width, w = V::width;
  const V zero = V::all(0), none = V::all(-std::numeric_limits<double>::infinity());
  for (std::size_t r = 0; r < lanes; r += w) {
    V top = none;
    for (std::size_t k = r; k < in.n * lanes; k += lanes) {
      const V c = load_double(in.exponent + k), mu = load_double(in.mean_gap + k),
              unit = V::load(in.gap_unit + k);
      const V shifted = shifted_gap_of<T>(c, mu, load_double(in.shifted_gap + k));
      const GapPair gap = gap_of(in.logistic, c, mu * unit, shifted * unit, V::load(in.pivot_gap + k),
                                 V::load(in.slope + k), V::load(in.slope_exponent + k));
      gap.mantissa.store(in.work + 2 * k);
      gap.exponent.store(in.work + 2 * k + w);
      top = max(top, select(equal(gap.mantissa, zero), none, gap.exponent));
    }
    const V base = select(less(none, top), top, zero);
    V sum = zero;
    for (std::size_t k = r; k < in.n * lanes; k += lanes) {
      const V mantissa = V::load(in.work + 2 * k), exponent = V::load(in.work + 2 * k + w);
      const V above = exponent - base;
      sum = sum + select(equal(mantissa, zero), zero,
                         mantissa * exp_nonpositive(select(less(zero, above), zero, above)));
    }
    // As a signed number: Clang converts unsigned ones by vector instructions, in the scalar kernels too.
    (sum / V::all(static_cast<double>(static_cast<std::ptrdiff_t>(in.n)))).store(in.mantissa + r);
    base.store(in.top + r);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
