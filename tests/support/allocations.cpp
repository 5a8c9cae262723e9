#include "support/allocations.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace softstep::test {

std::atomic<long> n_allocations{0};
std::atomic<std::size_t> allocated_bytes{0};
std::atomic<long> n_live_allocations{0};
std::atomic<long> failing_allocation{0};

}  // namespace softstep::test

// None of these is inlined: g++ warns of `free` after `operator new` where it sees into one of them alone.
#if !defined(SOFTSTEP_SANITIZED)
#define NOT_INLINED [[gnu::noinline]]
namespace {

void count(std::size_t size) {
  using namespace softstep::test;
  if (failing_allocation.load(std::memory_order_relaxed) > 0 && --failing_allocation == 0)
    throw std::bad_alloc();
  ++n_allocations;
  ++n_live_allocations;
  allocated_bytes += size;
}

void give_back(void* memory) noexcept {
  if (memory != nullptr) --softstep::test::n_live_allocations;
  std::free(memory);
}

}  // namespace

NOT_INLINED void* operator new(std::size_t size) {
  count(size);
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
NOT_INLINED void* operator new(std::size_t size, std::align_val_t alignment) {
  count(size);
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(unit, (std::max<std::size_t>(size, 1) + unit - 1) / unit * unit))
    return memory;
  throw std::bad_alloc();
}
NOT_INLINED void operator delete(void* memory) noexcept { give_back(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
NOT_INLINED void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
#endif
