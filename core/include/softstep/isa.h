#pragma once

#include <string>
#include <vector>

#include "softstep/export.h"

namespace softstep {

/// One instruction set the kernels can be compiled for.
struct IsaInfo {
  std::string name;  ///< scalar, sse2, avx2, avx512, neon64
  bool compiled;     ///< in this build
  bool runnable;     ///< compiled, and both the CPU and the operating system support it
};

/// Every instruction set softstep knows, slowest first.
SOFTSTEP_EXPORT std::vector<IsaInfo> isas();

/// The instruction set in force: the one forced, else the one named by the environment variable SOFTSTEP_ISA,
/// else the best runnable. Throws NotSupported if SOFTSTEP_ISA names one that cannot run here.
SOFTSTEP_EXPORT std::string active_isa();

/// Forces an instruction set for objects created from now on; "" or "auto" returns to the default. Throws
/// InvalidArgument for an unknown name and NotSupported for one that cannot run here, both listing what this
/// CPU can run.
SOFTSTEP_EXPORT void force_isa(const std::string& name);

}  // namespace softstep
