#pragma once

// What the attention kernels return for one sample against the scalar reference: scores from tokens, then
// everything else from the scores, each within the bound derived in core/reference/error_bounds.h.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention_case.h"
#include "core/reference/attention.h"
#include "core/reference/error_bounds.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

// Errors relative to their bounds, the worst of each kind.
struct AttentionRatios {
  double scores = 0.0, stats = 0.0, row = 0.0;
  bool nan = false;
  bool exact = true;  ///< what has no error to be compared: the pivot, the largest entry
  void add(double& worst, long double error, double bound) {
    const double ratio = error == 0 ? 0.0 : static_cast<double>(std::fabs(error)) / bound;
    if (!(ratio <= worst)) worst = ratio;
    nan = nan || std::isnan(ratio);
  }
  bool ok() const { return exact && !nan && scores <= 1.0 && stats <= 1.0 && row <= 1.0; }
};

template <class T>
void compare(const AttentionCase<T>& in, const AttentionRun<T>& out, AttentionRatios& ratios) {
  const double u = unit_roundoff<T>;
  const double tiny = static_cast<double>(std::numeric_limits<T>::min());
  const std::size_t n = in.n_tokens, d = in.dim;
  const std::vector<long double> v(in.query.data(), in.query.data() + d),
      gaps(in.gaps.data(), in.gaps.data() + n), s(out.scores.begin(), out.scores.end());
  const auto exact_scores = reference::scores(in.tokens.data(), in.stride, n, d, v.data());
  for (std::size_t t = 0; t < n; ++t) {
    double size = 0.0;
    for (std::size_t j = 0; j < d; ++j)
      size += static_cast<double>(std::fabs(static_cast<long double>(in.at(t, j)) * v[j]));
    // d products and their sum in any order: no term passes through more than d roundings.
    ratios.add(ratios.scores, s[t] - exact_scores[t], 1.01 * u * static_cast<double>(d) * size + tiny);
  }

  const auto exact = reference::attention(n, s.data(), gaps.data(), in.optimal);
  const long double c = reference::other_exponent(exact, gaps.data());
  const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
  std::vector<double> z, gap;
  for (std::size_t t = 0; t < n; ++t) {
    z.push_back(static_cast<double>(s[t] - s[pivot]));
    gap.push_back(static_cast<double>(gaps[t]));
  }
  const auto size = reference::row_magnitude(z, gap, 0.0);
  const bool empty = std::isinf(size.exponent);
  ratios.exact = ratios.exact && out.stats.pivot == pivot && std::isinf(out.stats.exponent) == empty;
  const auto n_tokens = static_cast<double>(n);
  // long doubles that are rounded once.
  if (!empty) ratios.add(ratios.stats, out.stats.exponent - c, u * static_cast<double>(std::fabs(c)));
  ratios.add(ratios.stats, out.stats.optimal_score - (s[in.optimal] - s[pivot]),
             u * std::fabs(z[in.optimal]));
  // p_a, E and the ties, mu: the lines of error_bounds.h
  const double p_a = static_cast<double>(exact.attention[pivot]);
  ratios.add(ratios.stats, out.stats.pivot_attention - exact.attention[pivot],
             1.01 * (7 * n_tokens + 6) * u * p_a);
  long double rest = 0, ties = 0, mu = 0;
  double rest_bound = tiny * n_tokens, ties_bound = tiny * n_tokens;
  for (std::size_t t = 0; t < n; ++t) {
    if (t == pivot) continue;
    if (gaps[t] == gaps[pivot]) {
      const long double w = std::exp(s[t] - s[pivot]);
      ties += w;
      ties_bound += static_cast<double>(w) * u * (n_tokens + 3 * (1 + std::fabs(z[t])));
    } else {
      const long double argument = s[t] - s[pivot] - c, e = std::exp(argument);
      rest += e;
      mu += exact.attention[pivot] * e * (gaps[pivot] - gaps[t]);
      rest_bound += static_cast<double>(e * (n_tokens + 3 * (1 - argument))) * u;
    }
  }
  ratios.add(ratios.stats, out.stats.rest - rest, 1.01 * rest_bound);
  ratios.add(ratios.stats, out.stats.ties - ties, 1.01 * ties_bound);
  ratios.add(ratios.stats, out.stats.mean_gap - mu,
             1.01 * (8 * n_tokens + 12) * u * size.moment + 4.0 * n_tokens * tiny);

  const auto r = reference::gradient_weights(exact, gaps.data(), c);
  const auto g = reference::weighted_sum(in.tokens.data(), in.stride, n, d, r.data());
  for (std::size_t j = 0; j < d; ++j) {
    // The second term is for results and e_t below the smallest normal number, which may become 0.
    double bound = 0.0, underflow = 1.0;
    for (std::size_t t = 0; t < n; ++t) {
      const double x = std::fabs(static_cast<double>(in.at(t, j)));
      bound += size.weights[t] * x;
      underflow += (1.0 + std::fabs(gap[t] - gap[pivot]) + size.moment) * x;
    }
    ratios.add(ratios.row, out.gradient[j] - g[j],
               reference::row_error_factor(n) * u * bound + tiny * underflow);
  }
  T largest = 0;
  for (const T x : out.gradient) largest = std::max(largest, std::fabs(x));
  ratios.exact = ratios.exact && out.stats.largest == largest;
}

}  // namespace softstep::test
