#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace softstep {

/// A convex problem whose minimisers for growing weight tau lead to the solution of a norm's max-margin
/// problem: its constraints stand in a logarithmic barrier, whose gap is `barrier_parameter` / tau.
class Barrier {
 public:
  virtual ~Barrier() = default;
  /// tau (objective) + barrier; +infinity outside.
  virtual double value(double tau, const std::vector<double>& x) = 0;
  /// Newton direction at x, and its squared decrement g^T H^-1 g; NaN where none was found.
  virtual double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) = 0;
  /// Largest size of a term of value(), for what rounding does to it.
  virtual double magnitude(double tau, const std::vector<double>& x) = 0;
  virtual double barrier_parameter() const = 0;

  struct Pair {
    std::vector<double> weights, multipliers;
  };
  /// What the point says about W and lambda, up to a factor each, in one way or in several.
  virtual std::vector<Pair> pairs(double tau, const std::vector<double>& x) = 0;
};

/// Follows the minimisers from x by Newton's method with a line search. `centred` gets the pairs of each and
/// the steps taken, and says whether to go on; `stepped` is asked after every step. Ends as well when steps
/// no longer descend, or at most_steps.
void follow_path(Barrier& barrier, std::vector<double> x, double tau, std::size_t most_steps,
                 const std::function<bool(const std::vector<Barrier::Pair>&, std::size_t)>& centred,
                 const std::function<bool(std::size_t)>& stepped);

}  // namespace softstep
