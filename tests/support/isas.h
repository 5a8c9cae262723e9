#pragma once

// Kernel tests run on every instruction set this CPU can run, and say so: tests/support/main.cpp prints at
// the end which ones ran and fails if one that was expected did not.

#include <set>
#include <string>
#include <vector>

#include "simd/dispatch.h"

namespace softstep::test {

/// The rows of isas.def that can run here, slowest first. Never empty: throws if there is none.
std::vector<const simd::Isa*> runnable_isas();

/// Notes that a test ran on an instruction set.
void record_isa(const std::string& name);
const std::set<std::string>& recorded_isas();

/// Calls body(isa) for each runnable instruction set, noting each.
template <class Body>
void for_each_isa(Body&& body) {
  for (const simd::Isa* isa : runnable_isas()) {
    body(*isa);
    record_isa(isa->name);
  }
}

}  // namespace softstep::test
