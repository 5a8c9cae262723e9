// F16 and BF16 through files: every bit pattern read, and rounding to nearest even on writing.

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "refused.h"
#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

struct Format {
  StoredType type;
  const char* dtype;
  int mantissa_bits, bias;
};
constexpr Format f16{StoredType::f16, "F16", 10, 15}, bf16{StoredType::bf16, "BF16", 7, 127};

// The definition of an IEEE interchange format, by powers of two.
double value_of(const Format& format, std::uint16_t bits) {
  const int fields = 15 - format.mantissa_bits, top = (1 << fields) - 1;
  const int exponent = (bits >> format.mantissa_bits) & top;
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const double sign = bits >> 15 ? -1.0 : 1.0;
  if (exponent == top) return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - format.bias - format.mantissa_bits);
  return sign *
         std::ldexp(mantissa + (1 << format.mantissa_bits), exponent - format.bias - format.mantissa_bits);
}

std::vector<std::uint16_t> written(const Workplace& place, StoredType type,
                                   const std::vector<double>& values) {
  save_tensors(place.path("w"), {{"x", {values.size()}, values, type}});
  const std::string file = place.read("w");
  std::vector<std::uint16_t> bits(values.size());
  std::memcpy(bits.data(), file.data() + file.size() - 2 * bits.size(), 2 * bits.size());
  return bits;
}

}  // namespace

TEST_CASE("every 16-bit number is read exactly and written back as it was", "[data]") {
  const Format format = GENERATE(f16, bf16);
  const Workplace place;
  std::vector<std::uint16_t> all(65536);
  for (std::size_t k = 0; k < all.size(); ++k) all[k] = static_cast<std::uint16_t>(k);
  place.write("all", safetensors({{"x", format.dtype, {65536}, bytes_of(all)}}));
  const std::vector<NamedTensor> tensors = load_tensors(place.path("all"));
  REQUIRE(tensors.size() == 1);
  CHECK(tensors[0].type == format.type);
  REQUIRE(tensors[0].values.size() == 65536);
  const std::vector<std::uint16_t> back = written(place, format.type, tensors[0].values);
  for (std::size_t k = 0; k < all.size(); ++k) {
    const double expected = value_of(format, all[k]), read = tensors[0].values[k];
    if (std::isnan(expected)) {
      REQUIRE(std::isnan(read));
      REQUIRE(std::isnan(value_of(format, back[k])));
    } else {
      REQUIRE(std::bit_cast<std::uint64_t>(read) == std::bit_cast<std::uint64_t>(expected));
      REQUIRE(back[k] == all[k]);
    }
  }
}

// Between neighbours a < b lie: a little above a, a little below the middle, the middle, a little above it.
TEST_CASE("writing rounds to nearest, ties to even, for every pair of neighbours", "[data]") {
  const Format format = GENERATE(f16, bf16);
  const Workplace place;
  const auto infinity =
      static_cast<std::uint16_t>(((1 << (15 - format.mantissa_bits)) - 1) << format.mantissa_bits);
  std::vector<double> values;
  std::vector<std::uint16_t> expected;
  for (std::uint16_t a = 0; a + 1 < infinity; ++a) {
    const auto b = static_cast<std::uint16_t>(a + 1);
    const double low = value_of(format, a), high = value_of(format, b), middle = low + (high - low) / 2;
    const double points[] = {std::nextafter(low, high), std::nextafter(middle, low), middle,
                             std::nextafter(middle, high), std::nextafter(high, low)};
    const std::uint16_t nearest[] = {a, a, a % 2 == 0 ? a : b, b, b};
    for (int k = 0; k < 5; ++k)
      for (const int sign : {1, -1}) {
        values.push_back(sign * points[k]);
        expected.push_back(static_cast<std::uint16_t>(sign > 0 ? nearest[k] : nearest[k] | 0x8000));
      }
  }
  CHECK(written(place, format.type, values) == expected);
}

TEST_CASE("well-known numbers", "[data]") {
  const Workplace place;
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  CHECK(written(place, StoredType::f16,
                {1.0, -2.0, 65504.0, 0x1p-14, 0x1p-24, 1.0 / 3, inf, -inf, -0.0, 5e-324, 1e-300}) ==
        std::vector<std::uint16_t>{0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x3555, 0x7c00, 0xfc00, 0x8000, 0,
                                   0});
  CHECK(
      written(place, StoredType::bf16,
              {1.0, -2.0, 0x1.fep127, 0x1p-126, 0x1p-133, 1.0 / 3, inf, -inf, -0.0, 5e-324}) ==
      std::vector<std::uint16_t>{0x3f80, 0xc000, 0x7f7f, 0x0080, 0x0001, 0x3eab, 0x7f80, 0xff80, 0x8000, 0});
  CHECK(written(place, StoredType::f16, {nan, -nan})[0] == 0x7e00);
  CHECK(written(place, StoredType::bf16, {nan})[0] == 0x7fc0);
  // Rounded once: by way of float this would be a tie, and go down to 1.
  CHECK(written(place, StoredType::f16, {1.0 + 0x1p-11 + 0x1p-40})[0] == 0x3c01);
  CHECK(written(place, StoredType::bf16, {1.0 + 0x1p-8 + 0x1p-40})[0] == 0x3f81);
}

TEST_CASE("a number that would become infinite is refused, and the largest that does not is written",
          "[data]") {
  struct Row {
    StoredType type;
    const char* dtype;
    double halfway;  // from the largest finite number to the next power of two
  };
  const Row row = GENERATE(Row{StoredType::f16, "F16", 65520.0}, Row{StoredType::bf16, "BF16", 0x1.ffp127},
                           Row{StoredType::f32, "F32", 0x1.ffffffp127});
  const Workplace place;
  for (const double sign : {1.0, -1.0}) {
    for (const double bad : {row.halfway, 1e300})
      require_refused(place.path("w"), {"`x`", "overflows in", row.dtype}, [&] {
        save_tensors(place.path("w"), {{"x", {2}, {1.0, sign * bad}, row.type}});
      });
    CHECK(place.contents().empty());
  }
  save_tensors(place.path("w"), {{"x", {1}, {std::nextafter(row.halfway, 0.0)}, row.type}});
  CHECK(std::isfinite(load_tensors(place.path("w"))[0].values[0]));
}
