// Runs: softstep/trainer.h, softstep/train_state.h.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "checkpoints.h"
#include "interruption.h"
#include "parts.h"
#include "results.h"
#include "stop_source.h"
#include "trace_rows.h"
#include "training.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

MasterWeights parse_master_weights(const std::string& name) {
  if (name == "working") return MasterWeights::working;
  if (name == "float64") return MasterWeights::float64;
  throw InvalidArgument("master_weights", name + " (known: working, float64)");
}

nb::tuple run(const AnyModel& model, State& state, const Options& options, nb::handle callback,
              nb::handle progress, const Checkpoints* checkpoints) {
  return model.visit([&]<NumberType T>(ModelOf<T>& p) {
    TrainState<T>& at = state.get<T>();
    const std::vector<Observable> watched = p.model().observables();
    TrainerOptions asked = options.in<T>();
    std::vector<TraceRecord> rows;
    bool interrupted = false;
    const Watch watch(p.own_loss());
    asked.trace = [&](const TraceRecord& record) {
      rows.push_back(record);
      if (watch.failed()) return false;
      if (callback.is_none()) return true;
      return unless_interrupted(interrupted, [&] { return goes_on(callback(row_of(record, watched))); });
    };
    asked.progress = [&](const Progress& reached) {
      if (watch.failed()) return false;
      return unless_interrupted(interrupted, [&] {
        if (PyErr_CheckSignals() != 0) nb::raise_python_error();
        return progress.is_none() || goes_on(progress(reached.step, reached.seconds));
      });
    };
    if (checkpoints != nullptr) write_checkpoints(*checkpoints, p, at, asked);
    TrainSummary summary;
    try {
      const nb::gil_scoped_release released;
      summary = softstep::train(p.model(), at, asked);
    } catch (...) {
      watch.rethrow();
      throw;
    }
    if (watch.was_interrupted()) {
      interrupted = true;
      summary.status = TrainStatus::interrupted;
    } else {
      watch.rethrow();
    }
    if (keyboard_interrupted()) interrupted = true;
    // A rule during which Ctrl-C was pressed has ended the run as stationary (python_rule.cpp).
    if (interrupted &&
        (summary.status == TrainStatus::max_iterations || summary.status == TrainStatus::stationary))
      summary.status = TrainStatus::interrupted;

    nb::list trace;
    for (const TraceRecord& row : rows) trace.append(row_of(row, watched));
    nb::dict out;
    out["status"] = to_string(summary.status);
    out["form"] = to_string(summary.form);
    out["steps"] = summary.steps;
    out["steps_below_rounding"] = summary.steps_below_rounding;
    out["seconds"] = summary.seconds;
    out["setup_seconds"] = summary.setup_seconds;
    out["threads_used"] = summary.threads_used;
    out["keyboard_interrupt"] = interrupted;
    out["last"] = row_of(summary.last, watched);
    nb::list reached;
    for (const auto& crossing : summary.time_to) {
      nb::dict entry;
      entry["threshold"] = crossing.threshold;
      entry["step"] = crossing.step;
      entry["seconds"] = crossing.seconds;
      reached.append(entry);
    }
    out["time_to"] = reached;
    out["report"] = summary.report();
    return nb::make_tuple(out, trace);
  });
}

std::vector<std::vector<double>> doubles(const std::vector<nb::object>& arrays, const char* name) {
  std::vector<std::vector<double>> out;
  for (const nb::object& object : arrays) {
    if (object.is_none()) {
      out.emplace_back();
      continue;
    }
    const nb::object numbers = real_numbers(object, name);
    const std::span<const double> span = Array(numbers, name).span<double>();
    out.emplace_back(span.begin(), span.end());
  }
  return out;
}

State initial(const AnyModel& model, const std::vector<nb::object>& blocks,
              const std::string& master_weights) {
  return model.visit([&]<NumberType T>(ModelOf<T>& p) {
    return State{initial_state(p.model(), doubles(blocks, "start"), parse_master_weights(master_weights))};
  });
}

State normal(const AnyModel& model, double std, std::uint64_t seed, const std::string& master_weights) {
  return model.visit([&]<NumberType T>(ModelOf<T>& p) {
    return State{normal_state(p.model(), std, seed, parse_master_weights(master_weights))};
  });
}

State load(const std::string& path, const AnyModel& model, const Options& options) {
  return model.visit(
      [&]<NumberType T>(ModelOf<T>& p) { return State{load_state(path, p.model(), options.in<T>())}; });
}

void save(const std::string& path, const AnyModel& model, State& state, const Options& options) {
  model.visit(
      [&]<NumberType T>(ModelOf<T>& p) { save_state(path, p.model(), state.get<T>(), options.in<T>()); });
}

nb::object observed(const AnyModel& model, State& state, std::size_t k) {
  return model.visit([&]<NumberType T>(ModelOf<T>& p) {
    const std::vector<double> values = observe(p.model(), state.get<T>(), k);
    const Observable shape = p.model().observables()[k];
    return copy_of(std::span<const double>(values), {shape.n_rows, shape.n_cols});
  });
}

nb::dict blocks(const AnyModel& model, State& state) {
  return model.visit([&]<NumberType T>(ModelOf<T>& p) {
    const TrainState<T>& at = state.get<T>();
    nb::dict out;
    for (std::size_t k = 0; k < p.model().blocks().size(); ++k) {
      const BlockShape& shape = p.model().blocks()[k];
      const std::vector<double> values = at.values(k);
      if (values.size() != shape.size())
        throw InvalidArgument("state", "its block " + shape.name + " has " + std::to_string(values.size()) +
                                           " entries (the model's has " + std::to_string(shape.size()) + ")");
      out[shape.name.c_str()] = copy_of(std::span<const double>(values), {shape.n_rows, shape.n_cols});
    }
    return out;
  });
}

nb::list observables(const AnyModel& model) {
  return model.visit([](auto& p) {
    nb::list out;
    for (const Observable& one : p.model().observables())
      out.append(nb::make_tuple(nb::str(one.name.c_str()), one.n_rows, one.n_cols));
    return out;
  });
}

Options make_options(nb::list rules, std::int64_t n_steps, const std::string& master_weights,
                     const std::string& form, const std::string& normalization, std::size_t batch_size,
                     std::uint64_t batch_seed, const std::vector<nb::object>& references,
                     int trace_rows_per_decade, double max_seconds, const std::vector<double>& thresholds,
                     double stop_one_minus_cos, std::int64_t checkpoint_steps, double checkpoint_seconds,
                     nb::handle stop) {
  Options out;
  out.rules = rules;
  TrainerOptions& o = out.common;
  o.n_steps = n_steps;
  o.master_weights = parse_master_weights(master_weights);
  o.form = parse_form(form);
  o.normalization = parse_normalization(normalization);
  o.batch_size = batch_size;
  o.batch_seed = batch_seed;
  o.references = doubles(references, "reference");
  o.trace_rows_per_decade = trace_rows_per_decade;
  o.max_seconds = max_seconds;
  o.thresholds = thresholds;
  o.stop_one_minus_cos = stop_one_minus_cos;
  o.checkpoint_steps = checkpoint_steps;
  o.checkpoint_seconds = checkpoint_seconds;
  o.stop = stop_token_of(stop);
  out.in<double>().validate();
  return out;
}

nb::list rule_table() {
  nb::list out;
  for (const RuleInfo& rule : step_rules()) {
    nb::dict options;
    for (const RuleOptionInfo& option : rule.options) options[option.name.c_str()] = option.default_value;
    nb::dict row;
    row["name"] = rule.name;
    row["formula"] = rule.formula;
    row["source"] = rule.source;
    row["options"] = options;
    row["note"] = rule.note;
    out.append(row);
  }
  return out;
}

// A rule of the caller's own may lead back to the settings, through the names of its module: the garbage
// collector follows.
int traverse_options(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  Py_VISIT(nb::inst_ptr<Options>(self)->rules.ptr());
  return 0;
}

int clear_options(PyObject* self) {
  nb::inst_ptr<Options>(self)->rules.reset();
  return 0;
}

PyType_Slot options_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_options)},
                               {Py_tp_clear, reinterpret_cast<void*>(clear_options)},
                               {0, nullptr}};

}  // namespace

void add_training(nb::module_& m) {
  nb::class_<State>(m, "TrainState",
                    "Where a run stands. It goes on with the same bits as if it had never stopped.")
      .def_prop_ro(
          "step", [](const State& s) { return std::visit([](const auto& t) { return t.step; }, s.held); },
          "Steps taken.")
      .def_prop_ro(
          "seconds",
          [](const State& s) { return std::visit([](const auto& t) { return t.seconds; }, s.held); },
          "Spent in steps.")
      .def(
          "copy", [](const State& s) { return State(s); }, "Another state that stands at the same place.");
  nb::class_<Options>(m, "TrainerOptions", nb::type_slots(options_slots),
                      "Settings of a run; made by softstep.train.")
      .def_prop_ro(
          "rules", [](const Options& o) { return o.rules; }, nb::sig("def rules(self) -> list[typing.Any]"),
          "One for all blocks, or one for each.");
  m.def(
      "trainer_options", &make_options, "rules"_a, nb::kw_only(), "n_steps"_a, "master_weights"_a = "working",
      "form"_a = "auto", "normalization"_a = "separate", "batch_size"_a = 0, "batch_seed"_a = 0,
      "references"_a = nb::list(), "trace_rows_per_decade"_a = 20,
      "max_seconds"_a = std::numeric_limits<double>::infinity(), "thresholds"_a = nb::list(),
      "stop_one_minus_cos"_a = 0.0, "checkpoint_steps"_a = 0,
      "checkpoint_seconds"_a = std::numeric_limits<double>::infinity(), "stop"_a.none() = nb::none(),
      nb::sig("def trainer_options(rules: list[typing.Any], *, n_steps: int, master_weights: str = "
              "'working', form: str = 'auto', "
              "normalization: str = 'separate', batch_size: int = 0, batch_seed: int = 0, references: "
              "collections.abc.Sequence[typing.Any] = [], trace_rows_per_decade: int = 20, max_seconds: "
              "float = ..., thresholds: "
              "collections.abc.Sequence[float] = [], stop_one_minus_cos: float = 0.0, checkpoint_steps: int "
              "= 0, checkpoint_seconds: float = ..., stop: StopSource | None = None) -> "
              "TrainerOptions"),
      "Checked settings of a run. Raises InvalidArgument naming the field.");
  m.def("initial_state", &initial, "model"_a, "blocks"_a = nb::list(), "master_weights"_a = "working",
        nb::sig("def initial_state(model: Model, blocks: collections.abc.Sequence[typing.Any] = [], "
                "master_weights: str = "
                "'working') -> TrainState"),
        "A state at step 0 with these blocks; none given: all zero.");
  m.def("normal_state", &normal, "model"_a, "std"_a, "seed"_a, "master_weights"_a = "working",
        "A state at step 0 with blocks from N(0, std^2), block k from seed + k.");
  m.def("save_state", &save, "path"_a, "model"_a, "state"_a, "options"_a,
        "Writes a state to a safetensors file. Raises IoError.");
  m.def("load_state", &load, "path"_a, "model"_a, "options"_a,
        "Reads a state. Raises BadFile for a file that is damaged or no state, InvalidArgument for one of "
        "another run, IoError.");
  m.def("observe", &observed, "model"_a, "state"_a, "k"_a = 0,
        nb::sig("def observe(model: Model, state: TrainState, k: int = 0) -> "
                "numpy.typing.NDArray[numpy.float64]"),
        "Observable k of a state: W for k = 0, whatever is trained for it.");
  m.def("observables", &observables, "model"_a,
        nb::sig("def observables(model: Model) -> list[tuple[str, int, int]]"),
        "Name and shape of each matrix that is watched.");
  m.def("state_blocks", &blocks, "model"_a, "state"_a,
        nb::sig("def state_blocks(model: Model, state: TrainState) -> dict[str, "
                "numpy.typing.NDArray[numpy.float64]]"),
        "The blocks of a state, float64.");
  m.def("train", &run, "model"_a, "state"_a, "options"_a, "callback"_a.none() = nb::none(),
        "progress"_a.none() = nb::none(), "checkpoints"_a.none() = nb::none(),
        nb::sig("def train(model: Model, state: TrainState, options: TrainerOptions, callback: "
                "collections.abc.Callable[[dict[str, "
                "typing.Any]], object] | None = None, progress: collections.abc.Callable[[int, float], "
                "object] | None = None, checkpoints: Checkpoints | None = None) -> "
                "tuple[dict[str, typing.Any], list[dict[str, typing.Any]]]"),
        "Runs and leaves the state ready to go on. Returns the summary and the rows of the trace.");
  m.def("step_rules", &rule_table, nb::sig("def step_rules() -> list[dict[str, typing.Any]]"),
        "Every step rule: name, formula, source, options with their defaults, note.");
}

}  // namespace softstep::python
