#include "core/max_margin/norms/barrier.h"

#include <cmath>
#include <limits>

namespace softstep {
namespace {

constexpr double growth = 10.0;  // of tau from one minimiser to the next
// Squared decrements: from near_centre on Newton's method converges quadratically, at `centre` a point counts
// as minimiser. near_centre is not enough for that, because an active margin may be off by the decrement
// itself.
constexpr double near_centre = 1e-3, centre = 1e-16;
constexpr std::size_t steps_a_centre = 100;

}  // namespace

void follow_path(Barrier& barrier, std::vector<double> x, double tau, std::size_t most_steps,
                 const std::function<bool(const std::vector<Barrier::Pair>&, std::size_t)>& centred,
                 const std::function<bool(std::size_t)>& stepped) {
  std::vector<double> direction(x.size()), trial(x.size());
  std::size_t steps = 0;
  for (;; tau *= growth) {
    double before = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < steps_a_centre; ++k) {
      const double decrement = barrier.newton(tau, x, direction);
      if (std::isnan(decrement)) return;
      // Near the centre, a decrement that does not halve is rounding error.
      if (!(decrement > centre) || (before <= near_centre && !(decrement <= 0.5 * before))) break;
      before = decrement;
      if (steps == most_steps) return;
      ++steps;
      const double now = barrier.value(tau, x);
      const double noise = 1e-14 * barrier.magnitude(tau, x);
      bool moved = false;
      for (double length = 1.0; length > 1e-12 && !moved; length *= 0.5) {
        for (std::size_t j = 0; j < x.size(); ++j) trial[j] = x[j] + length * direction[j];
        moved = barrier.value(tau, trial) <= now - 0.1 * length * decrement + noise;
      }
      if (!moved) break;
      x.swap(trial);
      if (!stepped(steps)) return;
    }
    if (!centred(barrier.pairs(tau, x), steps)) return;
  }
}

}  // namespace softstep
