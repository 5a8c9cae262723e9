#pragma once

// What every model refuses of losses and of L*.

#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/losses/loss_of.h"
#include "softstep/error.h"

namespace softstep {

inline void require_finite_optimal_loss(double value) {
  if (!std::isfinite(value))
    throw InvalidArgument("optimal_loss_value", data::number_text(value) + " (need a finite number)");
}

/// L* of the best tokens is known of decreasing losses only, and those are losses of labels.
inline void require_known_infimum(const LossOf& loss, OptimalLoss mode, bool has_targets) {
  if (loss.is_decreasing() && has_targets)
    throw InvalidArgument("loss", loss.name() + " is of labels -1 and +1, and the batch has real targets");
  if (!loss.is_decreasing() && mode != OptimalLoss::zero && mode != OptimalLoss::value)
    throw InvalidArgument("optimal_loss", std::string(to_string(mode)) + " is not known of the loss " +
                                              loss.name() + "; zero fits, or a value");
}

}  // namespace softstep
