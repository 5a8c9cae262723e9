#pragma once

#include <string>
#include <vector>

namespace softstep::test {

/// What the library of failing_calls.c makes of one kind of call.
struct Fault {
  const char* call;  ///< write, fsync, rename, create, chmod, truncate, read or list
  const char* with;  ///< an errno in digits; half, zero or bytes
};

/// The environment of a program whose call number `at` of that kind fails.
std::vector<std::string> failing(const Fault& fault, int at);

}  // namespace softstep::test
