// Makes one allocation of a program fail: a library for LD_PRELOAD. SOFTSTEP_FAIL_NEW_AT is the number of the
// call of operator new that throws std::bad_alloc, from 1, counted from the beginning of main on. With
// SOFTSTEP_COUNT_NEW set to a path, the number of calls is written there at the end.

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

std::atomic<long> n_calls{0}, fails_at{0};
std::atomic<bool> is_counting{false};

void count() {
  if (!is_counting.load(std::memory_order_relaxed)) return;
  if (n_calls.fetch_add(1) + 1 == fails_at.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

void write_count() {
  is_counting = false;
  const char* path = std::getenv("SOFTSTEP_COUNT_NEW");
  if (path == nullptr) return;
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%ld\n", n_calls.load());
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || write(file, text, static_cast<std::size_t>(size)) != size) std::_Exit(99);
  close(file);
}

using Main = int (*)(int, char**, char**);
Main program = nullptr;

int counted_main(int argc, char** argv, char** environment) {
  if (const char* at = std::getenv("SOFTSTEP_FAIL_NEW_AT")) fails_at = std::atol(at);
  is_counting = true;
  const int code = program(argc, argv, environment);
  write_count();
  return code;
}

}  // namespace

extern "C" int __libc_start_main(Main main, int argc, char** argv, void (*init)(), void (*fini)(),
                                 void (*linker_fini)(), void* stack_end) {
  program = main;
  const auto real = reinterpret_cast<decltype(&__libc_start_main)>(dlsym(RTLD_NEXT, "__libc_start_main"));
  return real(counted_main, argc, argv, init, fini, linker_fini, stack_end);
}

void* operator new(std::size_t size) {
  count();
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  count();
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(unit, (std::max<std::size_t>(size, 1) + unit - 1) / unit * unit))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
