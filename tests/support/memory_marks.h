#pragma once

// What AddressSanitizer and valgrind are told of memory that they have not handed out themselves. Does
// nothing where neither watches.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SOFTSTEP_TESTS_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOFTSTEP_TESTS_UNDER_ASAN 1
#endif
#endif
#ifdef SOFTSTEP_TESTS_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#elif __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

namespace softstep::test {

/// Nobody may read or write these bytes. AddressSanitizer marks eight at a time, and rounds inwards.
inline void forbid([[maybe_unused]] const void* first, [[maybe_unused]] std::size_t n_bytes) {
#if defined(SOFTSTEP_TESTS_UNDER_ASAN)
  __asan_poison_memory_region(first, n_bytes);
#elif defined(VALGRIND_MAKE_MEM_NOACCESS)
  VALGRIND_MAKE_MEM_NOACCESS(first, n_bytes);
#endif
}

/// Takes forbid() back, before the system gets the memory.
inline void allow([[maybe_unused]] const void* first, [[maybe_unused]] std::size_t n_bytes) {
#if defined(SOFTSTEP_TESTS_UNDER_ASAN)
  __asan_unpoison_memory_region(first, n_bytes);
#endif
}

/// A result that depends on these bytes is an error until they are written. For valgrind alone.
inline void leave_unwritten([[maybe_unused]] void* first, [[maybe_unused]] std::size_t n_bytes) {
#ifdef VALGRIND_MAKE_MEM_UNDEFINED
  VALGRIND_MAKE_MEM_UNDEFINED(first, n_bytes);
#endif
}

}  // namespace softstep::test
