#pragma once

namespace softstep::test {

/// Comparisons, and those that found a difference.
struct Counts {
  int n = 0, n_wrong = 0;
};

}  // namespace softstep::test
