#pragma once

// What the loop of a run needs of what is trained.

#include <cmath>
#include <cstdint>
#include <limits>

#include "softstep/trainer.h"

namespace softstep {

class Course {
 public:
  struct Advance {
    TrainStatus status;  ///< max_iterations: the step was taken
    double length;
  };
  virtual ~Course() = default;
  /// Takes one step, or says why not and changes nothing.
  virtual Advance advance(std::int64_t iteration) = 0;
  /// Fills in all that is said of the current weights, and writes them to the state.
  virtual void measure(TraceRecord& row) = 0;
  /// The watched direction: it has moved by this much since; whether 1 - cos cannot have come down to a threshold; whether it
  /// has.
  virtual void moved(double length) = 0;
  virtual bool surely_above(double threshold) const = 0;
  virtual bool direction_at_most(double threshold) = 0;
};

/// Takes options.n_steps steps from `step`, `seconds` on.
TrainSummary run(Course& course, const RunOptions& options, std::int64_t& step, double& seconds);

/// Whether a step can be taken (max_iterations), and how the run ends if not. `bound`: of the weights' norm, which then grows
/// by the step: the weights stay finite if their norm does, checked before anything is written.
template <class T>
TrainStatus status_of(const Step<T>& step, double& bound) {
  constexpr auto largest = static_cast<double>(std::numeric_limits<T>::max());
  if (step.outcome == Step<T>::Outcome::stationary) return TrainStatus::stationary;
  if (step.outcome == Step<T>::Outcome::gap_not_positive) return TrainStatus::gap_not_positive;
  const double grown = bound + step.length;
  if (!(grown < largest) || !(std::fabs(step.coefficient) < largest)) return TrainStatus::not_finite;
  bound = grown;
  return TrainStatus::max_iterations;
}

/// Throws InvalidArgument where a direction to compare with is not one; empty is none.
void check_reference(const char* name, const std::vector<double>& reference);

}  // namespace softstep
