#include "core/threads/start.h"

#include <omp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <string>

#include "core/threads/processors.h"
#include "softstep/error.h"
#include "softstep/threads.h"

namespace softstep {
namespace {

/// The team that the OpenMP run-time library keeps for this thread.
struct Kept {
  int asked = 1, got = 1;
  bool lost = false;  ///< by a fork: its threads are in the parent
};
thread_local Kept kept;

bool forked_with_threads = false;

// Links of the directory of threads: 2, and one for each.
bool has_several_threads() {
  struct stat tasks;
  return stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink > 3;
}
// OpenMP's threads idle between regions, whoever started them. A process with a single thread has none to
// lose.
void before_fork() { forked_with_threads = has_several_threads(); }
void in_child() { kept.lost = kept.lost || forked_with_threads; }

[[maybe_unused]] const int registered = pthread_atfork(before_fork, nullptr, in_child);

// "4096", "512 K", "2M": kilobytes if there is no unit. 0: as the system has it.
std::size_t openmp_stack_size() {
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    char* rest = nullptr;
    const unsigned long long number = std::strtoull(text, &rest, 10);
    if (rest == text) continue;
    while (*rest == ' ' || *rest == '\t') ++rest;
    int shift = 10;
    if (*rest == 'B' || *rest == 'b') shift = 0;
    if (*rest == 'M' || *rest == 'm') shift = 20;
    if (*rest == 'G' || *rest == 'g') shift = 30;
    if (number < (1ull << 40 >> shift)) return static_cast<std::size_t>(number << shift);
  }
  return 0;
}

void* pass_gate(void* gate) {
  const std::lock_guard lock(*static_cast<std::mutex*>(gate));
  return nullptr;
}

int started_at_once(int wanted) {
  // The run-time library needs some memory of its own beside the stacks.
  constexpr std::size_t spare_size = std::size_t{2} << 20;
  void* spare = mmap(nullptr, spare_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (spare == MAP_FAILED) return 1;
  pthread_attr_t attributes;
  int n = 1;
  if (pthread_attr_init(&attributes) == 0) {
    const std::size_t stack_size = openmp_stack_size();
    if (stack_size != 0) pthread_attr_setstacksize(&attributes, stack_size);  // refused by both, or by none
    std::array<pthread_t, most_threads> threads;
    std::mutex gate;
    {
      const std::lock_guard closed(gate);
      while (n < wanted &&
             pthread_create(&threads[static_cast<std::size_t>(n)], &attributes, pass_gate, &gate) == 0)
        ++n;
    }
    for (int k = 1; k < n; ++k) pthread_join(threads[static_cast<std::size_t>(k)], nullptr);
    pthread_attr_destroy(&attributes);
  }
  munmap(spare, spare_size);
  return n;
}

}  // namespace

void check_thread_count(int n_threads) {
  if (n_threads < 0 || n_threads > most_threads)
    throw InvalidArgument("n_threads", std::to_string(n_threads) +
                                           " (need 0 for the processors this process may use, or 1 to " +
                                           std::to_string(most_threads) + ")");
}

int thread_count(int n_threads) { return n_threads > 0 ? n_threads : available_threads(); }

int available_threads() {
  if (kept.lost) return 1;
  int n = std::min(processors_in_mask(), most_threads);
  const double quota = processor_quota();
  if (quota < n) n = static_cast<int>(quota);
  // More digits than an int holds leave OpenMP's own numbers meaningless, negative ones too.
  for (const int limit : {omp_get_max_threads(), omp_get_thread_limit()})
    if (limit > 0) n = std::min(n, limit);
  return std::max(n, 1);
}

int startable_threads(int wanted) {
  if (kept.lost || omp_get_active_level() >= omp_get_max_active_levels()) return 1;
  wanted = std::min(wanted, most_threads);
  // The threads of an inner region are new ones every time.
  if (omp_get_active_level() > 0) return started_at_once(wanted);
  if (wanted > kept.asked) {
    kept.got = started_at_once(wanted);
    kept.asked = wanted;
  } else if (kept.got == kept.asked) {
    kept.got = kept.asked = wanted;  // the run-time library lets go of the others
  }
  return std::min(wanted, kept.got);
}

}  // namespace softstep
