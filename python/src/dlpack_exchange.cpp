#include "dlpack_exchange.h"

#include <cstdint>

namespace nb = nanobind;

namespace softstep::python {
namespace {

// As dlpack.h has it from major version 1 on.
struct ExchangeApi {
  struct {
    std::uint32_t major, minor;
  } version;
  ExchangeApi* previous;
  void* allocate;
  void* managed_from_object;
  void* managed_to_object;
  int (*tensor_from_object)(void* object, nb::dlpack::dltensor* out);
  void* current_work_stream;
};

constexpr std::uint32_t known_major = 1;

PyObject* interned(const char* name) {
  PyObject* made = PyUnicode_InternFromString(name);
  if (made == nullptr) nb::raise_python_error();
  return made;
}

// PyTorch marks a tensor that is to be read with its sign turned, and leaves the numbers as they are.
bool is_negated(nb::handle object) {
  static PyObject* const name = interned("is_neg");
  PyObject* result = PyObject_CallMethodNoArgs(object.ptr(), name);
  const bool negated = result != Py_False;  // also where that cannot be asked: then it is left to __dlpack__
  if (result == nullptr) PyErr_Clear();
  Py_XDECREF(result);
  return negated;
}

}  // namespace

bool describe_tensor(nb::handle object, nb::dlpack::dltensor& out) {
  static PyObject* const name = interned("__dlpack_c_exchange_api__");
  PyObject* capsule = PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())), name);
  if (capsule == nullptr) {
    PyErr_Clear();
    return false;
  }
  auto* api = static_cast<ExchangeApi*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  Py_DECREF(capsule);
  if (api == nullptr) PyErr_Clear();
  while (api != nullptr && api->version.major > known_major) api = api->previous;
  if (api == nullptr || api->version.major != known_major || api->tensor_from_object == nullptr) return false;
  if (is_negated(object)) return false;
  if (api->tensor_from_object(object.ptr(), &out) == 0) return true;
  PyErr_Clear();
  return false;
}

}  // namespace softstep::python
