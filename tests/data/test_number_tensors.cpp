// Tensors of every number type, read as double.

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "softstep/error.h"
#include "softstep/number_tensors.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class Integer>
RawTensor integers(const std::string& type) {
  const std::vector<Integer> values = {std::numeric_limits<Integer>::min(), 7,
                                       std::numeric_limits<Integer>::max()};
  return {type, type, {3}, bytes_of(values)};
}

}  // namespace

TEST_CASE("number tensors are read exactly, whatever their type", "[data]") {
  const Workplace place;
  const std::vector<std::int64_t> signed_64 = {-9007199254740991, 7, 9007199254740991};
  place.write("file",
              safetensors({integers<std::int8_t>("I8"),
                           integers<std::uint8_t>("U8"),
                           integers<std::int16_t>("I16"),
                           integers<std::uint16_t>("U16"),
                           integers<std::int32_t>("I32"),
                           integers<std::uint32_t>("U32"),
                           {"I64", "I64", {3}, bytes_of(signed_64)},
                           {"U64", "U64", {3}, bytes_of(std::vector<std::uint64_t>{0, 7, 9007199254740991})},
                           {"F32", "F32", {1, 2}, bytes_of(std::vector<float>{0.5F, -3.0F})},
                           {"truth", "BOOL", {1}, std::string(1, '\1')}}));
  const std::vector<NamedTensor> read = load_number_tensors(place.path("file"));
  REQUIRE(read.size() == 9);
  const auto values = [&](const std::string& name) {
    for (const NamedTensor& one : read)
      if (one.name == name) return one.values;
    return std::vector<double>{};
  };
  CHECK(values("I8") == std::vector<double>{-128, 7, 127});
  CHECK(values("U8") == std::vector<double>{0, 7, 255});
  CHECK(values("I16") == std::vector<double>{-32768, 7, 32767});
  CHECK(values("U16") == std::vector<double>{0, 7, 65535});
  CHECK(values("I32") == std::vector<double>{-2147483648.0, 7, 2147483647.0});
  CHECK(values("U32") == std::vector<double>{0, 7, 4294967295.0});
  CHECK(values("I64") == std::vector<double>{-9007199254740991.0, 7, 9007199254740991.0});
  CHECK(values("U64") == std::vector<double>{0, 7, 9007199254740991.0});
  CHECK(values("F32") == std::vector<double>{0.5, -3.0});
  CHECK(read.front().name == "F32");
  CHECK(read.front().shape == std::vector<std::size_t>{1, 2});
}

TEST_CASE("an integer that a double does not hold is refused", "[data]") {
  const Workplace place;
  place.write("file",
              safetensors({{"n", "I64", {2}, bytes_of(std::vector<std::int64_t>{1, 9007199254740993})}}));
  CHECK_THROWS_AS(load_number_tensors(place.path("file")), BadFile);
}
