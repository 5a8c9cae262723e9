#pragma once

// Large arrays whose memory pages belong to the threads that use them: on machines with several memories a
// page goes to that of the thread which writes it first.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "core/threads/team.h"

namespace softstep {

/// Leaves the elements of numbers as they come where std::vector would write zeros.
template <class T>
struct LeaveUntouched : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = LeaveUntouched<U>;
  };
  template <class U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Arguments>
  void construct(U* p, Arguments&&... arguments) {
    ::new (static_cast<void*>(p)) U(std::forward<Arguments>(arguments)...);
  }
};

template <class T>
using LargeArray = std::vector<T, LeaveUntouched<T>>;

/// Zeros in `count` parts, part i from first(i) to first(i + 1), each written by the thread to which
/// for_each_index gives index i. Small arrays by the caller: they are in cache, and threads take time to
/// start.
template <class T, class First>
LargeArray<T> zeros(std::size_t count, int n_threads, First first) {
  constexpr std::size_t large = std::size_t{1} << 20;  // bytes
  LargeArray<T> out(first(count));
  for_each_index(count, out.size() * sizeof(T) < large ? 1 : n_threads, [&](std::size_t i, std::size_t) {
    std::fill(out.data() + first(i), out.data() + first(i + 1), T(0));
  });
  return out;
}

}  // namespace softstep
