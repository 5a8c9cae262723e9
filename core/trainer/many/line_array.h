#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace softstep {

/// Memory from the beginning of a cache line on, so that no vector lies across two.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t line{64};
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, line); }
  bool operator==(const LineAllocator&) const = default;
};

template <class T>
using LineArray = std::vector<T, LineAllocator<T>>;

}  // namespace softstep
