#pragma once

// A case on every instruction set, each result within its bound.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include "heads/heads_check.h"
#include "support/isas.h"

namespace softstep::test {

template <class T>
void check(const HeadsSetup& setup, const std::vector<int>& threads = {1}) {
  const HeadsCase<T> in(setup);
  const HeadsExact<T> exact(in);
  for_each_isa([&](const simd::Isa& isa) {
    for (const int n_threads : threads) {
      INFO((sizeof(T) == 4 ? "float, " : "double, ")
           << isa.name << ", " << n_threads << " threads: " << setup.text());
      const HeadsRun<T> out = run(in, isa.name, n_threads);
      const HeadsRatios ratios = exact.compare(out);
      INFO(ratios.text());
      CHECK(ratios.ok());
      CHECK(out.gaps_untouched());
    }
  });
}

}  // namespace softstep::test
