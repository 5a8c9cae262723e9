#pragma once

// What a computation says by the processor's floating-point flags. A host may have turned them into traps, so
// on clean data none but inexact and underflow may be raised.

#include <cfenv>
#include <string>

namespace softstep::test {

/// The names of the flags that body() raises in this thread: "invalid", "divide by zero", "overflow"; empty
/// if none.
template <class Body>
std::string flags_raised_by(Body&& body) {
  std::feclearexcept(FE_ALL_EXCEPT);
  body();
  const int raised = std::fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
  std::feclearexcept(FE_ALL_EXCEPT);
  std::string names;
  if ((raised & FE_INVALID) != 0) names += " invalid";
  if ((raised & FE_DIVBYZERO) != 0) names += " divide by zero";
  if ((raised & FE_OVERFLOW) != 0) names += " overflow";
  return names;
}

}  // namespace softstep::test
