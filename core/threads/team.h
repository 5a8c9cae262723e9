#pragma once

#include <omp.h>

#include <algorithm>
#include <cstddef>

#include "core/threads/start.h"
#include "core/threads/team_failure.h"

namespace softstep {

/// Part of an output matrix.
struct Block {
  std::size_t row, col, n_rows, n_cols;
};

/// Whether this many multiply-adds are worth starting threads for. A region and its waits cost a microsecond;
/// lines of the cache that one thread has written and another reads cost from some nanoseconds to some tens
/// each, by how far apart the two cores are.
inline bool worth_threads(double work_items) { return work_items >= 1e6; }

/// One of the threads that go through the same code together, each doing its share of it; or one thread
/// alone.
struct Team {
  /// What a thread of a team knows of the waits it has been through.
  struct Member {
    TeamFailure& failure;
    std::size_t n_waits = 0;
  };

  std::size_t rank = 0, size = 1;
  Member* member = nullptr;  ///< of a team of several threads

  bool leads() const { return rank == 0; }
  /// Until all are here; what they wrote is seen by all. Every thread of the team must come by. Throws
  /// TeamStopped where one of them has failed instead.
  void wait() const {
    if (size == 1) return;
    wait_for_all();
    if (member->failure.ends_with(member->n_waits)) throw TeamStopped();
  }
  struct Range {
    std::size_t begin, end;
  };
  /// This thread's part of 0 .. count - 1, in whole units.
  Range share(std::size_t count, std::size_t unit = 1) const {
    if (size == 1) return {0, count};  // without the divisions, which a small step would feel
    const std::size_t units = (count + unit - 1) / unit;
    return {std::min(units * rank / size * unit, count), std::min(units * (rank + 1) / size * unit, count)};
  }

  /// The wait alone.
  void wait_for_all() const {
    ++member->n_waits;
#pragma omp barrier
  }
};

/// Whether the threads of a team wait for each other.
enum class Waits { never, together };

/// One thread's part in with_team().
template <Waits waits, class Body>
void be_in_team(TeamFailure& failure, Body& body) noexcept {
  Team::Member member{failure};
  const Team team{static_cast<std::size_t>(omp_get_thread_num()),
                  static_cast<std::size_t>(omp_get_num_threads()), &member};
  try {
    body(team);
  } catch (const TeamStopped&) {
    return;
  } catch (...) {
    failure.note(member.n_waits);
  }
  if (waits == Waits::together && team.size > 1) team.wait_for_all();
}

/// Calls body(team) on each of n_threads threads, or of those that can be started. One thread: no parallel
/// region. Within a parallel region of the caller's, where the system gives one thread only, the team is that
/// one. The first exception of a body is thrown here, when all threads are done.
template <Waits waits = Waits::together, class Body>
void with_team(int n_threads, Body body) {
  if (n_threads > 1) n_threads = startable_threads(n_threads);
  if (n_threads <= 1) {
    body(Team{});
    return;
  }
  TeamFailure failure;
#pragma omp parallel num_threads(n_threads)
  be_in_team<waits>(failure, body);
  failure.rethrow();
}

/// Bands of an output are whole cache lines wide, so that no two threads write to one.
constexpr std::size_t band_unit = 16;

/// Gives each thread one band of an n_rows x n_cols output, along its longer side. Outputs only are split, so
/// the result has the same bits for any number of threads.
template <class Body>
void for_each_block(std::size_t n_rows, std::size_t n_cols, const Team& team, Body body) {
  const bool by_rows = n_rows >= n_cols;
  const auto [begin, end] = team.share(by_rows ? n_rows : n_cols, band_unit);
  if (begin == end) return;
  body(by_rows ? Block{begin, 0, end - begin, n_cols} : Block{0, begin, n_rows, end - begin});
}
template <class Body>
void for_each_block(std::size_t n_rows, std::size_t n_cols, int n_threads, Body body) {
  with_team<Waits::never>(n_threads, [&](const Team& team) { for_each_block(n_rows, n_cols, team, body); });
}

/// body(index, thread) for every index, in one contiguous run per thread.
template <class Body>
void for_each_index(std::size_t count, int n_threads, Body body) {
  with_team<Waits::never>(n_threads, [&](const Team& team) {
    const auto [begin, end] = team.share(count);
    for (std::size_t i = begin; i < end; ++i) body(i, team.rank);
  });
}

}  // namespace softstep
