#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "core/max_margin/constraints/linear_map.h"

namespace softstep {

/// The dual active-set method of D. Goldfarb and A. Idnani ("A numerically stable dual method for solving
/// strictly convex quadratic programs", 1983) for min 1/2 ||W||^2 subject to <a_k, W> >= target_k. It
/// finishes what the ascent began: the rows of the face are kept in an orthogonal factorisation, so that W
/// meets them to rounding however nearly they depend on each other, and rows are exchanged one at a time
/// until no row is violated.
///
/// Needs (rows of the face) x span_size() numbers and a product with the map for every exchange: for small
/// problems, or hard ones. A budget says when to give up.
class FaceSolver {
 public:
  enum class Ending {
    solved,      ///< no row is violated by more than the tolerance or rounding
    stalled,     ///< rounding undoes what an exchange gains; the point is as good as it gets
    infeasible,  ///< multipliers() are a ray: mu >= 0 whose rows depend on each other and sum_k mu_k a_k = 0
                 ///< to rounding
    gave_up      ///< beyond the budget
  };

  explicit FaceSolver(LinearMap& map);
  ~FaceSolver();

  /// Called after every product (true), and every tenth of a second or so of other work (false); returns
  /// false to stop.
  using GoOn = std::function<bool(bool)>;
  /// Starts at the face where `multipliers` are positive. `tolerance` is of <a_k, W> / target_k - 1. The
  /// budget is in multiply-adds.
  Ending run(const std::vector<double>& multipliers, const std::vector<double>& targets, double tolerance,
             double budget, const GoOn& go_on);

  const std::vector<double>& multipliers() const { return multipliers_; }
  const std::vector<double>& span() const { return span_; }

 private:
  class Factor;
  enum class Entry { entered, infeasible, over_budget };

  bool start(const std::vector<double>& multipliers);
  void solve_face();
  void drop_negative();
  void refine();
  std::size_t most_violated(double tolerance);
  Entry enter(std::size_t row);
  bool spend(double work);
  double face_cost() const;
  Ending finished(Ending ending);

  LinearMap& map_;
  std::unique_ptr<Factor> factor_;
  std::vector<double> targets_, multipliers_, span_, values_;
  std::vector<std::size_t> face_;
  std::vector<double> face_multipliers_;
  std::vector<char> on_face_;
  GoOn go_on_;
  double work_ = 0.0, told_ = 0.0, budget_ = 0.0;  // multiply-adds
  bool stopped_ = false;
};

}  // namespace softstep
