#pragma once

#include <memory>
#include <string>

#include "mpi/program/counts.h"
#include "softstep/mpi.h"

namespace softstep::test {

/// SumOrder::any: losses and gradients against those of one process, within a bound; runs with the same bits
/// on all ranks, and again with the same bits.
Counts sum_in_any_order(const std::shared_ptr<MpiRanks>& mpi, const std::string& plant);

}  // namespace softstep::test
