#pragma once

#include <atomic>
#include <cstddef>

namespace softstep::test {

/// False under sanitizers, which have operators of their own; nothing is counted then.
#if defined(__has_feature)  // Clang says it in its own way
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOFTSTEP_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SOFTSTEP_SANITIZED
#endif

#if defined(SOFTSTEP_SANITIZED)
constexpr bool counts_allocations = false;
#else
constexpr bool counts_allocations = true;
#endif

/// Every allocation of this program that goes through operator new; the aligned forms too.
extern std::atomic<long> n_allocations;
extern std::atomic<std::size_t> allocated_bytes;
/// Those that have not been given back.
extern std::atomic<long> n_live_allocations;
/// k > 0: the k-th from now on throws std::bad_alloc, and none after it does.
extern std::atomic<long> failing_allocation;

}  // namespace softstep::test
