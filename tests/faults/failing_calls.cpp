#include "faults/failing_calls.h"

#include <catch2/catch_test_macros.hpp>

namespace softstep::test {

std::vector<std::string> failing([[maybe_unused]] const Fault& fault, [[maybe_unused]] int at) {
#ifdef SOFTSTEP_FAILING_CALLS
  return {"LD_PRELOAD=" SOFTSTEP_FAILING_CALLS, std::string("SOFTSTEP_FAIL_CALL=") + fault.call,
          std::string("SOFTSTEP_FAIL_WITH=") + fault.with, "SOFTSTEP_FAIL_AT=" + std::to_string(at)};
#else
  SKIP("sanitizers want to be the first library of a program");
  return {};
#endif
}

}  // namespace softstep::test
