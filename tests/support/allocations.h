#pragma once

#include <atomic>
#include <cstddef>

namespace softstep::test {

/// False under sanitizers, which have operators of their own; nothing is counted then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool counts_allocations = false;
#else
constexpr bool counts_allocations = true;
#endif

/// Every allocation of this program that goes through operator new; the aligned forms too.
extern std::atomic<long> n_allocations;
extern std::atomic<std::size_t> allocated_bytes;

}  // namespace softstep::test
