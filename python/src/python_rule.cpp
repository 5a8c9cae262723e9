#include "python_rule.h"

#include <nanobind/stl/string.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "array.h"
#include "held.h"
#include "results.h"
#include "softstep/error.h"
#include "softstep/metrics.h"

namespace nb = nanobind;

namespace softstep::python {
namespace {

// A number of NumPy's, such as float32, or of others: an array of no dimension.
bool has_no_dimension(nb::handle object) {
  return nb::hasattr(object, "shape") && nb::len(nb::object(object.attr("shape"))) == 0;
}

InvalidArgument wrong(nb::handle value, const char* attribute, const char* wanted) {
  return InvalidArgument(
      "rule", std::string(attribute) + " is " + nb::repr(value).c_str() + " (need " + wanted + ")");
}

// What a rule has under this name.
template <typename Value>
Value as(nb::handle value, const char* attribute, const char* wanted) {
  Value converted{};
  if (!nb::try_cast(value, converted)) throw wrong(value, attribute, wanted);
  return converted;
}

// As Python takes it: NumPy's True too.
bool is_true(nb::handle value) {
  const int answer = PyObject_IsTrue(value.ptr());
  if (answer < 0) nb::raise_python_error();
  return answer == 1;
}

template <NumberType T>
class PythonRule final : public StepRule<T> {
 public:
  explicit PythonRule(nb::handle rule)
      : rule_(rule),
        name_(as<std::string>(rule.attr("name"), "name", "a text")),
        settings_(as<std::string>(rule.attr("settings_text")(), "settings_text()", "a text")),
        needs_loss_gap_(is_true(rule.attr("needs_loss_gap"))),
        along_gradient_(is_true(rule.attr("moves_along_gradient"))) {
    const nb::object memory = rule.attr("memory");
    if (!nb::hasattr(memory, "items")) throw wrong(memory, "memory", "a dict of names and sizes");
    for (const nb::handle item : memory.attr("items")())
      memory_.push_back({as<std::string>(item[0], "memory", "a text for each name"),
                         as<std::size_t>(item[1], "memory", "a size for each name, 0 or more")});
  }

  std::string_view name() const override { return name_; }
  std::string settings_text() const override { return settings_; }
  bool needs_loss_gap() const override { return needs_loss_gap_; }
  bool moves_along_gradient() const override { return along_gradient_; }
  std::vector<RuleMemory> memory() const override { return memory_; }

  // Whatever Python raises leaves the trainer, and train() with it.
  Step<T> propose(const StepContext<T>& at, const RuleState& memory, RuleState& next) const override {
    if (at.gradient_norm == 0.0) return {.outcome = Step<T>::Outcome::stationary};
    const nb::gil_scoped_acquire held;
    try {
      return ask(at, memory, next);
    } catch (nb::python_error& error) {
      if (!error.matches(PyExc_KeyboardInterrupt)) throw;
      // No step; and the signal is raised once more for train() to find, which keeps the trace.
      PyErr_SetInterrupt();
      return {.outcome = Step<T>::Outcome::stationary};
    }
  }

 private:
  // Ctrl-C may be pressed wherever Python works, also while the context is made.
  Step<T> ask(const StepContext<T>& at, const RuleState& memory, RuleState& next) const {
    const std::size_t size = at.n_rows * at.n_cols;
    const auto matrix = [&](const T* numbers) {
      return numbers == nullptr ? nb::object(nb::none())
                                : copy_of(std::span<const T>(numbers, size), {at.n_rows, at.n_cols});
    };
    nb::dict before;
    for (const auto& [key, values] : memory.values)
      before[key.c_str()] = copy_of(std::span<const double>(values));
    nb::dict after;
    const nb::object context =
        nb::module_::import_("softstep.rules")
            .attr("StepContext")(at.iteration, needs_loss_gap_ ? scaled(at.loss_gap) : nb::object(nb::none()),
                                 matrix(at.gradient), at.gradient_exponent, at.gradient_norm,
                                 matrix(at.weights), before, after);
    const nb::object answer = rule_.get().attr("propose")(context);
    for (const RuleMemory& kept : memory_) {
      const std::size_t wanted = kept.size == 0 ? size : kept.size;
      if (!after.contains(kept.name.c_str()))
        throw InvalidArgument("rule", name_ + " wrote no " + kept.name + " to context.next");
      const Array values(after[kept.name.c_str()], "rule");
      values.require(Number::f64, ", as memory is kept");
      values.require_contiguous();
      if (values.size() != wanted)
        throw InvalidArgument("rule", name_ + " wrote " + std::to_string(values.size()) + " numbers of " +
                                          kept.name + " to context.next (need " + std::to_string(wanted) +
                                          ")");
      const std::span<const double> span = values.span<double>();
      next.values[kept.name].assign(span.begin(), span.end());
    }
    return step_of(answer, at, next);
  }

  Step<T> step_of(const nb::object& answer, const StepContext<T>& at, RuleState& next) const {
    if (answer.is_none()) return {.outcome = Step<T>::Outcome::stationary};
    const auto times_gradient = [&](double coefficient) {
      return Step<T>{Step<T>::Outcome::moved, coefficient, at.gradient,
                     std::fabs(coefficient) * at.gradient_norm};
    };
    if (PyFloat_Check(answer.ptr()) || PyLong_Check(answer.ptr())) {
      const double coefficient = PyFloat_AsDouble(answer.ptr());
      if (coefficient == -1.0 && PyErr_Occurred() != nullptr) nb::raise_python_error();
      return times_gradient(coefficient);
    }
    if (has_no_dimension(answer)) {
      const nb::object number = real_numbers(answer, "rule");
      return times_gradient(Array(number, "rule").span<double>()[0]);
    }
    if (PyUnicode_Check(answer.ptr()) && nb::cast<std::string>(answer) == "gap_not_positive")
      return {.outcome = Step<T>::Outcome::gap_not_positive};
    if (along_gradient_)
      throw InvalidArgument("rule", name_ + " moves along the gradient and returned " + kind_of(answer) +
                                        " (need a number or None)");
    if (PyUnicode_Check(answer.ptr()))
      throw InvalidArgument("rule", name_ + " returned '" + nb::cast<std::string>(answer) +
                                        "' (need a number, an array, None or \"gap_not_positive\")");
    const nb::object numbers = real_numbers(answer, "rule");
    const Array direction(numbers, "rule");
    const bool as_vector = direction.n_dims() == 1 && direction.size() == at.n_rows * at.n_cols;
    const bool as_matrix = direction.n_dims() == 2 && direction.extent(0) == at.n_rows &&
                           direction.extent(1) == at.n_cols;  // its transpose would be another step
    if (!as_vector && !as_matrix)
      throw InvalidArgument("rule", name_ + " returned a direction of shape " + direction.shape_text() +
                                        " (need (" + std::to_string(at.n_rows) + ", " +
                                        std::to_string(at.n_cols) + "))");
    const std::span<const double> span = direction.span<double>();
    next.direction.assign(span.begin(), span.end());
    Step<T> step{.coefficient = 1.0, .length = frobenius_norm(span)};
    step.computed = next.direction.data();
    return step;
  }

  Held rule_;
  std::string name_, settings_;
  bool needs_loss_gap_, along_gradient_;
  std::vector<RuleMemory> memory_ = {};
};

}  // namespace

template <NumberType T>
RuleSettings rule_settings(nb::handle rule) {
  if (PyUnicode_Check(rule.ptr())) return parse_rule(nb::cast<std::string>(rule));
  if (!nb::hasattr(rule, "propose"))
    throw InvalidArgument("rule",
                          kind_of(rule) + " (need a name with options, a Rule, a StepRule or a callable)");
  RuleSettings settings;
  settings.object = std::make_shared<const PythonRule<T>>(rule);
  return settings;
}

template RuleSettings rule_settings<float>(nb::handle);
template RuleSettings rule_settings<double>(nb::handle);

}  // namespace softstep::python
