#include "core/max_margin/proofs/certificate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {

Certificate measure(const std::vector<double>& multipliers, const std::vector<double>& sizes,
                    const std::vector<double>& values, double squared_norm, double combination_squared) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Certificate out;
  double sum = 0.0, largest = 0.0;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    if (!(sizes[k] > 0.0)) continue;
    sum += multipliers[k] / sizes[k];
    largest = std::max(largest, multipliers[k] / sizes[k]);
  }
  out.factor = sum / combination_squared;
  out.smallest = infinity;
  bool nan = false;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    if (!(sizes[k] > 0.0)) continue;
    const double margin = out.factor * values[k] * sizes[k];
    const double share = multipliers[k] / sizes[k] / largest;
    nan = nan || std::isnan(margin) || std::isnan(share);
    out.smallest = std::min(out.smallest, margin);
    out.kkt_residual = std::max(out.kkt_residual, std::fabs(std::min(share, margin - 1.0)));
  }
  // primal 1/2 ||s W / smallest||^2, dual 1/2 ||s sum lambda A||^2: the gap is 1 - smallest^2 (ratio of the
  // squares).
  const double difference = (squared_norm - combination_squared) / squared_norm;
  const double gap = (1.0 - out.smallest) * (1.0 + out.smallest) + out.smallest * out.smallest * difference;
  out.duality_gap = out.smallest > 0.0 ? std::max(0.0, gap) : infinity;
  // Infinite beside a margin: a W of no length has none, so the numbers contradict each other.
  nan = nan || std::isnan(gap) || (out.smallest > 0.0 && std::isinf(gap));
  if (nan) out.smallest = out.duality_gap = out.kkt_residual = std::numeric_limits<double>::quiet_NaN();
  return out;
}

double combination_length(const std::vector<double>& multipliers, double squared_norm) {
  double sum = 0.0;
  for (const double m : multipliers) sum += m;
  return std::sqrt(squared_norm) / sum;
}

}  // namespace softstep
