#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace softstep::program {

/// Calls body(0) ... body(count - 1), up to n_threads at a time, started in that order. The first exception
/// stops the rest and is thrown here.
template <class Body>
void parallel_for(std::size_t count, int n_threads, const Body& body) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> helpers;
  const auto n_helpers =
      std::min(count, static_cast<std::size_t>(std::max(n_threads, 1))) - (count > 0 ? 1 : 0);
  for (std::size_t k = 0; k < n_helpers; ++k) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace softstep::program
