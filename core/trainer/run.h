#pragma once

// The loop of a run, and what it needs of what is trained.

#include <cstdint>
#include <optional>

#include "softstep/trainer.h"

namespace softstep {

class Course {
 public:
  struct Advance {
    std::optional<TrainStatus> refused = {};  ///< how the run ends, if the step was not taken
    double length = 0.0;                      ///< of the step
    bool is_below_rounding = false;           ///< it was shorter than the rounding of the weights
  };
  virtual ~Course() = default;
  /// Takes one step, or says why not and changes nothing.
  virtual Advance advance(std::int64_t iteration) = 0;
  /// Fills in all that is said of the current weights, and writes them to the state.
  virtual void measure(TraceRecord& row) = 0;
  /// Writes the current weights to the state.
  virtual void write_state() = 0;
  /// The watched direction: it has moved by this much since; whether 1 - cos cannot have come down to a
  /// threshold; whether it has.
  virtual void moved(double length) = 0;
  virtual bool surely_above(double threshold) const = 0;
  virtual bool direction_at_most(double threshold) = 0;
};

/// Takes options.n_steps steps from `step`, `seconds` on. Whatever a callback throws leaves it, after the
/// weights reached have been written to the state.
TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds);

}  // namespace softstep
