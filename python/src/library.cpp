// Version, instruction sets and threads.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "parts.h"
#include "softstep/isa.h"
#include "softstep/threads.h"
#include "softstep/version.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {

void add_library(nb::module_& m) {
  m.attr("__version__") = version;
  m.def("active_isa", &active_isa,
        "Name of the instruction set in force: the one forced, else that of the environment variable "
        "SOFTSTEP_ISA,\n"
        "else the best that runs here.");
  m.def("force_isa", &force_isa, "name"_a,
        "Forces an instruction set for problems made from now on; \"auto\" returns to the default.\n\n"
        "Raises InvalidArgument for an unknown name, NotSupported for one that cannot run here.");
  m.def(
      "isas",
      [] {
        nb::list runnable;
        for (const IsaInfo& isa : isas())
          if (isa.runnable) runnable.append(nb::str(isa.name.c_str()));
        return runnable;
      },
      nb::sig("def isas() -> list[str]"), "Names of the instruction sets that run here, slowest first.");
  m.def("available_threads", &available_threads,
        "What n_threads = 0 means: the processors that this process may use.");
}

}  // namespace softstep::python
