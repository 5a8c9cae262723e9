#pragma once

#include "softstep/export.h"

namespace softstep {

/// The largest number of threads that may be asked for.
inline constexpr int most_threads = 1024;

/// What 0 threads mean wherever threads are asked for: the processors that this process may use, at least 1
/// and at most `most_threads`. They are those of the affinity mask; no more than the CPU quota of the control
/// groups (v1 and v2) that the process belongs to, in whole processors; and no more than OpenMP is told to
/// start (OMP_NUM_THREADS, OMP_THREAD_LIMIT, omp_set_num_threads). 1 where no thread can be started after a
/// fork, see below.
///
/// A team that is larger than what the system lets start (limits on threads or memory) is made smaller;
/// results have the same bits for any number. What cannot be prevented: a limit that is reached between this
/// test and the start, a moment later, ends the process, because the OpenMP run-time library then calls exit.
///
/// fork: OpenMP's threads do not live on in a child process, and its run-time library would wait for them for
/// ever. So in a child of a process that had several threads, the thread that called fork runs all of
/// softstep's work alone. Threads that the child starts itself may have teams.
SOFTSTEP_EXPORT int available_threads();

}  // namespace softstep
