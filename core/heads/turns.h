#pragma once

// Threads that add to the same rows take turns in a fixed order, so that sums have the same bits for any
// number of threads. Work must be handed out in that order too: then whoever waits waits for one who works.

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>

namespace softstep::heads {

class Turns {
 public:
  explicit Turns(std::size_t size) : turns_(std::make_unique<std::atomic<std::size_t>[]>(size)) {}
  void begin(std::size_t place, std::size_t turn) { turns_[place].store(turn, std::memory_order_relaxed); }
  /// Until it is this one's turn.
  void wait(std::size_t place, std::size_t turn) const {
    for (int tries = 0; turns_[place].load(std::memory_order_acquire) != turn;)
      if (tries < 64)
        ++tries;
      else
        std::this_thread::yield();
  }
  void pass(std::size_t place, std::size_t turn) { turns_[place].store(turn + 1, std::memory_order_release); }

 private:
  std::unique_ptr<std::atomic<std::size_t>[]> turns_;
};

}  // namespace softstep::heads
