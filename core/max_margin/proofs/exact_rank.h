#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/max_margin/constraints/exact_row.h"

namespace softstep {

/// Whether the rows, as matrices of exact numbers, have at most this rank. Computed modulo primes of 31 bits:
/// the rank modulo a prime is never above the true one. Were the true one above `rank`, some minor of the
/// rows, taken as integers, would not be 0, and it could not vanish modulo more primes than its size has room
/// for (Hadamard's bound). False as well where that many primes would take more than `budget`
/// multiplications, or go_on, asked before each, says no: what is not shown is not claimed.
bool rank_is_at_most(const std::vector<ExactRow>& rows, std::size_t rank, double budget,
                     const std::function<bool()>& go_on);

}  // namespace softstep
