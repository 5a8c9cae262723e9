// Exceptions of the library become those of softstep/errors.py.

#include <nanobind/nanobind.h>

#include <exception>

#include "parts.h"
#include "softstep/error.h"

namespace nb = nanobind;

namespace softstep::python {
namespace {

void raise(const char* name, const Error& error) {
  // Imported when it is needed: the package imports this module first.
  nb::object type = nb::module_::import_("softstep.errors").attr(name);
  nb::object value = type(nb::str(error.what(), std::char_traits<char>::length(error.what())),
                          nb::str(error.argument().c_str(), error.argument().size()));
  PyErr_SetObject(type.ptr(), value.ptr());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const BadFile& e) {
    raise("BadFile", e);
  } catch (const IoError& e) {
    raise("IoError", e);
  } catch (const NotSupported& e) {
    raise("NotSupported", e);
  } catch (const InvalidArgument& e) {
    raise("InvalidArgument", e);
  } catch (const Error& e) {
    raise("Error", e);
  }
}

}  // namespace

void add_errors(nb::module_&) { nb::register_exception_translator(translate); }

}  // namespace softstep::python
