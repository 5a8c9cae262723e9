#pragma once

// Arrays of numbers for the library, copied or converted where they have to be.

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "array.h"

namespace softstep::python {

/// Whatever NumPy makes a float64 array of, looked at in C order, copied where it has to be.
struct Doubles {
  Doubles(nb::handle object, const char* name) : numbers(real_numbers(object, name)), array(numbers, name) {}
  std::span<const double> span() const { return array.span<double>(); }
  nb::object numbers;
  Array array;
};

/// All numbers of a float64 array in C order.
std::vector<double> doubles_of(nb::handle object, const char* name);
/// All numbers of an int64 array in C order. Throws InvalidArgument for a negative one.
std::vector<std::size_t> counts_of(nb::handle object, const char* name);
/// All numbers of an int8 array in C order.
std::vector<std::int8_t> labels_of(nb::handle object, const char* name);

}  // namespace softstep::python
