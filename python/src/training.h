#pragma once

// States and settings of runs, in either precision.

#include <nanobind/nanobind.h>

#include <variant>

#include "model.h"
#include "python_rule.h"
#include "softstep/error.h"
#include "softstep/trainer.h"

namespace softstep::python {

/// Where a run stands: softstep.TrainState.
class State {
 public:
  std::variant<TrainState<float>, TrainState<double>> held;

  template <NumberType T>
  TrainState<T>& get() {
    auto* found = std::get_if<TrainState<T>>(&held);
    if (found == nullptr)
      throw InvalidArgument("state", std::string("that of a problem in another precision (need ") +
                                         to_string(number_of<T>) + ")");
    return *found;
  }
};

/// Settings of a run, softstep.TrainerOptions; rules are made for the precision of the run.
struct Options {
  nb::object rules = {};
  TrainerOptions common = {};

  template <NumberType T>
  TrainerOptions in() const {
    TrainerOptions out = common;
    out.rules.clear();
    if (rules.is_valid())  // not once the garbage collector has taken them
      for (nb::handle rule : rules) out.rules.push_back(rule_settings<T>(rule));
    return out;
  }
};

}  // namespace softstep::python
