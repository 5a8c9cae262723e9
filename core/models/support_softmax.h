#pragma once

// The softmax within the support of one context, from how far its logits are off: right relative to that,
// however little.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "softstep/scaled.h"

namespace softstep {

// e^x - 1 - x, right for small x too.
inline double exp_minus_one_minus(double x) {
  if (!(std::fabs(x) < 0.5)) return std::expm1(x) - x;
  double term = 0.5 * x * x, sum = term;
  for (int k = 3; std::fabs(term) > 1e-17 * sum; ++k) sum += term *= x / k;
  return sum;
}

// KL(p || q) for q = p e^x / sum p e^x, and q - p = values * e^exponent.
struct SupportSoftmax {
  Scaled divergence;
  std::vector<double> share;       // q
  std::vector<double> difference;  // mantissas of q - p
  double exponent = -std::numeric_limits<double>::infinity();
  double log_sum = 0.0;  // log sum_v p_v e^x_v
};

inline void within_support(const double* p, std::vector<double>& x, SupportSoftmax& out) {
  const std::size_t n = x.size();
  out.share.resize(n);
  out.difference.resize(n);
  double mean = 0.0, largest = 0.0;
  for (std::size_t v = 0; v < n; ++v) mean += p[v] * x[v];
  for (double& value : x) {
    value -= mean;
    largest = std::fabs(value) <= largest ? largest : std::fabs(value);  // NaN stays
  }
  out.exponent = std::log(largest);
  if (largest < 1e-17) {  // first and second order are all there is
    double squares = 0.0;
    for (std::size_t v = 0; v < n; ++v) {
      const double unit = largest == 0.0 ? 0.0 : x[v] / largest;
      out.difference[v] = p[v] * unit;
      out.share[v] = p[v];
      squares += p[v] * unit * unit;
    }
    out.divergence = {0.5 * squares, squares == 0.0 ? 0.0 : 2.0 * out.exponent};
    out.log_sum = mean;
    return;
  }
  if (largest < 30.0) {
    double growth = 0.0, excess = 0.0;  // sum p (e^x - 1), the same less x
    for (std::size_t v = 0; v < n; ++v) {
      growth += p[v] * std::expm1(x[v]);
      excess += p[v] * exp_minus_one_minus(x[v]);
    }
    for (std::size_t v = 0; v < n; ++v) {
      out.difference[v] = p[v] * ((std::expm1(x[v]) - growth) / (1.0 + growth) / largest);
      out.share[v] = p[v] * std::exp(x[v]) / (1.0 + growth);
    }
    out.divergence = {std::log1p(excess), 0.0};
    out.log_sum = mean + std::log1p(growth);
    return;
  }
  const double top = *std::max_element(x.begin(), x.end());
  double sum = 0.0;
  for (std::size_t v = 0; v < n; ++v) sum += p[v] * std::exp(x[v] - top);
  for (std::size_t v = 0; v < n; ++v) {
    out.share[v] = p[v] * std::exp(x[v] - top) / sum;
    out.difference[v] = (out.share[v] - p[v]) / largest;
  }
  out.divergence = {top + std::log(sum), 0.0};
  out.log_sum = mean + top + std::log(sum);
}

}  // namespace softstep
