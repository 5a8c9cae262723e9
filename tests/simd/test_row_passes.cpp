// row_scores and weighted_rows, the passes of the attention kernel alone, on every instruction set: error
// bounds with rows in every storage, edges of memory, special values.

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
#include "support/unit_roundoff.h"

namespace {

namespace reference = softstep::reference;
using softstep::StoredType;
using softstep::simd::AttentionArgs;
using softstep::simd::Isa;
using softstep::test::decoded;
using softstep::test::fill;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::output;
using softstep::test::same;
using softstep::test::unit_roundoff;
using softstep::test::untouched;

template <class T>
using Limits = std::numeric_limits<T>;

const std::size_t row_sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 160, 290};

// Rows in T or in 16 bits, NaN between them, and the same as T for the reference.
template <class T>
struct Rows {
  std::size_t n, dim, stride;
  StoredType storage;
  Guarded<T> plain;
  Guarded<std::uint16_t> halves;

  Rows(std::size_t n_, std::size_t dim_, std::size_t pad, StoredType stored, std::mt19937_64& random)
      : n(n_),
        dim(dim_),
        stride(dim_ + pad),
        storage(stored),
        plain((n_ - 1) * (dim_ + pad) + dim_),
        halves(stored == StoredType::working ? 0 : plain.size()) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t k = 0; k < plain.size(); ++k) {
      const bool between = k % stride >= dim;
      if (storage == StoredType::working) {
        plain[k] = between ? Limits<T>::quiet_NaN() : static_cast<T>(uniform(random));
      } else {
        halves[k] = between ? 0x7fff : softstep::test::half_below_one(random, storage);
        plain[k] = static_cast<T>(decoded(halves[k], storage));
      }
    }
  }
  AttentionArgs<T> args() const {
    AttentionArgs<T> out{};
    out.n_tokens = n;
    out.dim = dim;
    out.token_stride = stride;
    out.storage = storage;
    if (storage == StoredType::working)
      out.tokens = plain.data();
    else
      out.half_tokens = halves.data();
    return out;
  }
};

template <class T>
std::vector<StoredType> storages() {
  if (sizeof(T) == sizeof(float)) return {StoredType::working, StoredType::f16, StoredType::bf16};
  return {StoredType::working};
}

}  // namespace

TEMPLATE_TEST_CASE("row_scores keeps its error bound, with rows as they are stored", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(47);
  for_each_isa([&](const Isa& isa) {
    for (const StoredType storage : storages<T>())
      for (const std::size_t n : {1, 2, 3, 4, 5, 8, 9, 17})
        for (const std::size_t dim : row_sizes) {
          const Rows<T> rows(n, dim, (n + dim) % 3, storage, random);
          Guarded<T> query(dim), scores = output<T>(n);
          fill(query, random);
          AttentionArgs<T> args = rows.args();
          args.projected_query = query.data();
          args.scores = scores.data() + 1;
          isa.kernels<T>().row_scores(args);
          INFO(isa.name << ' ' << n << " rows of " << dim);
          if (scores[0] != untouched<T>) FAIL("wrote before the scores");
          for (std::size_t t = 0; t < n; ++t) {
            const auto exact =
                reference::row_scores<long double>(t, dim, rows.plain.data(), rows.stride, query.data());
            double size = 0.0;
            for (std::size_t j = 0; j < dim; ++j)
              size += std::fabs(static_cast<double>(rows.plain[t * rows.stride + j]) *
                                static_cast<double>(query[j]));
            // No term goes through more than d roundings (simd/kernels/attention.h).
            const double error = static_cast<double>(std::fabs(scores[t + 1] - exact)),
                         bound = 1.01 * unit_roundoff<T> * static_cast<double>(dim) * size;
            if (!(error <= bound)) REQUIRE(error <= bound);
          }
        }
  });
}

TEMPLATE_TEST_CASE("weighted_rows keeps its error bound, with rows as they are stored", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(48);
  for_each_isa([&](const Isa& isa) {
    for (const StoredType storage : storages<T>())
      for (const std::size_t n : {1, 2, 3, 4, 5, 8, 9, 17, 130})
        for (const std::size_t dim : row_sizes) {
          const Rows<T> rows(n, dim, (n + dim) % 3, storage, random);
          Guarded<T> weights(n), sums = output<T>(dim);
          fill(weights, random);
          AttentionArgs<T> args = rows.args();
          args.weights = weights.data();
          args.gradient = sums.data() + 1;
          isa.kernels<T>().weighted_rows(args);
          INFO(isa.name << ' ' << n << " rows of " << dim);
          if (sums[0] != untouched<T>) FAIL("wrote before the sums");
          for (std::size_t j = 0; j < dim; ++j) {
            const auto exact =
                reference::weighted_rows<long double>(j, n, rows.plain.data(), rows.stride, weights.data());
            double size = 0.0;
            for (std::size_t t = 0; t < n; ++t)
              size += std::fabs(static_cast<double>(rows.plain[t * rows.stride + j]) *
                                static_cast<double>(weights[t]));
            const double error = static_cast<double>(std::fabs(sums[j + 1] - exact)),
                         bound = 1.01 * unit_roundoff<T> * static_cast<double>(n) * size;
            if (!(error <= bound)) REQUIRE(error <= bound);
          }
        }
  });
}

TEMPLATE_TEST_CASE("row_scores and weighted_rows pass NaN and infinity on to what they are in", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(49);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t dim : {1, 3, 8, 40, 150})
      for (const T bad : {Limits<T>::quiet_NaN(), Limits<T>::infinity()}) {
        const std::size_t n = 11, row = 6, column = dim - 1;
        Rows<T> rows(n, dim, 1, StoredType::working, random);
        rows.plain[row * rows.stride + column] = bad;
        Guarded<T> query(dim), weights(n), scores(n), sums(dim);
        fill(query, T(0.5));
        fill(weights, T(0.25));
        AttentionArgs<T> args = rows.args();
        args.projected_query = query.data();
        args.scores = scores.data();
        args.weights = weights.data();
        args.gradient = sums.data();
        isa.kernels<T>().row_scores(args);
        isa.kernels<T>().weighted_rows(args);
        INFO(isa.name << " d = " << dim << ", " << bad);
        for (std::size_t t = 0; t < n; ++t)
          if (!(t == row ? same(scores[t], bad) : std::isfinite(scores[t]))) FAIL("score " << t);
        for (std::size_t j = 0; j < dim; ++j)
          if (!(j == column ? same(sums[j], bad) : std::isfinite(sums[j]))) FAIL("sum " << j);
      }
  });
}
