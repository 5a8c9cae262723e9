#include "vectors.h"

#include <string>

#include "softstep/error.h"

namespace softstep::python {
namespace {

template <class T>
std::span<const T> numbers_of(const Array& array, Number number) {
  array.require(number);
  array.require_contiguous();
  return array.span<T>();
}

}  // namespace

std::vector<double> doubles_of(nb::handle object, const char* name) {
  const Array array(object, name);
  const std::span<const double> numbers = numbers_of<double>(array, Number::f64);
  return {numbers.begin(), numbers.end()};
}

std::vector<std::size_t> counts_of(nb::handle object, const char* name) {
  const Array array(object, name);
  std::vector<std::size_t> out;
  for (const std::int64_t number : numbers_of<std::int64_t>(array, Number::i64)) {
    if (number < 0) throw InvalidArgument(name, std::to_string(number) + " (need 0 or more)");
    out.push_back(static_cast<std::size_t>(number));
  }
  return out;
}

std::vector<std::int8_t> labels_of(nb::handle object, const char* name) {
  const Array array(object, name);
  const std::span<const std::int8_t> numbers = numbers_of<std::int8_t>(array, Number::i8);
  return {numbers.begin(), numbers.end()};
}

}  // namespace softstep::python
