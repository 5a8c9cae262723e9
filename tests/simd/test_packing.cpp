// pack_rows and transpose on every instruction set: every bit against core/reference, edges of memory.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "block_case.h"
#include "core/reference/softmax_blocks.h"
#include "halves.h"
#include "support/isas.h"

namespace {

namespace reference = softstep::reference;
using softstep::StoredType;
using softstep::simd::Isa;
using softstep::simd::PackArgs;
using softstep::test::both_halves;
using softstep::test::decoded;
using softstep::test::Extent;
using softstep::test::fill;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::same;
using softstep::test::untouched;

template <class T>
using Limits = std::numeric_limits<T>;

// Next to each other, with numbers between them, all the same, and backwards.
std::vector<std::ptrdiff_t> strides_of(std::size_t columns) {
  const auto n = static_cast<std::ptrdiff_t>(columns);
  return {n, n + 3, 0, -n - 2};
}

// Numbers of all sizes and in each seventh place one that is special.
template <class T>
T wide_number(std::size_t k, std::mt19937_64& random) {
  const T special[] = {T(0),
                       -T(0),
                       Limits<T>::infinity(),
                       -Limits<T>::infinity(),
                       Limits<T>::quiet_NaN(),
                       Limits<T>::max(),
                       Limits<T>::denorm_min()};
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  if (k % 7 == 6) return special[k / 7 % 7];
  return static_cast<T>(uniform(random) * std::exp2(0.9 * Limits<T>::max_exponent * uniform(random)));
}

// The rows of a block are packed for `out`; what lies between its rows is looked at too.
template <class T, class Expected>
void check_pack(const Isa& isa, PackArgs<T> args, std::size_t pad, Expected expected) {
  args.ld = args.n_columns + pad;
  Guarded<T> out(args.n_rows == 0 || args.n_columns == 0 ? 0 : (args.n_rows - 1) * args.ld + args.n_columns);
  fill(out, untouched<T>);
  args.out = out.data();
  isa.kernels<T>().pack_rows(args);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::size_t r = k / args.ld, j = k % args.ld;
    const T wanted = j < args.n_columns ? expected(r, j) : untouched<T>;
    if (!same(out[k], wanted))
      FAIL("row " << r << ", column " << j << ": " << out[k] << " instead of " << wanted);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("pack_rows rounds each number once, whatever its strides, and writes nothing else",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(41);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t rows : {0, 1, 2, 5})
      for (std::size_t columns = 0; columns <= 40; ++columns)
        for (const std::ptrdiff_t stride : strides_of(columns))
          for (const double scale : {1.0, 0.125, -0.3, 0.08838834764831845}) {
            const Extent extent(rows, columns, stride);
            Guarded<T> in(extent.size);
            for (std::size_t k = 0; k < in.size(); ++k) in[k] = wide_number<T>(k, random);
            const T* first = in.data() + extent.first;
            INFO(isa.name << ' ' << rows << " x " << columns << ", stride " << stride << ", scale " << scale);
            PackArgs<T> args{};
            args.n_rows = rows;
            args.n_columns = columns;
            args.rows = first;
            args.stride = stride;
            args.scale = static_cast<T>(scale);
            check_pack(isa, args, columns % 3, [&](std::size_t r, std::size_t j) {
              return reference::pack_rows<T>(
                  args.scale,
                  first[static_cast<std::ptrdiff_t>(r) * stride + static_cast<std::ptrdiff_t>(j)]);
            });
          }
  });
}

TEST_CASE("pack_rows reads every 16-bit number as what it is, at any stride", "[simd]") {
  std::mt19937_64 random(42);
  for_each_isa([&](const Isa& isa) {
    for (const StoredType storage : both_halves) {
      const auto check = [&](std::size_t rows, std::size_t columns, std::ptrdiff_t stride,
                             const Guarded<std::uint16_t>& in, const std::uint16_t* first, float scale) {
        INFO(isa.name << ' ' << rows << " x " << columns << ", stride " << stride << ", scale " << scale);
        PackArgs<float> args{};
        args.n_rows = rows;
        args.n_columns = columns;
        args.stride = stride;
        args.storage = storage;
        args.half_rows = first;
        args.scale = scale;
        REQUIRE(in.size() != 0);
        check_pack(isa, args, columns % 3, [&](std::size_t r, std::size_t j) {
          const std::uint16_t bits =
              first[static_cast<std::ptrdiff_t>(r) * stride + static_cast<std::ptrdiff_t>(j)];
          return reference::pack_rows<float>(scale, decoded(bits, storage));
        });
      };
      Guarded<std::uint16_t> all(65536);
      for (std::size_t k = 0; k < all.size(); ++k) all[k] = static_cast<std::uint16_t>(k);
      check(1, all.size(), 0, all, all.data(), 1.0f);
      // 65536 = 17 * 3855 + 1: every number in another lane, and in the part of a vector.
      check(3855, 17, 17, all, all.data() + 1, -0.3f);
      for (const std::size_t rows : {1, 2, 5})
        for (std::size_t columns = 1; columns <= 40; ++columns)
          for (const std::ptrdiff_t stride : strides_of(columns)) {
            const Extent extent(rows, columns, stride);
            Guarded<std::uint16_t> in(extent.size);
            for (std::size_t k = 0; k < in.size(); ++k) in[k] = static_cast<std::uint16_t>(random());
            check(rows, columns, stride, in, in.data() + extent.first, 0.7f);
          }
    }
  });
}

TEMPLATE_TEST_CASE("transpose moves every bit to its place and writes nothing else", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(43);
  for_each_isa([&](const Isa& isa) {
    for (std::size_t rows = 0; rows <= 19; ++rows)
      for (std::size_t columns = 0; columns <= 19; ++columns)
        for (const std::ptrdiff_t stride : strides_of(columns)) {
          const Extent extent(rows, columns, stride);
          Guarded<T> in(extent.size);
          // Any bits, those of signalling NaN among them.
          auto* bytes = reinterpret_cast<unsigned char*>(in.data());
          for (std::size_t k = 0; k < in.size() * sizeof(T); ++k)
            bytes[k] = static_cast<unsigned char>(random() % 5 == 0 ? 0xff : random());
          const T* first = in.data() + extent.first;
          const std::size_t ld = rows + columns % 3;
          Guarded<T> out(rows == 0 || columns == 0 ? 0 : (columns - 1) * ld + rows);
          fill(out, untouched<T>);
          isa.kernels<T>().transpose({rows, columns, first, stride, out.data(), ld});
          INFO(isa.name << ' ' << rows << " x " << columns << ", stride " << stride);
          for (std::size_t k = 0; k < out.size(); ++k) {
            T wanted = untouched<T>;
            if (k % ld < rows) wanted = reference::transpose(k / ld, k % ld, first, stride);
            if (std::memcmp(&out.data()[k], &wanted, sizeof(T)) != 0) FAIL("element " << k);
          }
        }
  });
}
