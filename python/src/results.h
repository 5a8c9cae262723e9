#pragma once

// Arrays that are handed out: NumPy's, made into the caller's kind where the caller came with PyTorch's or
// JAX's.

#include <nanobind/nanobind.h>

#include <initializer_list>
#include <memory>
#include <span>

#include "array.h"
#include "softstep/number_type.h"
#include "softstep/scaled.h"

namespace softstep::python {

/// An uninitialised NumPy array in C order; of bfloat16 its bits (uint16).
nb::object new_array(Number number, std::span<const std::size_t> shape);
inline nb::object new_array(Number number, std::initializer_list<std::size_t> shape) {
  return new_array(number, std::span<const std::size_t>(shape.begin(), shape.size()));
}

/// A copy of these numbers as a NumPy array of that shape (one dimension where none is given).
template <class T>
nb::object copy_of(std::span<const T> numbers, std::initializer_list<std::size_t> shape = {});

/// A read-only NumPy array on these numbers where they lie, which keeps `owner` alive.
template <class T>
nb::object view_of(const T* numbers, std::initializer_list<std::size_t> shape,
                   std::shared_ptr<const void> owner);

/// A NumPy array as the kind of array that `model` is (PyTorch, JAX; else NumPy), on the same memory. The
/// bits of bfloat16 become that type.
nb::object like(nb::handle model, nb::object array, Number number = Number::other);

/// softstep.Scaled(mantissa, exponent)
nb::object scaled(nb::object mantissa, double exponent);
inline nb::object scaled(Scaled number) { return scaled(nb::float_(number.mantissa), number.exponent); }

}  // namespace softstep::python
