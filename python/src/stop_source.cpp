#include "stop_source.h"

#include "array.h"
#include "parts.h"
#include "softstep/error.h"

namespace nb = nanobind;

namespace softstep::python {

std::stop_token stop_token_of(nb::handle source) {
  if (source.is_none()) return {};
  if (!nb::isinstance<std::stop_source>(source))
    throw InvalidArgument("stop", kind_of(source) + " (need a softstep.StopSource)");
  return nb::cast<const std::stop_source&>(source).get_token();
}

void add_stop_source(nb::module_& m) {
  nb::class_<std::stop_source>(m, "StopSource",
                               R"(Cancels runs and solvers that were given it, from any thread.

>>> import softstep, threading
>>> source = softstep.StopSource()
>>> threading.Timer(0.05, source.stop).start()
>>> softstep.train(softstep.generate(seed=0).problem(), steps=10**9, stop=source).status
'interrupted')")
      .def(nb::init<>())
      .def(
          "stop", [](std::stop_source& s) { s.request_stop(); },
          "Asks whatever was given this source to stop, now and later.")
      .def_prop_ro(
          "stopped", [](const std::stop_source& s) { return s.stop_requested(); },
          "Whether stop was called.");
}

}  // namespace softstep::python
