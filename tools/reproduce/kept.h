#pragma once

// An entry of `reproduce` as KeptRuns keeps it.

#include "entry.h"

namespace softstep::program::reproduce {

/// What came out of an entry, and what its verdict says of the run.
struct Ran {
  Result result;
  double seconds = 0.0;
  int n_threads = 1;
};

/// Everything that the numbers of an entry depend on. What it declares, sizes and seeds, belongs to the
/// version.
Json identity(const Entry& entry, const Context& context);

/// The entry that ran, to the bit.
Json kept_json(const Ran& ran);
/// The entry again. Throws Json::exception, and std::out_of_range for a scale that there is not.
Ran ran_of(const Json& kept);

}  // namespace softstep::program::reproduce
