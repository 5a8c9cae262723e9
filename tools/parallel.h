#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace softstep::program {

/// Calls body(0) ... body(count - 1), up to n_threads at a time, started in that order; fewer where the
/// system starts no more threads. The first exception stops the rest and is thrown here.
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
  const auto n_helpers =
      std::min(count, static_cast<std::size_t>(std::max(n_threads, 1))) - (count > 0 ? 1 : 0);
  std::vector<std::thread> helpers;
  helpers.reserve(n_helpers);
  try {
    for (std::size_t k = 0; k < n_helpers; ++k) helpers.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads
  } catch (const std::bad_alloc&) {
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace softstep::program
