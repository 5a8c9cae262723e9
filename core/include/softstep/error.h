#pragma once

#include <stdexcept>
#include <string>

#include "softstep/export.h"

namespace softstep {

/// Thrown at the public face when an argument cannot be used. `what()` is one line that names the argument
/// and the value ("n_samples: 0 (need at least 1)"). Nothing has been written or changed when it is thrown.
class SOFTSTEP_EXPORT InvalidArgument : public std::invalid_argument {
 public:
  InvalidArgument(const std::string& argument, const std::string& problem)
      : std::invalid_argument(argument + ": " + problem), argument_(argument) {}

  /// The name of the offending argument, field, option or file.
  const std::string& argument() const noexcept { return argument_; }

 private:
  std::string argument_;
};

/// Thrown where something exists but not here: an instruction set that this CPU lacks, a Hessian that a loss does not give.
class NotSupported : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

}  // namespace softstep
