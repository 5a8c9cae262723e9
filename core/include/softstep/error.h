#pragma once

#include <stdexcept>
#include <string>

#include "softstep/export.h"

namespace softstep {

// What the library throws:
//   Error
//     InvalidArgument   an argument that cannot be used
//       BadFile         a file that was read, and cannot be used for what it holds
//       IoError         a file that cannot be read or written: it is not there, not allowed, the disk is full
//       NotSupported    something that exists but not here
// A file is named by an argument, so whoever does not tell them apart catches InvalidArgument and has them
// all. A handler of one kind comes before that of InvalidArgument.

/// Base of all of them. `what()` is one line that names the argument and the value ("n_samples: 0 (need at
/// least 1)"), whatever is in a name or a path: each character that a terminal would act on is a ?. Nothing
/// has been written or changed when it is thrown.
class SOFTSTEP_EXPORT Error : public std::runtime_error {
 public:
  /// The name of the offending argument, field, option or file, as it was given.
  const std::string& argument() const noexcept { return argument_; }

 protected:
  /// what() is "argument: problem", or the problem alone where no argument is to blame.
  Error(const std::string& argument, const std::string& problem);

 private:
  std::string argument_;
};

/// Thrown at the public face when an argument cannot be used.
class SOFTSTEP_EXPORT InvalidArgument : public Error {
 public:
  /// what() is "argument: problem".
  InvalidArgument(const std::string& argument, const std::string& problem) : Error(argument, problem) {}
};

/// Thrown where a file was read and is damaged, of another format, lacks something, or holds data that cannot
/// be used; argument() is its name.
class SOFTSTEP_EXPORT BadFile : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// Thrown where the system lets a file not be opened, read or written; argument() is its name.
class SOFTSTEP_EXPORT IoError : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// Thrown where something exists but not here: an instruction set that this CPU lacks, a Hessian that a loss
/// does not give.
class SOFTSTEP_EXPORT NotSupported : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

}  // namespace softstep
