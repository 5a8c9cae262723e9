// NaN and infinity reach what depends on them and nothing else.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include "linear_heads/linear_case.h"
#include "support/isas.h"

namespace softstep {
namespace {

using namespace test;

constexpr std::size_t n = 150;

LinearSetup setup_of(HeadGates gates) {
  return {.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = n, .n_keys = n, .dim = 9, .value_dim = 5},
          .gates = gates,
          .low = -0.05};
}

// Spoils one number of an array and asks which rows of the results changed to NaN. `reached(array, row)`:
// 0 outputs, 1 dQ, 2 dK, 3 dV.
template <class Pick, class Reached>
void require_reach(Pick pick, std::size_t row, Reached reached) {
  for (const HeadGates gates : {HeadGates::none, HeadGates::scalar, HeadGates::vector})
    for (const float bad : {NAN, INFINITY}) {
      LinearCase<float> in(setup_of(gates));
      pick(in).set(0, 0, row, 3, bad);
      const LinearCase<float> clean(setup_of(gates));
      for_each_isa([&](const simd::Isa& isa) {
        LinearRun<float> out = run(in, isa.name), wanted = run(clean, isa.name);
        const HeadsArray<float>* results[] = {&out.outputs, &out.queries, &out.keys, &out.values};
        const HeadsArray<float>* right[] = {&wanted.outputs, &wanted.queries, &wanted.keys, &wanted.values};
        for (int array = 0; array < 4; ++array)
          for (std::size_t h = 0; h < results[array]->n_heads(); ++h)
            for (std::size_t t = 0; t < n; ++t) {
              bool some = false, all_near = true;
              for (std::size_t c = 0; c < results[array]->n_cols(); ++c) {
                const float x = results[array]->get(0, h, t, c), y = right[array]->get(0, h, t, c);
                some = some || !std::isfinite(x);
                // Sums in another order: what is not reached is right, as it would be without the bad number.
                all_near = all_near && std::fabs(x - y) <= 1e-3f * (1.0f + std::fabs(y));
              }
              INFO(isa.name << " gates " << static_cast<int>(gates) << " bad " << bad << " row " << row
                            << " array " << array << " head " << h << " row " << t);
              if (reached(array, h, t))
                REQUIRE(some);
              else
                REQUIRE(all_near);
            }
      });
    }
}

TEST_CASE("A key that is no number reaches the queries that see it", "[linear_heads]") {
  for (const std::size_t row : {0, 20, 63, 64, 100})
    require_reach([](LinearCase<float>& in) -> HeadsArray<float>& { return in.keys; }, row,
                  [&](int array, std::size_t, std::size_t t) {
                    return array == 3 ? t == row : array != 2 && t >= row;
                  });
}

TEST_CASE("A value that is no number reaches the queries that see it", "[linear_heads]") {
  for (const std::size_t row : {0, 20, 63, 64, 100})
    require_reach([](LinearCase<float>& in) -> HeadsArray<float>& { return in.values; }, row,
                  [&](int array, std::size_t, std::size_t t) {
                    return array == 2 ? t == row : array != 3 && t >= row;
                  });
}

TEST_CASE("A query that is no number reaches its row, and the keys that it sees", "[linear_heads]") {
  for (const std::size_t row : {0, 20, 63, 64, 100})
    require_reach([](LinearCase<float>& in) -> HeadsArray<float>& { return in.queries; }, row,
                  [&](int array, std::size_t h, std::size_t t) {
                    return array == 0 ? h == 0 && t == row : array != 1 && t <= row;
                  });
}

}  // namespace
}  // namespace softstep
