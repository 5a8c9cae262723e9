#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <limits>
#include <mutex>

namespace softstep {

/// Thrown by Team::wait() in the threads of a team of which another one has failed. It ends their part of the
/// work and is seen by nobody outside.
struct TeamStopped {};

/// What went wrong in a team: an exception must not leave a parallel region, and a thread that has thrown one
/// must not leave the others waiting.
///
/// Every thread of a team comes by the same waits, the last of them at its end. One that fails after k waits
/// says so and goes on to wait k + 1 alone; the others, when they have come there, all find that it is the
/// last, and stop.
class TeamFailure {
 public:
  /// In a catch block of a thread that has been through `waits` waits.
  void note(std::size_t waits) noexcept {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = std::current_exception();
    last_wait_.store(waits + 1, std::memory_order_relaxed);
  }
  /// After a wait, which orders this read and the writing above.
  bool ends_with(std::size_t wait) const { return last_wait_.load(std::memory_order_relaxed) <= wait; }
  /// After the region.
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::atomic<std::size_t> last_wait_{std::numeric_limits<std::size_t>::max()};
  std::mutex mutex_;
  std::exception_ptr first_;
};

}  // namespace softstep
