// A team of threads: what its members do together, and what becomes of an exception in one of them.

#include <atomic>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/threads/team.h"

namespace softstep {
namespace {

constexpr int most = 5;

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

TEST_CASE("Every index goes to one thread, in order", "[threads]") {
  for (int n_threads = 1; n_threads <= most; ++n_threads) {
    std::vector<std::size_t> by(23, 99);
    for_each_index(by.size(), n_threads, [&](std::size_t i, std::size_t thread) { by[i] = thread; });
    INFO(n_threads << " threads");
    for (std::size_t i = 0; i < by.size(); ++i) {
      REQUIRE(by[i] < static_cast<std::size_t>(n_threads));
      if (i > 0) REQUIRE(by[i] >= by[i - 1]);
    }
    REQUIRE(by.back() == static_cast<std::size_t>(n_threads) - 1);
  }
}

// Whoever fails, and at whichever of the waits: the others do not wait for ever, none goes past the next
// wait, and the exception arrives with its type and text.
TEST_CASE("An exception in a team is thrown after the region", "[threads]") {
  constexpr std::size_t n_waits = 4;
  for (int n_threads = 1; n_threads <= most; ++n_threads)
    for (std::size_t who = 0; who < static_cast<std::size_t>(n_threads); ++who)
      for (std::size_t when = 0; when <= n_waits; ++when) {
        INFO(n_threads << " threads, number " << who << " fails after " << when << " waits");
        std::atomic<std::size_t> furthest{0};
        std::string what;
        try {
          with_team(n_threads, [&](const Team& team) {
            for (std::size_t k = 0; k <= n_waits; ++k) {
              if (team.rank == who && k == when) throw Failed("number " + std::to_string(who));
              std::size_t seen = furthest;
              while (seen < k && !furthest.compare_exchange_weak(seen, k)) {
              }
              if (k < n_waits) team.wait();
            }
          });
        } catch (const Failed& failed) {
          what = failed.what();
        }
        REQUIRE(what == "number " + std::to_string(who));
        REQUIRE(furthest <= when);
      }
}

TEST_CASE("Of several exceptions one is thrown", "[threads]") {
  for (int round = 0; round < 200; ++round) {
    REQUIRE_THROWS_AS(with_team(most,
                                [&](const Team& team) {
                                  team.wait();
                                  if (team.rank % 2 == 0) throw std::bad_alloc();
                                  team.wait();
                                  team.wait();
                                }),
                      std::bad_alloc);
    REQUIRE_THROWS_AS(for_each_index(100, most, [&](std::size_t, std::size_t) { throw Failed("each"); }),
                      Failed);
  }
}

TEST_CASE("A team works again after an exception", "[threads]") {
  std::vector<int> seen(most, 0);
  for (int round = 0; round < 50; ++round) {
    REQUIRE_THROWS(with_team(most, [&](const Team& team) {
      if (team.rank + 1 == team.size) throw Failed("last");
      team.wait();
    }));
    with_team(most, [&](const Team& team) {
      team.wait();
      ++seen[team.rank];
    });
  }
  for (const int count : seen) REQUIRE(count == 50);
}

}  // namespace softstep
