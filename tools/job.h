#pragma once

// The processes that mpirun started this one with.

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <type_traits>
#include <vector>

#include "softstep/ranks.h"

namespace softstep::program {

/// Joins the other processes, where there are any: the program was built with -DSOFTSTEP_MPI=ON, and the
/// environment says that a launcher of MPI started it.
void begin_job();
/// Ends the job with the others. One of the messages that ranks failed with is printed, that of the first of
/// them; empty: it did not fail. A rank that failed where the others did not, and go on, ends them too.
/// Returns the exit code, the largest of the ranks'.
int end_job(int code, const std::string& message);

/// The processes of the job; null where this one was started alone.
std::shared_ptr<Ranks> ranks_of_job();
/// Whether this process writes and prints: the first rank, or one that was started alone.
bool is_first_rank();
/// `mine` of every rank, that of the first one first; alone, mine.
template <class Value>
std::vector<Value> of_all_ranks(Ranks* ranks, const Value& mine) {
  static_assert(std::is_trivially_copyable_v<Value>);
  if (ranks == nullptr) return {mine};
  std::vector<Value> all(ranks->size());
  ranks->gather(std::as_bytes(std::span<const Value>(&mine, 1)),
                std::as_writable_bytes(std::span<Value>(all)));
  return all;
}
/// Threads for this rank where 0 are asked for: the processors of the machine divided by its ranks, unless
/// the launcher has divided them already.
int threads_of_rank();
/// Lets the run stop on all ranks together.
void ask_job_to_stop();
/// Says that the ranks have agreed to stop.
std::stop_token job_stops();

}  // namespace softstep::program
