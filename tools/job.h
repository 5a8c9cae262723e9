#pragma once

// The processes that mpirun started this one with.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <type_traits>
#include <vector>

#include "softstep/ranks.h"

namespace CLI {
class App;
}

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
/// The entries of all ranks, those of the first one first. At most 2^20 of each are on their way at once.
template <class Value>
std::vector<Value> joined_of_all(Ranks* ranks, const std::vector<Value>& mine) {
  if (ranks == nullptr) return mine;
  constexpr std::size_t at_once = std::size_t{1} << 20;
  std::vector<std::size_t> first = {0};
  std::size_t most = 0;
  for (const std::size_t size : of_all_ranks(ranks, mine.size())) {
    first.push_back(first.back() + size);
    most = std::max(most, size);
  }
  const std::size_t piece = std::min(most, at_once);
  std::vector<Value> out(first.back()), part(piece), parts(piece * ranks->size());
  for (std::size_t begin = 0; begin < most; begin += piece) {
    const auto copied = [&](std::size_t size) { return begin >= size ? 0 : std::min(piece, size - begin); };
    std::copy_n(mine.data() + std::min(begin, mine.size()), copied(mine.size()), part.data());
    ranks->gather(std::as_bytes(std::span<const Value>(part)),
                  std::as_writable_bytes(std::span<Value>(parts)));
    for (std::size_t r = 0; r < ranks->size(); ++r)
      std::copy_n(parts.data() + r * piece, copied(first[r + 1] - first[r]), out.data() + first[r] + begin);
  }
  return out;
}
/// Threads for this rank where 0 are asked for: the processors of the machine divided by its ranks, unless
/// the launcher has divided them already.
int threads_of_rank();
/// --sum-order.
void add_sum_order(CLI::App& app, std::string& word);
/// Sums over the ranks are made in that order from here on. Throws InvalidArgument on all ranks where they
/// were given different ones.
void set_sum_order(const std::string& word);
/// Lets the run stop on all ranks together.
void ask_job_to_stop();
/// Says that the ranks have agreed to stop.
std::stop_token job_stops();

}  // namespace softstep::program
