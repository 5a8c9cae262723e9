#pragma once

// How many threads are asked for, and how many of them can be started.

namespace softstep {

/// Throws InvalidArgument unless this is 0 (for available_threads()) or from 1 to most_threads.
void check_thread_count(int n_threads);

/// A checked number of threads, 0 replaced by available_threads().
int thread_count(int n_threads);

/// How many of `wanted` threads, the caller one of them, an OpenMP region that the caller enters now can
/// have. OpenMP's run-time library ends the process where a thread cannot be started; so they are started
/// here once before it does, all at a time, with stacks of the size that it gives them. Only where the
/// caller's threads do not exist yet.
int startable_threads(int wanted);

}  // namespace softstep
