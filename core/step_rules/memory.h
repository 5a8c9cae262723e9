#pragma once

// What rules remember: plain vectors by name, sums of past gradients on an exponent of their own.

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "softstep/error.h"
#include "softstep/step_rules.h"

namespace softstep::rules {

/// What was remembered under a name, copied to `next` to be brought up to date there; `size` zeros at first.
/// Throws InvalidArgument if the memory has another size.
inline std::vector<double>& remembered(const RuleState& memory, RuleState& next, std::string_view name,
                                       std::size_t size) {
  auto place = next.values.find(name);
  if (place == next.values.end()) place = next.values.emplace(name, std::vector<double>()).first;
  std::vector<double>& values = place->second;
  if (const auto before = memory.values.find(name); before != memory.values.end())
    values = before->second;
  else
    values.assign(size, 0.0);
  if (values.size() != size)
    throw InvalidArgument("state", std::string(name) + " of the step rule has " +
                                       std::to_string(values.size()) + " entries (need " +
                                       std::to_string(size) + ")");
  return values;
}

inline void scale(std::vector<double>& values, double factor) {
  for (double& x : values) x *= factor;
}

/// The largest entry without its sign; 0 of none. In several chains, which wait for nothing but themselves.
inline double largest_size(const std::vector<double>& values) {
  constexpr std::size_t n_chains = 8;
  double largest[n_chains] = {};
  const auto take = [](double a, double x) { return a < std::fabs(x) ? std::fabs(x) : a; };
  std::size_t k = 0;
  for (; k + n_chains <= values.size(); k += n_chains)
    for (std::size_t c = 0; c < n_chains; ++c) largest[c] = take(largest[c], values[k + c]);
  for (; k < values.size(); ++k) largest[0] = take(largest[0], values[k]);
  return *std::max_element(largest, largest + n_chains);
}

/// An exponent for a history of gradients and a new one.
struct CommonExponent {
  double exponent;
  double factor;  ///< what the history is multiplied by to be on it; 1: nothing changes
  double unit;    ///< e^(gradient_exponent - exponent) |G'|: what the unit vector G'/|G'| counts there
};

/// Finds an exponent that suits a history, after its decay, of which `largest` is the largest entry, and the
/// new gradient.
///
/// The history H = H' e^exponent is linear in past gradients. The exponent follows the larger of the two, so
/// that neither overflows and only what is negligible underflows. It moves in leaps of e^20 at least, so that
/// rescaling does not round at every step, and is a whole number, so that differences of exponents do not
/// round.
inline CommonExponent common_exponent(double largest, double exponent, double gradient_exponent,
                                      double gradient_norm) {
  constexpr double leap = 20.0;
  CommonExponent out{exponent, 1.0, 0.0};
  const auto stays_by_far = [&] {
    // Logarithms to within log 2, for less; the rest is for ceil() and for roundings.
    constexpr double log2 = 0.693147180559945309417;
    const double of_gradient = gradient_exponent + log2 * std::ilogb(gradient_norm);
    const double of_history = exponent + log2 * std::ilogb(largest);
    return std::fabs(std::max(of_gradient, of_history) - exponent) < leap - 3.0;
  };
  if (!(largest > 0.0) || !(gradient_norm > 0.0) || !stays_by_far()) {
    double wanted = gradient_exponent + std::log(gradient_norm);
    if (largest > 0.0) wanted = std::max(wanted, exponent + std::log(largest));
    wanted = std::ceil(wanted);
    if (largest == 0.0 || std::fabs(wanted - exponent) > leap) {
      out.factor = largest == 0.0 ? 0.0 : std::exp(exponent - wanted);
      out.exponent = wanted;
    }
  }
  const double apart = gradient_exponent - out.exponent, unit = std::exp(apart) * gradient_norm;
  out.unit = std::isfinite(unit) ? unit : std::exp(apart + std::log(gradient_norm));
  return out;
}

/// Brings a history onto its common_exponent() with the new gradient, and returns its `unit`.
inline double onto_common_exponent(std::initializer_list<std::vector<double>*> history, double& exponent,
                                   double gradient_exponent, double gradient_norm) {
  double largest = 0.0;
  for (const std::vector<double>* values : history) largest = std::max(largest, largest_size(*values));
  const CommonExponent common = common_exponent(largest, exponent, gradient_exponent, gradient_norm);
  if (common.factor != 1.0)
    for (std::vector<double>* values : history) scale(*values, common.factor);
  exponent = common.exponent;
  return common.unit;
}

}  // namespace softstep::rules
