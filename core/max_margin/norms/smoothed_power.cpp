#include "core/max_margin/norms/smoothed_power.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {
namespace {

// With s = log t = p log |w| + sigma, r = t^(2/p) / (t^(2/p) - w^2) = 1 / (1 - e^(-2 sigma / p)), and the
// derivative by s is zero where e^(excess + sigma) = 2 r / p + 1 - 1/p, excess = log(tau / p |w|^p). The left
// side rises from 0 and the right side falls, so that there is one sigma. In y = log sigma the difference of
// the logarithms is increasing with a slope from 1 on.
double minimising_sigma(double excess, double alpha) {
  const auto missing = [&](double sigma) {
    const double r = -1.0 / std::expm1(-2.0 * alpha * sigma);
    return excess + sigma - std::log(2.0 * alpha * r + 1.0 - alpha);
  };
  // sigma ~ 1 / e^excess where that is large, and ~ -excess where it is small.
  double sigma = excess > 0.0 ? std::exp(-excess) : std::log1p(alpha) - excess;
  double low = 0.0, high = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 100; ++k) {
    const double now = missing(sigma);
    (now > 0.0 ? high : low) = sigma;
    const double r = -1.0 / std::expm1(-2.0 * alpha * sigma);
    const double slope =
        sigma * (1.0 + 4.0 * alpha * alpha * r * (r - 1.0) / (2.0 * alpha * r + 1.0 - alpha));
    double next = sigma * std::exp(-now / slope);
    if (!(next > low && next < high)) next = std::isfinite(high) ? 0.5 * (low + high) : 2.0 * sigma;
    const bool done = std::fabs(next - sigma) <= 1e-15 * sigma;
    sigma = next;
    if (done) break;
  }
  return sigma;
}

}  // namespace

SmoothedPower smoothed_power(double w, double p, double tau) {
  const double alpha = 1.0 / p, level = std::log(tau * alpha);
  const double size = std::fabs(w);
  double s = std::log1p(alpha) - level;  // at w = 0
  double r = 1.0, room = std::exp(2.0 * alpha * s);
  // |w| whose square is nothing beside the room there is counts as 0.
  if (size * size > 1e-20 * room) {
    const double start = p * std::log(size), sigma = minimising_sigma(level + start, alpha);
    s = start + sigma;
    room = size * size * std::expm1(2.0 * alpha * sigma);
    r = -1.0 / std::expm1(-2.0 * alpha * sigma);
  }
  const double linear = 2.0 * alpha * r + 1.0 - alpha;  // tau t / p
  SmoothedPower out;
  out.value = linear - std::log(room) - (1.0 - alpha) * s;
  out.magnitude = std::max({linear, std::fabs(std::log(room)), std::fabs(s)});
  out.slope = 2.0 * w / room;
  // g_ww - g_ws^2 / g_ss, with the terms that cancel for large r taken out.
  const double g_ss = linear + 4.0 * alpha * alpha * r * (r - 1.0);
  const double rest = 4.0 * alpha * (1.0 - alpha) * r * r +
                      2.0 * r * (1.0 - 2.0 * alpha + 2.0 * alpha * alpha) - (1.0 - alpha);
  out.curvature = 2.0 / room * rest / g_ss;
  return out;
}

}  // namespace softstep
