#include "results.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace softstep::python {
namespace {

// Looked up once a process and kept for good: a lookup costs more than a small kernel.
nb::handle numpy_empty() {
  static const nb::handle function = nb::object(nb::module_::import_("numpy").attr("empty")).release();
  return function;
}

nb::handle numpy_array_type() {
  static const nb::handle type = nb::object(nb::module_::import_("numpy").attr("ndarray")).release();
  return type;
}

nb::handle dtype_object(Number number) {
  static nb::handle known[static_cast<int>(Number::other) + 1] = {};
  nb::handle& slot = known[static_cast<int>(number)];
  if (!slot.is_valid())
    slot = nb::object(nb::module_::import_("numpy").attr("dtype")(
                          to_string(number == Number::bf16 ? Number::u16 : number)))
               .release();
  return slot;
}

nb::handle scaled_type() {
  static const nb::handle type = nb::object(nb::module_::import_("softstep.scaled").attr("Scaled")).release();
  return type;
}

template <class T>
constexpr Number number_for = std::same_as<T, float>         ? Number::f32
                              : std::same_as<T, double>      ? Number::f64
                              : std::same_as<T, std::int8_t> ? Number::i8
                              : std::same_as<T, bool>        ? Number::boolean
                                                             : Number::i64;

}  // namespace

nb::object new_array(Number number, std::span<const std::size_t> shape) {
  nb::object extents = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  for (std::size_t k = 0; k < shape.size(); ++k)
    PyTuple_SetItem(extents.ptr(), static_cast<Py_ssize_t>(k), PyLong_FromSize_t(shape[k]));
  return numpy_empty()(extents, dtype_object(number));
}

template <class T>
nb::object copy_of(std::span<const T> numbers, std::initializer_list<std::size_t> shape) {
  static_assert(sizeof(T) == 8 || number_for<T> != Number::i64);
  nb::object out = shape.size() == 0 ? new_array(number_for<T>, {numbers.size()})
                                     : new_array(number_for<T>, std::span<const std::size_t>(shape));
  const Array place(out, "result", Access::write);
  if (!numbers.empty()) std::memcpy(place.data(), numbers.data(), numbers.size_bytes());
  return out;
}

template nb::object copy_of(std::span<const float>, std::initializer_list<std::size_t>);
template nb::object copy_of(std::span<const double>, std::initializer_list<std::size_t>);
template nb::object copy_of(std::span<const std::int8_t>, std::initializer_list<std::size_t>);
template nb::object copy_of(std::span<const std::int64_t>, std::initializer_list<std::size_t>);
template nb::object copy_of(std::span<const std::size_t>, std::initializer_list<std::size_t>);

template <class T>
nb::object view_of(const T* numbers, std::initializer_list<std::size_t> shape,
                   std::shared_ptr<const void> owner) {
  using Owner = std::shared_ptr<const void>;
  auto held = std::make_unique<Owner>(std::move(owner));
  const nb::capsule keeper(held.get(), [](void* p) noexcept { delete static_cast<Owner*>(p); });
  held.release();
  return nb::cast(
      nb::ndarray<nb::numpy, const T, nb::c_contig>(numbers, shape.size(), shape.begin(), keeper));
}

template nb::object view_of(const float*, std::initializer_list<std::size_t>, std::shared_ptr<const void>);
template nb::object view_of(const double*, std::initializer_list<std::size_t>, std::shared_ptr<const void>);

nb::object like(nb::handle model, nb::object array, Number number) {
  const nb::handle type = model.type();
  const bool bits = number == Number::bf16;
  if (type.ptr() == numpy_array_type().ptr() || !nb::hasattr(model, "__dlpack__"))
    return bits ? array.attr("view")(model.attr("dtype")) : array;
  const std::string module = nb::cast<std::string>(nb::str(type.attr("__module__")));
  if (module == "torch" || module.starts_with("torch.")) {
    const nb::object from = nb::module_::import_("torch").attr("from_numpy");
    return bits ? from(array.attr("view")("int16")).attr("view")(model.attr("dtype")) : from(array);
  }
  if (module == "jax" || module.starts_with("jax.") || module.starts_with("jaxlib")) {
    if (bits)
      return nb::module_::import_("jax.numpy").attr("asarray")(array.attr("view")(model.attr("dtype")));
    return nb::module_::import_("jax.dlpack").attr("from_dlpack")(array);
  }
  return array;
}

nb::object scaled(nb::object mantissa, double exponent) {
  return scaled_type()(std::move(mantissa), nb::float_(exponent));
}

}  // namespace softstep::python
