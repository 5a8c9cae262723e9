// softstep.Model: what is asked of any model without an evaluation.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "model.h"
#include "parts.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

nb::dict blocks(const AnyModel& self) {
  return self.visit([](auto& model) {
    nb::dict out;
    for (const BlockShape& shape : model.model().blocks())
      out[shape.name.c_str()] = nb::make_tuple(shape.n_rows, shape.n_cols);
    return out;
  });
}

PythonLoss* own_loss_of(PyObject* self) {
  if (!nb::inst_ready(self)) return nullptr;
  return nb::inst_ptr<AnyModel>(self)->visit([](auto& model) { return model.own_loss(); });
}

// A loss of the caller's own may lead back to the model: the garbage collector follows.
int traverse_model(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (const PythonLoss* loss = own_loss_of(self))
    for (PyObject* object : loss->objects()) Py_VISIT(object);
  return 0;
}

int clear_model(PyObject* self) {
  if (PythonLoss* loss = own_loss_of(self)) loss->clear();
  return 0;
}

}  // namespace

PyType_Slot model_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_model)},
                             {Py_tp_clear, reinterpret_cast<void*>(clear_model)},
                             {0, nullptr}};

void add_model(nb::module_& m) {
  nb::class_<AnyModel> c(m, "Model", nb::is_weak_referenceable(), nb::type_slots(model_slots),
                         "What is trained, by its loss: softstep.Problem, LinearModel or NextTokenModel.");
  add_evaluation(c);
  c.def_prop_ro(
      "blocks", &blocks, nb::sig("def blocks(self) -> dict[str, tuple[int, int]]"),
      "What is trained: name and shape of each block, in order. Of a Problem \"weights\" [dim, dim]; "
      "or \"keys\" and\n"
      "\"queries\" [dim, rank]; or \"prompt\" [dim, 1]; then \"decoder\" [dim, 1] where it is "
      "trained.");
  c.def_prop_ro(
      "dtype",
      [](const AnyModel& p) {
        return p.visit([]<NumberType T>(ModelOf<T>&) { return to_string(number_of<T>); });
      },
      "\"float32\" or \"float64\": what is computed with, and what W must be.");
  c.def_prop_ro(
      "n_samples", [](const AnyModel& p) { return p.visit([](auto& q) { return q.model().n_samples(); }); },
      "Number of samples n.");
  c.def_prop_ro(
      "optimal_loss",
      [](const AnyModel& p) { return p.visit([](auto& q) { return q.model().optimal_loss(); }); },
      "L*, from which loss gaps are measured; NaN where it depends on the point.");
  c.def_prop_ro(
      "isa", [](const AnyModel& p) { return p.visit([](auto& q) { return q.model().isa(); }); },
      "Instruction set of the kernels.");
  c.def_prop_ro(
      "threads_used",
      [](const AnyModel& p) { return p.visit([](auto& q) { return q.model().threads_used(); }); },
      "Threads asked for in an evaluation: 1 where the work does not pay for more.");
  c.def_prop_ro(
      "identity", [](const AnyModel& p) { return p.visit([](auto& q) { return q.model().identity(); }); },
      "Data, loss and options in a text that is the same for the same in every process.");
}

}  // namespace softstep::python
