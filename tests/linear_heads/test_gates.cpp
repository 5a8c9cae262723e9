// Gates near 1, near 0 and equal to 0, and what they do over long distances.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include "linear_heads/linear_case.h"
#include "support/isas.h"

namespace softstep {
namespace {

using namespace test;

constexpr HeadGates gated[] = {HeadGates::scalar, HeadGates::vector};

TEST_CASE("Products of gates far below the underflow limit", "[linear_heads]") {
  // Over 200 keys these products are e^-1000 to e^-60000: 0 in any type, and no quotient of them is a number.
  for (const HeadGates gates : gated)
    for (const double low : {-10.0, -80.0, -600.0, -1e30})
      for (const double high : {0.0, low / 2}) {
        const LinearSetup setup{
            .shape =
                {.n_heads = 2, .n_key_heads = 1, .n_queries = 200, .n_keys = 200, .dim = 9, .value_dim = 6},
            .gates = gates,
            .low = low,
            .high = high};
        const LinearCase<float> f32(setup);
        const LinearCase<double> f64(setup);
        const LinearReference wanted32(f32), wanted64(f64);
        for_each_isa([&](const simd::Isa& isa) {
          INFO(isa.name << " " << setup.text());
          LinearRun<float> out32 = run(f32, isa.name);
          REQUIRE(worst_over_bound(f32, out32, wanted32) <= 1.0);
          LinearRun<double> out64 = run(f64, isa.name);
          REQUIRE(worst_over_bound(f64, out64, wanted64) <= 1.0);
        });
      }
}

TEST_CASE("A gate of 0 forgets all that was before it", "[linear_heads]") {
  for (const HeadGates gates : gated)
    for (const double part : {0.02, 0.5, 1.0}) {
      const LinearSetup setup{.shape = {.n_queries = 150, .n_keys = 150, .dim = 11, .value_dim = 6},
                              .gates = gates,
                              .low = -0.1,
                              .resets = part};
      const LinearCase<float> in(setup);
      const LinearReference wanted(in);
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << " " << setup.text());
        LinearRun<float> out = run(in, isa.name);
        REQUIRE(worst_over_bound(in, out, wanted) <= 1.0);
        out.log_gates.for_each([&](std::size_t b, std::size_t h, std::size_t t, std::size_t c) {
          if (in.log_gates.get(b, h, t, c) == -INFINITY) REQUIRE(out.log_gates.get(b, h, t, c) == 0.0f);
        });
      });
    }
}

// Where one gate is all that is small, its gradient is that of the pairs on both sides of it, times the gate.
// Sums over prefixes of q dq - k dk lose it: their terms are of size 1.
TEST_CASE("The gradient of a small gate keeps its digits", "[linear_heads]") {
  for (const HeadGates gates : gated)
    for (const std::size_t place : {40, 64, 77}) {
      LinearSetup setup{
          .shape = {.n_queries = 130, .n_keys = 130, .dim = 8, .value_dim = 4}, .gates = gates, .low = 0.0};
      LinearCase<float> in(setup);
      for (std::size_t c = 0; c < setup.gate_columns(); ++c) in.log_gates.set(0, 0, place, c, -60.0);
      for (HeadsArray<float>* array : {&in.queries, &in.keys, &in.values, &in.output_gradient})
        array->for_each([&](std::size_t b, std::size_t h, std::size_t t, std::size_t c) {
          array->set(b, h, t, c, 0.5 + 0.5 * std::fabs(array->get(b, h, t, c)));
        });
      const auto exact =
          reference::linear_head_gradients(in.head<long double>(0, 0), in.slopes<long double>(0, 0));
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << " " << setup.text() << " at " << place);
        LinearRun<float> out = run(in, isa.name);
        for (std::size_t c = 0; c < setup.gate_columns(); ++c) {
          // All terms are positive: the error is relative.
          const long double wanted = exact.log_gates[place * setup.gate_columns() + c];
          const double error = static_cast<double>(std::fabs(out.log_gates.get(0, 0, place, c) / wanted - 1));
          REQUIRE(wanted < 1e-18L);
          REQUIRE(error <= 1.01 * LinearBounds(setup, 130).log_gates * unit_roundoff<float>);
        }
      });
    }
}

template <class T>
void require_plain_bits(std::size_t m, std::size_t n) {
  const LinearSetup plain{
      .shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = m, .n_keys = n, .dim = 24, .value_dim = 10},
      .scale = 0.3};
  LinearSetup ones = plain;
  ones.low = 0.0;
  const LinearCase<T> in(plain);
  const LinearReference exact(in);
  for_each_isa([&](const simd::Isa& isa) {
    LinearRun<T> wanted = run(in, isa.name);
    ones.gates = HeadGates::scalar;
    LinearRun<T> scalar = run(LinearCase<T>(ones), isa.name);
    INFO(isa.name << " " << plain.text());
    REQUIRE(scalar.bits(HeadGates::none) == wanted.bits(HeadGates::none));
    ones.gates = HeadGates::vector;
    LinearRun<T> vector = run(LinearCase<T>(ones), isa.name);
    REQUIRE(worst_over_bound(in, vector, exact) <= 1.0);
  });
}

TEST_CASE("Gates of 1 are no gates", "[linear_heads]") {
  for (const auto& [m, n] : {std::pair<std::size_t, std::size_t>{1, 1}, {130, 130}, {70, 200}}) {
    require_plain_bits<float>(m, n);
    require_plain_bits<double>(m, n);
  }
}

TEST_CASE("The same gate in all dimensions is a scalar gate", "[linear_heads]") {
  LinearSetup setup{.shape = {.n_queries = 130, .n_keys = 130, .dim = 12, .value_dim = 7},
                    .gates = HeadGates::scalar,
                    .low = -0.3};
  const LinearCase<double> scalar(setup);
  const LinearReference wanted(scalar);
  setup.gates = HeadGates::vector;
  LinearCase<double> vector(setup);
  vector.log_gates.for_each([&](std::size_t b, std::size_t h, std::size_t t, std::size_t c) {
    vector.log_gates.set(b, h, t, c, scalar.log_gates.get(b, h, t, 0));
  });
  for_each_isa([&](const simd::Isa& isa) {
    LinearRun<double> out = run(vector, isa.name);
    LinearRun<double> seen_as_scalar(scalar);
    // dlog g of the scalar is the sum over dimensions; the rest is the same.
    for (auto [to, from] : {std::pair{&seen_as_scalar.outputs, &out.outputs},
                            {&seen_as_scalar.queries, &out.queries},
                            {&seen_as_scalar.keys, &out.keys},
                            {&seen_as_scalar.values, &out.values}})
      to->for_each([&, a = to, z = from](std::size_t b, std::size_t h, std::size_t t, std::size_t c) {
        a->set(b, h, t, c, z->get(b, h, t, c));
      });
    seen_as_scalar.log_gates.for_each([&](std::size_t b, std::size_t h, std::size_t t, std::size_t) {
      double sum = 0.0;
      for (std::size_t c = 0; c < 12; ++c) sum += out.log_gates.get(b, h, t, c);
      seen_as_scalar.log_gates.set(b, h, t, 0, sum);
    });
    INFO(isa.name);
    REQUIRE(worst_over_bound(scalar, seen_as_scalar, wanted) <= 1.0);
  });
}

}  // namespace
}  // namespace softstep
