#pragma once

// Cancellation from another thread: softstep.StopSource.

#include <nanobind/nanobind.h>

#include <stop_token>

namespace softstep::python {

/// The token of a StopSource; of None one that never stops. Throws InvalidArgument for anything else.
std::stop_token stop_token_of(nanobind::handle source);

}  // namespace softstep::python
