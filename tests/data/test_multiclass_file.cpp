// Files of points with classes: read in every number type, and refused with the file's name and the reason.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "refused.h"
#include "softstep/multiclass.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Doubles = std::vector<double>;
using Ints = std::vector<std::int64_t>;

template <class T>
RawTensor tensor(const std::string& name, const std::string& dtype, std::vector<std::uint64_t> shape,
                 const std::vector<T>& values) {
  return {name, dtype, std::move(shape), bytes_of(values)};
}

const RawTensor features = tensor("features", "F64", {3, 2}, Doubles{1, 2, 3, 4, 5, 6});

MulticlassData read(const std::vector<RawTensor>& tensors) {
  const Workplace place;
  place.write("file", safetensors(tensors));
  return load_multiclass_data(place.path("file"));
}

void refuse(const std::vector<RawTensor>& tensors, const std::vector<std::string>& words) {
  const Workplace place;
  place.write("bad", safetensors(tensors));
  require_refused(place.path("bad"), words, [&] { load_multiclass_data(place.path("bad")); });
}

}  // namespace

TEST_CASE("points and classes are read in every number type", "[data]") {
  const std::vector<RawTensor> of_types = {tensor("classes", "I64", {3}, Ints{1, 0, 2}),
                                           tensor("classes", "U8", {3}, std::vector<std::uint8_t>{1, 0, 2}),
                                           tensor("classes", "I32", {3}, std::vector<std::int32_t>{1, 0, 2}),
                                           tensor("classes", "F64", {3}, Doubles{1, 0, 2})};
  const std::vector<RawTensor> of_points = {
      features, tensor("features", "F32", {3, 2}, std::vector<float>{1, 2, 3, 4, 5, 6})};
  for (const RawTensor& classes : of_types)
    for (const RawTensor& points : of_points) {
      INFO(classes.dtype << " " << points.dtype);
      const MulticlassData data = read({points, classes});
      CHECK(data.n_classes == 3);
      CHECK(data.dim == 2);
      CHECK(data.features == Doubles{1, 2, 3, 4, 5, 6});
      CHECK(data.classes == std::vector<std::size_t>{1, 0, 2});
    }
}

TEST_CASE("files without points or classes are refused in one line", "[data]") {
  const auto classes = [](Ints values) { return tensor("classes", "I64", {values.size()}, values); };
  refuse({features}, {"classes", "features"});
  refuse({classes({0, 1, 0})}, {"features"});
  refuse({tensor("features", "F64", {6}, Doubles{1, 2, 3, 4, 5, 6}), classes({0, 1, 0})},
         {"features", "[6]", "[n, d]"});
  refuse({tensor("features", "I64", {3, 2}, Ints{1, 2, 3, 4, 5, 6}), classes({0, 1, 0})},
         {"features", "I64"});
  refuse({features, classes({0, 1})}, {"classes", "[2]", "[3]"});
  refuse({features, classes({0, -1, 1})}, {"classes", "sample 1: -1", "whole number"});
  refuse({features, tensor("classes", "F64", {3}, Doubles{0, 0.5, 1})}, {"sample 1: 0.5", "whole number"});
  refuse({features, tensor("classes", "F64", {3}, Doubles{0, NAN, 1})}, {"sample 1: nan"});
  // Counted from 1, and a class so large that no weights fit.
  refuse({features, classes({1, 2, 3})}, {"no sample of class 0", "from 0 to 3"});
  refuse({features, classes({0, 2, 0})}, {"no sample of class 1", "from 0 to 2"});
  refuse({features, classes({0, 1, std::int64_t{1} << 52})}, {"no sample of class 2"});
  refuse({features, classes({0, 0, 0})}, {"n_classes", "1"});
  refuse({tensor("features", "F64", {3, 2}, Doubles{1, 2, 3, NAN, 5, 6}), classes({0, 1, 0})},
         {"sample 1 is not finite"});
  refuse({tensor("features", "F64", {0, 2}, Doubles{}), classes({})}, {"n"});
}
