#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "softstep/export.h"
#include "softstep/train_state.h"
#include "softstep/trainer.h"

namespace softstep {

/// One of many runs: what train() takes. All three are looked at where they lie, and stay there until the run
/// is done.
template <NumberType T>
struct ManyRun {
  const Model<T>* model = nullptr;          ///< data, loss and L*; several runs may share one
  TrainState<T>* state = nullptr;           ///< the start, and where the run ends; of this run alone
  const TrainerOptions* options = nullptr;  ///< rule, number of steps, thresholds, callbacks
};

/// Runs that are made when their turn comes, so that a hundred thousand of them need the memory of a few.
template <NumberType T>
struct RunSource {
  std::size_t n_runs = 0;  ///< how many
  /// Run k, for every k below n_runs once, from the thread that will take its steps, several at a time.
  /// Nothing: no run begins any more, those in the middle go on.
  std::function<std::optional<ManyRun<T>>(std::size_t)> make = {};
  /// What run k did; model, state and options may go. Called once for every run made, from the same thread.
  std::function<void(std::size_t, const TrainSummary&)> done = {};
};

/// Whether train_many() takes the steps of a run side by side with those of others, one run to a lane of the
/// vector registers. It does where that pays: an AttentionModel of a combined W with one query a sample and a
/// logistic or exponential loss, small enough that the data of as many runs as there are lanes stay in cache;
/// steps that see all samples; no float64 master weights; and
/// - W alone, a rule of the library's along the gradient, and no form asked for, or the query span;
/// - W alone, one of `sign`, `adam` and `momentum`, and no form asked for, or the dense one;
/// - W and the decoder, rules of the library's along the gradient, and no form asked for, or the dense one.
/// It does not depend on what other runs there are.
template <NumberType T>
SOFTSTEP_EXPORT bool goes_side_by_side(const ManyRun<T>& run);

/// Many runs, each as train() would make it: with its own data, start, rule, L*, number of steps, thresholds,
/// trace, callbacks and ending. n_threads threads (0: all) take runs from the queue, each as many at a time
/// as a vector has lanes, in lock step; a lane whose run is over takes the next. Runs side by side need the
/// same n, dim, instruction set and loss, the same largest T_i, the same blocks, and rules that all move
/// along the gradient, or all have one name; runs of another kind that a thread meets wait until those in its
/// lanes are done, twice as many as a vector has lanes at most. A run that does not go side by side is made
/// by train(), one for each thread.
///
/// The numbers: a run along the gradient is in the query span, whatever train() would choose, and agrees with
/// it to the rounding by which the forms agree (docs/performance.md); under `sign`, `adam` and `momentum`,
/// and with a trained decoder, it is dense. Its bits are its own: the same for any order of the runs, any
/// number of them and any number of threads, because every sum stays in the run's own lane. They are not
/// those of train() in that form, whose sums go over lanes.
///
/// `seconds` of a run side by side are its share of its thread's time. Callbacks are called from several
/// threads, those of one run from one at a time; while one is at work the runs beside it wait. What a
/// callback throws leaves train_many when those in the middle of a run by train() are done with it; the
/// states of all runs are as of the steps reached.
template <NumberType T>
SOFTSTEP_EXPORT void train_many(const RunSource<T>& source, int n_threads = 1);

/// The same with runs that are there. Returns their summaries in order. Throws InvalidArgument before the
/// first step if any of them is wrong, naming it where something is missing or two share a state.
template <NumberType T>
SOFTSTEP_EXPORT std::vector<TrainSummary> train_many(std::span<const ManyRun<T>> runs, int n_threads = 1);

}  // namespace softstep
