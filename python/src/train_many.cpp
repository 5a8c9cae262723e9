// Many runs in one call: softstep/train_many.h.

#include "softstep/train_many.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "interruption.h"
#include "parts.h"
#include "results.h"
#include "softstep/threads.h"
#include "stop_source.h"
#include "trace_rows.h"
#include "training.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

std::string number(std::size_t k) { return "run " + std::to_string(k); }

template <class T>
T& entry(nb::handle list, std::size_t k, const char* argument, const char* wanted) {
  const nb::object found = list[k];
  if (!nb::isinstance<T>(found))
    throw InvalidArgument(argument, number(k) + " has " + kind_of(found) + " (need " + wanted + ")");
  return nb::cast<T&>(found);
}

/// What the runs did, beside their traces; reports are made when they are asked for.
struct Summaries {
  std::vector<TrainSummary> all = {};
};

/// Calls work(), in a thread of its own where several threads take part: the calling thread, which alone sees
/// signals, may be done with its runs long before the others. Meanwhile it calls look() now and then. Holds
/// the GIL, but while it waits or works.
template <class Work, class Look>
void looking_on(bool several, Work work, Look look) {
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::optional<std::thread> worker;
  if (several) {
    try {
      worker.emplace([&] {
        try {
          work();
        } catch (...) {
          failure = std::current_exception();
        }
        const std::lock_guard lock(mutex);
        over = true;
        changed.notify_one();
      });
    } catch (const std::system_error&) {  // the system starts no more threads
    }
  }
  if (!worker) {
    const nb::gil_scoped_release released;
    work();
    return;
  }
  std::exception_ptr seen;  // what look() threw; the work is seen to its end first
  const auto is_over = [&] {
    const nb::gil_scoped_release released;
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::milliseconds(50), [&] { return over; });
  };
  while (!is_over()) {
    if (seen) continue;
    try {
      look();
    } catch (...) {
      seen = std::current_exception();
    }
  }
  worker->join();
  if (failure) std::rethrow_exception(failure);
  if (seen) std::rethrow_exception(seen);
}

template <NumberType T>
class Runs {
 public:
  Runs(nb::list models, nb::list states, nb::list options, nb::handle callback, nb::handle progress)
      : callback_(callback), progress_(progress) {
    std::unordered_map<const void*, std::size_t> owner;
    for (std::size_t k = 0; k < nb::len(models); ++k) {
      auto& model = entry<AnyModel>(models, k, "problems", "a Problem or another Model");
      State& state = entry<State>(states, k, "states", "a TrainState");
      const auto [first, is_new] = owner.emplace(&state, k);
      if (!is_new)
        throw InvalidArgument("states", "runs " + std::to_string(first->second) + " and " +
                                            std::to_string(k) + " have one (need one each)");
      model.visit([&]<NumberType U>(ModelOf<U>& of) {
        if constexpr (std::same_as<T, U>) {
          const Watch& watch = watches_.try_emplace(of.own_loss(), of.own_loss()).first->second;
          runs_.emplace_back(of, watch, state.get<T>(),
                             entry<Options>(options, k, "options", "TrainerOptions").in<T>());
          prepare(runs_.back(), k);
        } else {
          throw InvalidArgument("problems", number(k) + " computes in " + to_string(number_of<U>) +
                                                ", run 0 in " + to_string(number_of<T>) +
                                                " (need one precision)");
        }
      });
    }
  }

  void train(int n_threads, const std::stop_token& stop) {
    const std::stop_callback forwarded(stop, [&] { stop_.request_stop(); });
    const RunSource<T> source{.n_runs = runs_.size(),
                              .make = [&](std::size_t k) { return make(k); },
                              .done = [&](std::size_t k, const TrainSummary& summary) { note(k, summary); }};
    const bool several = (n_threads == 0 ? available_threads() : n_threads) > 1 && runs_.size() > 1;
    try {
      looking_on(
          several, [&] { train_many(source, n_threads); }, [&] { look(); });
    } catch (...) {
      for (const auto& [loss, watch] : watches_) watch.rethrow();
      throw;
    }
    for (const auto& [loss, watch] : watches_) {
      if (watch.was_interrupted())
        interrupted_by(watch);
      else
        watch.rethrow();
    }
    look();
    if (!interrupted_) return;
    // A rule during which Ctrl-C was pressed has ended its run as stationary (python_rule.cpp).
    for (Run& run : runs_)
      if (run.has_own_rule() && run.summary.status == TrainStatus::stationary)
        run.summary.status = TrainStatus::interrupted;
  }

  bool interrupted() const { return interrupted_; }

  nb::dict columns() const {
    std::vector<const TraceRecord*> rows;
    for (const Run& run : runs_)
      for (const TraceRecord& row : run.rows) rows.push_back(&row);
    return columns_of(rows, runs_.front().watched);
  }
  nb::object n_rows() const {
    std::vector<std::int64_t> numbers;
    for (const Run& run : runs_) numbers.push_back(static_cast<std::int64_t>(run.rows.size()));
    return copy_of(std::span<const std::int64_t>(numbers));
  }
  nb::dict last() const {
    std::vector<const TraceRecord*> rows;
    for (const Run& run : runs_) rows.push_back(&run.summary.last);
    return columns_of(rows, runs_.front().watched);
  }

  std::vector<TrainSummary> summaries() {
    std::vector<TrainSummary> out;
    for (Run& run : runs_) out.push_back(std::move(run.summary));
    return out;
  }

 private:
  struct Run {
    Run(ModelOf<T>& of, const Watch& over, TrainState<T>& at, TrainerOptions asked)
        : model(of.model()),
          watch(over),
          watched(model.observables()),
          state(at),
          options(std::move(asked)) {}
    bool has_own_rule() const {
      return std::any_of(options.rules.begin(), options.rules.end(),
                         [](const RuleSettings& rule) { return rule.object != nullptr; });
    }
    const Model<T>& model;
    const Watch& watch;
    const std::vector<Observable> watched;
    TrainState<T>& state;
    TrainerOptions options;
    std::vector<TraceRecord> rows = {};
    TrainSummary summary = {};
  };

  void prepare(Run& run, std::size_t k) {
    run.options.stop = stop_.get_token();
    run.options.trace = [this, &run, k](const TraceRecord& record) {
      run.rows.push_back(record);
      if (!may_go_on(run)) return false;
      if (callback_.is_none()) return true;
      return ask([&] { return goes_on(callback_(k, row_of(record, run.watched))); });
    };
    run.options.progress = [this, &run](const Progress&) {
      if (!may_go_on(run)) return false;
      const nb::gil_scoped_acquire held;
      look();
      return !stop_.stop_requested();
    };
    // What a run that never begins has: no numbers.
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    run.summary.last = {.step = run.state.step,
                        .loss = none,
                        .log10_gap = none,
                        .weight_norm = none,
                        .log10_gradient_norm = none,
                        .step_length = none,
                        .min_optimal_attention = none,
                        .log10_one_minus_optimal_attention = none,
                        .seconds = run.state.seconds,
                        .log10_loss = none,
                        .optimal_loss = none};
  }

  std::optional<ManyRun<T>> make(std::size_t k) {
    if (stop_.stop_requested()) return std::nullopt;
    Run& run = runs_[k];
    return ManyRun<T>{&run.model, &run.state, &run.options};
  }

  void note(std::size_t k, const TrainSummary& summary) {
    Run& run = runs_[k];
    run.summary = summary;
    const std::size_t n = ++n_done_;
    if (progress_.is_none()) return;
    if (!ask([&] { return goes_on(progress_(n, runs_.size())); })) stop_.request_stop();
  }

  // A loss in Python that has failed ends all runs.
  bool may_go_on(const Run& run) {
    if (!run.watch.failed()) return true;
    stop_.request_stop();
    return false;
  }
  // A loss during which Ctrl-C was pressed has given NaN.
  void interrupted_by(const Watch& watch) {
    interrupt();
    for (Run& run : runs_)
      if (&run.watch == &watch && run.summary.status == TrainStatus::not_finite)
        run.summary.status = TrainStatus::interrupted;
  }
  // Calls Python. Ctrl-C meanwhile, or what Python raises, ends all runs.
  template <class Function>
  bool ask(Function function) {
    bool now = false;
    try {
      const bool answer = unless_interrupted(now, function);
      if (now) interrupt();
      return answer;
    } catch (...) {
      stop_.request_stop();
      throw;
    }
  }
  // Looks whether Ctrl-C was pressed; what another signal raises ends all runs too. Holds the GIL.
  void look() {
    try {
      if (keyboard_interrupted()) interrupt();
    } catch (...) {
      stop_.request_stop();
      throw;
    }
  }
  void interrupt() {
    interrupted_ = true;
    stop_.request_stop();
  }

  nb::handle callback_, progress_;
  std::unordered_map<const PythonLoss*, Watch> watches_ = {};
  std::deque<Run> runs_ = {};  // options look at their run where it lies
  std::stop_source stop_ = {};
  std::atomic<std::size_t> n_done_ = 0;
  std::atomic<bool> interrupted_ = false;
};

nb::list crossings(const TrainSummary& summary) {
  nb::list out;
  for (const auto& crossing : summary.time_to) {
    nb::dict one;
    one["threshold"] = crossing.threshold;
    one["step"] = crossing.step;
    one["seconds"] = crossing.seconds;
    out.append(one);
  }
  return out;
}

// One number of each run, as an array.
template <class Number, class Value>
nb::object array_of(const Summaries& runs, Value value) {
  std::vector<Number> numbers;
  for (const TrainSummary& one : runs.all) numbers.push_back(value(one));
  return copy_of(std::span<const Number>(numbers));
}

// One entry of each run, as a list.
template <class Value>
nb::list list_of(const Summaries& runs, Value value) {
  nb::list out;
  for (const TrainSummary& one : runs.all) out.append(value(one));
  return out;
}

nb::tuple run(nb::list models, nb::list states, nb::list options, int n_threads, nb::handle stop,
              nb::handle callback, nb::handle progress) {
  if (nb::len(models) == 0) throw InvalidArgument("problems", "none (need one or more)");
  if (nb::len(states) != nb::len(models) || nb::len(options) != nb::len(models))
    throw InvalidArgument("states", std::to_string(nb::len(states)) + " states and " +
                                        std::to_string(nb::len(options)) + " options of " +
                                        std::to_string(nb::len(models)) + " runs");
  const std::stop_token token = stop_token_of(stop);
  return entry<AnyModel>(models, 0, "problems", "a Problem or another Model")
      .visit([&]<NumberType T>(ModelOf<T>&) {
        Runs<T> runs(models, states, options, callback, progress);
        runs.train(n_threads, token);
        const nb::object n_rows = runs.n_rows();
        const nb::dict columns = runs.columns(), last = runs.last();
        return nb::make_tuple(Summaries{runs.summaries()}, last, columns, n_rows, runs.interrupted());
      });
}

}  // namespace

void add_train_many(nb::module_& m) {
  nb::class_<Summaries>(m, "RunSummaries", "What the runs of softstep.train_many did.")
      .def_prop_ro(
          "status",
          [](const Summaries& s) {
            return list_of(s, [](const auto& one) { return to_string(one.status); });
          },
          nb::sig("def status(self) -> list[str]"), "How each ended.")
      .def_prop_ro(
          "form",
          [](const Summaries& s) { return list_of(s, [](const auto& one) { return to_string(one.form); }); },
          nb::sig("def form(self) -> list[str]"), "How each kept W.")
      .def_prop_ro(
          "steps",
          [](const Summaries& s) {
            return array_of<std::int64_t>(s, [](const auto& one) { return one.steps; });
          },
          nb::sig("def steps(self) -> numpy.typing.NDArray[numpy.int64]"), "Steps that each took.")
      .def_prop_ro(
          "steps_below_rounding",
          [](const Summaries& s) {
            return array_of<std::int64_t>(s, [](const auto& one) { return one.steps_below_rounding; });
          },
          nb::sig("def steps_below_rounding(self) -> numpy.typing.NDArray[numpy.int64]"),
          "Of these, how many were shorter than the rounding of adding them.")
      .def_prop_ro(
          "seconds",
          [](const Summaries& s) { return array_of<double>(s, [](const auto& one) { return one.seconds; }); },
          nb::sig("def seconds(self) -> numpy.typing.NDArray[numpy.float64]"),
          "Time in steps, of each its share.")
      .def_prop_ro(
          "time_to", [](const Summaries& s) { return list_of(s, crossings); },
          nb::sig("def time_to(self) -> list[list[dict[str, typing.Any]]]"), "Thresholds that each reached.")
      .def(
          "report",
          [](const Summaries& s, std::size_t k) {
            if (k >= s.all.size()) throw nb::index_error();
            return s.all[k].report();
          },
          "k"_a, "All of run k in words.");
  m.def(
      "train_many", &run, "models"_a, "states"_a, "options"_a, "n_threads"_a = 0,
      "stop"_a.none() = nb::none(), "callback"_a.none() = nb::none(), "progress"_a.none() = nb::none(),
      nb::sig(
          "def train_many(models: list[Model], states: list[TrainState], options: list[TrainerOptions], "
          "n_threads: "
          "int = 0, stop: StopSource | None = None, callback: collections.abc.Callable[[int, dict[str, "
          "typing.Any]], "
          "object] | None = None, progress: collections.abc.Callable[[int, int], object] | None = None) -> "
          "tuple[RunSummaries, dict[str, typing.Any], dict[str, typing.Any], "
          "numpy.typing.NDArray[numpy.int64], bool]"),
      "Makes all runs and leaves their states ready to go on. Returns the summaries, the last rows, the rows "
      "of all\n"
      "traces one after the other, how many rows each run has, and whether Ctrl-C was pressed.");
}

}  // namespace softstep::python
