#pragma once

// A step rule written in Python: softstep.StepRule.

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "softstep/step_rules.h"

namespace softstep::python {

/// "ngd:step-size=1" or an object of softstep.StepRule, in the precision of T.
template <NumberType T>
RuleSettings rule_settings(nanobind::handle rule);

}  // namespace softstep::python
