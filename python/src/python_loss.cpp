#include "python_loss.h"

#include <nanobind/stl/string.h>

#include <limits>
#include <utility>

#include "array.h"
#include "softstep/error.h"

namespace softstep::python {
namespace {

constexpr Scaled not_a_number = {std::numeric_limits<double>::quiet_NaN(), 0.0};

double number_of(nb::handle object) {
  const double number = PyFloat_AsDouble(object.ptr());
  if (number == -1.0 && PyErr_Occurred() != nullptr) nb::raise_python_error();
  return number;
}

// A number, or a pair of mantissa and exponent.
Scaled scaled_of(nb::handle answer) {
  if (PyTuple_Check(answer.ptr()) == 0 || PyTuple_GET_SIZE(answer.ptr()) != 2)
    return {number_of(answer), 0.0};
  return {number_of(PyTuple_GET_ITEM(answer.ptr(), 0)), number_of(PyTuple_GET_ITEM(answer.ptr(), 1))};
}

nb::object callable(nb::handle loss, const char* name) {
  const nb::object found = nb::getattr(loss, name, nb::none());
  if (!found.is_none() && PyCallable_Check(found.ptr()) == 0)
    throw InvalidArgument("loss", std::string(name) + " is " + kind_of(found) + " (need a function)");
  return found;
}

bool truth_of(nb::handle object) {
  const int truth = PyObject_IsTrue(object.ptr());
  if (truth < 0) nb::raise_python_error();
  return truth == 1;
}

nb::object required_callable(nb::handle loss, const char* name) {
  nb::object found = callable(loss, name);
  if (found.is_none())
    throw InvalidArgument("loss", kind_of(loss) + " without " + name +
                                      " (need logistic, exponential, squared, or a softstep.Loss)");
  return found;
}

}  // namespace

PythonLoss::PythonLoss(nb::handle loss)
    : loss_(loss),
      value_(required_callable(loss, "value")),
      derivative_(required_callable(loss, "derivative")),
      second_(callable(loss, "second_derivative")),
      difference_(callable(loss, "difference")),
      name_(nb::cast<std::string>(nb::str(nb::getattr(loss, "name", nb::str("own"))))),
      decreasing_(truth_of(nb::getattr(loss, "is_decreasing", nb::bool_(false)))) {
  if (name_.empty() || name_.find_first_of(" \t\n") != std::string::npos)
    throw InvalidArgument("loss", "name \"" + name_ + "\" (need one word)");
}

template <class... Arguments>
Scaled PythonLoss::call(nb::handle function, Arguments... arguments) const {
  try {
    if (!function.is_valid()) return not_a_number;  // the garbage collector has taken it
    return scaled_of(function(arguments...));
  } catch (nb::python_error& error) {
    exchange(std::make_shared<nb::python_error>(error));
    ++failures_;
  }
  return not_a_number;
}

std::shared_ptr<nb::python_error> PythonLoss::exchange(std::shared_ptr<nb::python_error> failure) const {
  const std::lock_guard lock(mutex_);
  last_.swap(failure);
  return failure;
}

void PythonLoss::rethrow() const {
  const std::shared_ptr<nb::python_error> failure = exchange(nullptr);
  if (failure == nullptr)
    throw InvalidArgument("loss", name_ + " raised an exception, which another thread was told of");
  throw nb::python_error(*failure);
}

bool PythonLoss::was_interrupted() const {
  std::shared_ptr<nb::python_error> failure = exchange(nullptr);
  if (failure != nullptr && failure->matches(PyExc_KeyboardInterrupt)) return true;
  exchange(std::move(failure));
  return false;
}

Scaled PythonLoss::value(double m, double target) const {
  const nb::gil_scoped_acquire held;
  return call(value_.get(), m, target);
}

Scaled PythonLoss::derivative(double m, double target) const {
  const nb::gil_scoped_acquire held;
  return call(derivative_.get(), m, target);
}

Scaled PythonLoss::second_derivative(double m, double target) const {
  const nb::gil_scoped_acquire held;
  if (second_.get().is_valid() && second_.get().is_none()) return LossFunction::second_derivative(m, target);
  return call(second_.get(), m, target);
}

Scaled PythonLoss::difference(double m, Scaled delta, double target) const {
  {
    const nb::gil_scoped_acquire held;
    if (!difference_.get().is_valid() || !difference_.get().is_none())
      return call(difference_.get(), m, nb::make_tuple(delta.mantissa, delta.exponent), target);
  }
  return LossFunction::difference(m, delta, target);
}

std::array<PyObject*, 5> PythonLoss::objects() const {
  return {loss_.get().ptr(), value_.get().ptr(), derivative_.get().ptr(), second_.get().ptr(),
          difference_.get().ptr()};
}

void PythonLoss::clear() {
  for (Held* held : {&loss_, &value_, &derivative_, &second_, &difference_}) held->drop();
}

ChosenLoss choose_loss(nb::handle loss) {
  if (PyUnicode_Check(loss.ptr())) return {.named = parse_loss(nb::cast<std::string>(loss))};
  return {.own = std::make_shared<PythonLoss>(loss)};
}

}  // namespace softstep::python
