#pragma once

#include <memory>
#include <string>

#include "mpi/program/counts.h"
#include "softstep/mpi.h"

namespace softstep::test {

/// The max-margin solver over ranks against one process, bit for bit, in every way that it can end; and what
/// it refuses.
Counts solve_all(const std::shared_ptr<MpiRanks>& mpi, const std::string& plant);

}  // namespace softstep::test
