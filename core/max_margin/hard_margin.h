#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/max_margin/constraints/constraint_map.h"
#include "softstep/max_margin.h"

namespace softstep {

/// Whether multipliers of unit rows are near a true Farkas ray, which then takes their place (RayProof). Asks
/// go_on from time to time, which returns false to stop.
using RayJudge = std::function<bool(std::vector<double>& multipliers, const std::function<bool()>& go_on)>;

/// min ||W|| subject to <A_k, W> >= 1 for the n_constraints rows of a map. The options have been validated;
/// n_threads is at least 1.
MaxMarginResult solve_hard_margin(ConstraintMap& rows, std::size_t n_constraints,
                                  const MaxMarginOptions& options, int n_threads, const RayJudge& judge);

}  // namespace softstep
