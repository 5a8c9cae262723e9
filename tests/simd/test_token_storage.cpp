// Tokens in 16 bits: every number of both types, and the same bits as the same numbers stored as float, whose
// accuracy test_attention.cpp holds.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "attention_case.h"
#include "halves.h"
#include "support/isas.h"

namespace {

using softstep::StoredType;
using softstep::simd::AttentionArgs;
using softstep::simd::AttentionStats;
using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::both_halves;
using softstep::test::decoded;
using softstep::test::for_each_isa;
using softstep::test::Guarded;

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

// Scores, weights and gradient of one sample.
struct Outputs {
  std::vector<float> gradient, scores, weights;
  AttentionStats<float> stats;

  Outputs(const Isa& isa, AttentionArgs<float> args)
      : gradient(args.dim), scores(args.n_tokens), weights(args.n_tokens) {
    args.gradient = gradient.data();
    args.scores = scores.data();
    args.weights = weights.data();
    stats = isa.kernels<float>().attention_of(args);
  }
  bool operator==(const Outputs& o) const {
    return gradient == o.gradient && scores == o.scores && weights == o.weights &&
           stats.pivot == o.stats.pivot && same_bits(stats.exponent, o.stats.exponent) &&
           same_bits(stats.mean_gap, o.stats.mean_gap) && same_bits(stats.largest, o.stats.largest);
  }
};

const std::size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 160, 250, 290};

}  // namespace

TEST_CASE("every 16-bit number is read as what it is", "[simd]") {
  for_each_isa([&](const Isa& isa) {
    for (const StoredType storage : both_halves)
      for (const std::size_t dim : {1, 37}) {
        // The number at the end of a row, seen by a query of 1 there and 0 elsewhere: in a partial and in a
        // whole vector.
        for (std::size_t column : {dim - 1, dim / 2}) {
          std::vector<std::uint16_t> tokens(dim, 0);
          std::vector<float> query(dim, 0.0f);
          query[column] = 1.0f;
          const float gap = 0.0f;
          for (unsigned bits = 0; bits < 65536; ++bits) {
            tokens[column] = static_cast<std::uint16_t>(bits);
            float score = 77.0f, weight = 0.0f;
            isa.kernels<float>().attention_of({nullptr, dim, 1, dim, query.data(), &gap, 0, nullptr, &score,
                                               &weight, storage, tokens.data()});
            const float exact = decoded(static_cast<std::uint16_t>(bits), storage);
            if (!(std::isnan(exact) ? std::isnan(score) : score == exact))
              FAIL(isa.name << " bits " << bits << " read as " << score << " instead of " << exact);
          }
        }
      }
  });
}

TEST_CASE("tokens in 16 bits give the same bits as the same numbers in float", "[simd]") {
  std::mt19937_64 random(5);
  for_each_isa([&](const Isa& isa) {
    for (const StoredType storage : both_halves)
      for (const std::size_t n : sizes)
        for (const std::size_t d : sizes) {
          AttentionCase<float> in(n, d, (n + d) % 3);
          in.fill(random, 3.0);
          Guarded<std::uint16_t> halves(in.tokens.size());
          for (std::size_t k = 0; k < halves.size(); ++k) halves[k] = 0x7fff;  // NaN between rows
          for (std::size_t t = 0; t < n; ++t)
            for (std::size_t j = 0; j < d; ++j) {
              const std::uint16_t bits = softstep::test::half_below_one(random, storage);
              halves[t * in.stride + j] = bits;
              in.at(t, j) = decoded(bits, storage);
            }
          AttentionArgs<float> args{in.tokens.data(), in.stride,  n,       d,       in.query.data(),
                                    in.gaps.data(),   in.optimal, nullptr, nullptr, nullptr};
          const Outputs expected(isa, args);
          args.tokens = nullptr;
          args.storage = storage;
          args.half_tokens = halves.data();
          INFO(isa.name << " T = " << n << " d = " << d);
          if (!(Outputs(isa, args) == expected)) FAIL("differs from float");
        }
  });
}

TEST_CASE("an infinite or NaN 16-bit token spoils its sample", "[simd]") {
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const StoredType storage : both_halves)
      for (const std::uint16_t bad :
           {std::uint16_t{0x7fff},
            storage == StoredType::f16 ? std::uint16_t{0x7c00} : std::uint16_t{0x7f80}})
        for (const std::size_t d : {3, 40}) {
          const std::size_t n = 7;
          std::vector<std::uint16_t> tokens(n * d, 0x3800);
          tokens[4 * d + 1] = bad;
          const std::vector<float> query(d, 0.5f), gaps = {0, 1, 1, 2, 1, 3, 1};
          const Outputs out(isa, {nullptr, d, n, d, query.data(), gaps.data(), 0, nullptr, nullptr, nullptr,
                                  storage, tokens.data()});
          CHECK(std::isnan(out.stats.mean_gap));
          CHECK(std::isnan(out.stats.largest));
          for (const float g : out.gradient) CHECK(std::isnan(g));
        }
  });
}
