#include "checkpoints.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "parts.h"
#include "softstep/error.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

nb::object newest(const Checkpoints& self, const AnyModel& model, const Options& options) {
  return model.visit([&]<NumberType T>(ModelOf<T>& of) -> nb::object {
    auto found = self.newest(of.model(), options.in<T>());
    if (!found) return nb::none();
    return nb::make_tuple(nb::cast(State{std::move(found->state)}), found->path, found->damaged);
  });
}

void write(const Checkpoints& self, const AnyModel& model, State& state, const Options& options) {
  model.visit([&]<NumberType T>(ModelOf<T>& of) { self.write(of.model(), state.get<T>(), options.in<T>()); });
}

}  // namespace

template <NumberType T>
void write_checkpoints(const Checkpoints& into, const ModelOf<T>& model, const TrainState<T>& state,
                       TrainerOptions& asked) {
  asked.checkpoint = [&](const Progress&) {
    try {
      into.write(model.model(), state, asked);
    } catch (const IoError& error) {
      const nb::gil_scoped_acquire held;
      if (PyErr_WarnEx(PyExc_RuntimeWarning, error.what(), 1) != 0) nb::raise_python_error();
    }
  };
}

template void write_checkpoints(const Checkpoints&, const ModelOf<float>&, const TrainState<float>&,
                                TrainerOptions&);
template void write_checkpoints(const Checkpoints&, const ModelOf<double>&, const TrainState<double>&,
                                TrainerOptions&);

void add_checkpoints(nb::module_& m) {
  nb::class_<Checkpoints>(m, "Checkpoints",
                          R"(The checkpoints of one run in a folder, for `train(.., checkpoints=...)`.

A checkpoint is a file as TrainResult.save writes it, named by its step. It appears whole or not at all, and an older one is removed
only when a newer one is safe on the disk. One run at a time may have a folder: it is free again when this object goes, or the
process does.

folder: made if it is not there; the one above must be. keep: how many stay. Raises InvalidArgument for a `keep` below 1 and a
folder that another run has taken, IoError where it cannot be made or read.)")
      .def(nb::init<const std::string&, int>(), "folder"_a, "keep"_a = 3)
      .def_prop_ro("files", &Checkpoints::files, nb::sig("def files(self) -> list[str]"),
                   "The checkpoints that are there, oldest first.")
      .def("newest", &newest, "model"_a, "options"_a,
           nb::sig("def newest(self, model: Model, options: TrainerOptions) -> tuple[TrainState, str, "
                   "list[str]] | None"),
           "What train() goes on from: the newest whole checkpoint, its file, and what is wrong with newer "
           "ones. None where there are\nno checkpoints. Raises InvalidArgument for one of another run, "
           "BadFile where all are damaged.")
      .def("write", &write, "model"_a, "state"_a, "options"_a,
           "Writes a state, and removes what is older than the last `keep`. Raises IoError.")
      .def("remove_older", &Checkpoints::remove_older, "step"_a,
           "Of the checkpoints up to this step, leaves the last `keep`.");
}

}  // namespace softstep::python
