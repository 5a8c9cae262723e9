#pragma once

#include <string>
#include <vector>

#include "softstep/export.h"

namespace softstep {

/// A measured error beside the bound it must keep.
struct CheckRow {
  std::string isa;     ///< instruction set
  std::string type;    ///< "float32" or "float64"
  std::string what;    ///< what was measured
  double error = 0.0;  ///< worst measured
  double bound = 0.0;  ///< largest error allowed
  bool ok = false;     ///< error <= bound (NaN is not ok)
};

/// Measures kernels and gradients on this CPU against the scalar long double reference, for every runnable
/// instruction set (or the one named) and both number types. Takes a few seconds.
SOFTSTEP_EXPORT std::vector<CheckRow> self_check(const std::string& isa = "");

}  // namespace softstep
