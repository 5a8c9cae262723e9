#pragma once

// What ends a run from Python: a callback that returns False, and Ctrl-C.

#include <nanobind/nanobind.h>

#include <string_view>

namespace softstep::python {

/// Whether a callback wants the run to go on: it returned something other than False itself, or that of
/// NumPy, which its comparisons give.
inline bool goes_on(const nanobind::object& answer) {
  if (answer.is(Py_False)) return false;
  const std::string_view kind = Py_TYPE(answer.ptr())->tp_name;
  return (kind != "numpy.bool" && kind != "numpy.bool_") || PyObject_IsTrue(answer.ptr()) != 0;
}

/// Runs Python's signal handlers (in its main thread; elsewhere nothing). True if one raised
/// KeyboardInterrupt, which is then cleared; whatever else one raises is thrown. Holds the GIL.
inline bool keyboard_interrupted() {
  if (PyErr_CheckSignals() == 0) return false;
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) == 0) nanobind::raise_python_error();
  PyErr_Clear();
  return true;
}

/// Calls Python. Ctrl-C meanwhile interrupts the run: it is no exception of the caller's own.
template <class Flag, class Function>
bool unless_interrupted(Flag& interrupted, Function function) {
  const nanobind::gil_scoped_acquire held;
  try {
    return function();
  } catch (nanobind::python_error& error) {
    if (!error.matches(PyExc_KeyboardInterrupt)) throw;
    interrupted = true;
    return false;
  }
}

}  // namespace softstep::python
