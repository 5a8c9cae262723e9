// Rows whose attention is all on one key, or nearly: gradients keep their direction, by mantissa and
// exponent, where p_ij itself is far below what the working type holds.

#include <catch2/catch_template_test_macros.hpp>
#include <cmath>
#include <limits>

#include "heads/heads_tests.h"
#include "support/exact.h"

namespace softstep::test {
namespace {

HeadsSetup setup_of(double spread) {
  HeadsSetup setup;
  setup.shape = {
      .batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 12, .n_keys = 37, .dim = 16, .value_dim = 8};
  setup.spread = spread;
  setup.seed = 17;
  return setup;
}

// Whole numbers times powers of two, so that the scores are free of rounding in any order of summation: all
// the error is that of softmax and its gradient.
template <class T>
HeadsCase<T> without_rounding(HeadsSetup setup) {
  setup.scale = 0.25;
  HeadsCase<T> in(setup);
  std::mt19937_64 random(setup.seed + 1);
  const auto whole = [&](int largest) {
    return static_cast<double>(static_cast<int>(random() % static_cast<unsigned>(2 * largest + 1)) - largest);
  };
  // The standard deviation of such a sum of 8 products is about 2.8 * 37 * 4.9 / 4 = 128.
  const double unit = std::exp2(std::round(std::log2(setup.spread / 128.0)));
  in.queries.fill([&] { return unit * whole(64); });
  in.keys.fill([&] { return whole(8); });
  return in;
}

// How far the direction of dQ may be off, row by row, and that of dK, head by head: twice the relative error.
struct Directions {
  double queries = 0.0, keys = 0.0;       ///< errors over bounds
  double worst = 0.0;                     ///< the largest bound
  std::size_t n_queries = 0, n_keys = 0;  ///< how many have a direction to compare
};

double bound_of_direction(const std::vector<double>& errors, const std::vector<Exact>& exact) {
  double squared = 0.0;
  for (const double error : errors) squared += error * error;
  return 2.0 * 1.01 * std::sqrt(squared) / static_cast<double>(norm_of(exact)) + 1e-15;
}

template <class T>
Directions directions(const HeadsCase<T>& in, const HeadsExact<T, Exact>& exact, const HeadsRun<T>& out) {
  Directions found;
  const HeadsShape& shape = in.setup.shape;
  const auto compare = [&](const std::vector<double>& computed, const std::vector<Exact>& truth,
                           const std::vector<double>& errors, double& worst, std::size_t& count) {
    if (!(norm_of(truth) > 0)) return;
    const double bound = bound_of_direction(errors, truth);
    HeadsRatios::add(worst, direction_error(computed, truth), bound);
    found.worst = std::max(found.worst, bound);
    ++count;
  };
  for (std::size_t b = 0; b < shape.batch; ++b) {
    for (std::size_t h = 0; h < shape.n_heads; ++h) {
      const auto& head = exact.query_heads[b * shape.n_heads + h];
      for (std::size_t i = 0; i < shape.n_queries; ++i) {
        std::vector<double> computed, errors;
        std::vector<Exact> truth;
        for (std::size_t l = 0; l < shape.dim; ++l) {
          computed.push_back(static_cast<double>(out.queries.get(b, h, i, l)));
          truth.push_back(head.gradients.queries(i, l));
          errors.push_back(head.errors.queries(i, l));
        }
        compare(computed, truth, errors, found.queries, found.n_queries);
      }
    }
    for (std::size_t g = 0; g < in.setup.n_key_heads(); ++g) {
      const auto& head = exact.key_heads[b * in.setup.n_key_heads() + g];
      std::vector<double> computed;
      out.keys.for_each([&](std::size_t entry, std::size_t key_head, std::size_t j, std::size_t l) {
        if (entry == b && key_head == g) computed.push_back(static_cast<double>(out.keys.get(b, g, j, l)));
      });
      compare(computed, head.keys.numbers, head.key_errors.numbers, found.keys, found.n_keys);
    }
  }
  return found;
}

template <class T, class Number>
void check_bounds(const HeadsCase<T>& in, const HeadsExact<T, Number>& exact) {
  for_each_isa([&](const simd::Isa& isa) {
    const HeadsRatios ratios = exact.compare(run(in, isa.name));
    INFO(isa.name << ' ' << ratios.text());
    CHECK(ratios.ok());
  });
}

template <class T>
void check_directions(double spread) {
  HeadsSetup setup = setup_of(spread);
  setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 9, .n_keys = 19, .dim = 8, .value_dim = 4};
  const HeadsCase<T> in = without_rounding<T>(setup);
  const HeadsExact<T, Exact> exact(in, true);
  const HeadsShape& shape = in.setup.shape;
  for_each_isa([&](const simd::Isa& isa) {
    INFO((sizeof(T) == 4 ? "float, " : "double, ") << isa.name << ", spread " << spread);
    const HeadsRun<T> out = run(in, isa.name);
    const HeadsRatios ratios = exact.compare(out);
    INFO(ratios.text());
    CHECK(ratios.ok());
    const Directions found = directions(in, exact, out);
    CHECK(found.queries <= 1.0);
    CHECK(found.keys <= 1.0);
    INFO("largest bound of a direction " << found.worst);
    CHECK(found.n_queries == shape.batch * shape.n_heads * shape.n_queries);
    CHECK(found.n_keys == shape.batch * in.setup.n_key_heads());
    // The comparison says something: no cancellation of this data, nor the spread, spoils the bounds.
    CHECK(found.worst <= 50000 * unit_roundoff<T>);
  });
}

}  // namespace

TEST_CASE("Score spreads from 0 to 1e8, scores rounded", "[heads]") {
  for (const double spread : {0.0, 1.0, 50.0, 1e4, 1e8})
    for (const bool exponents : {true, false}) {
      HeadsSetup setup = setup_of(spread);
      setup.exponents = exponents;
      check<float>(setup);
      check<double>(setup);
      // Also where the bounds say nothing, all is finite.
      const HeadsCase<float> in(setup);
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ": " << setup.text());
        const HeadsRun<float> out = run(in, isa.name);
        for (const HeadsArray<float>* array : {&out.outputs, &out.queries, &out.keys, &out.values})
          array->for_each([&](auto... index) {
            if (!std::isfinite(array->get(index...))) FAIL_CHECK("not finite");
          });
        for (const Guarded<double>* numbers : {&out.query_exponents, &out.key_exponents})
          for (std::size_t k = 0; k < numbers->size(); ++k) REQUIRE(std::isfinite((*numbers)[k]));
      });
    }
}

TEST_CASE("Gradients keep their direction where attention is saturated", "[heads]") {
  for (const double spread : {1.0, 50.0, 1e4, 1e8}) {
    check_directions<float>(spread);
    check_directions<double>(spread);
  }
}

TEST_CASE("Gradients keep their direction where the soft cap is saturated", "[heads]") {
  HeadsSetup setup = setup_of(300.0);
  setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 3, .n_keys = 9, .dim = 8, .value_dim = 4};
  setup.soft_cap = 8.0;
  setup.scale = 0.25;
  const HeadsCase<float> in = without_rounding<float>(setup);
  check_bounds(in, HeadsExact<float, Exact>(in, true));
}

TEST_CASE("the slope of a soft cap that is barely a normal number may count as 0", "[heads]") {
  // 4 e^-88 is a normal float, and e^-88, from which it is made, is not. dS is in the hundreds.
  HeadsSetup setup;
  setup.shape = {.n_queries = 1, .n_keys = 2, .dim = 1};
  setup.soft_cap = 0.5;
  setup.scale = 1.0;
  HeadsCase<float> in(setup);
  in.queries.set(0, 0, 0, 0, 22.0);
  in.keys.set(0, 0, 0, 0, 1.0);
  in.keys.set(0, 0, 1, 0, 0.1);
  in.values.set(0, 0, 0, 0, 16.0);
  in.values.set(0, 0, 1, 0, -16.0);
  in.output_gradient.set(0, 0, 0, 0, 16.0);
  const HeadsExact<float> exact(in);
  const double slope = static_cast<double>(exact.query_heads[0].rows[0].cap_slope[0]);
  REQUIRE(slope > static_cast<double>(std::numeric_limits<float>::min()));
  REQUIRE(slope < 4.0 * static_cast<double>(std::numeric_limits<float>::min()));
  check_bounds(in, exact);
}

TEST_CASE("a row that sees one key beside saturated ones leaves the bound of dK a number", "[heads]") {
  HeadsSetup setup;
  setup.shape = {.n_queries = 2, .n_keys = 2, .dim = 2};
  setup.causal = true;
  setup.scale = 1.0;
  HeadsCase<double> in(setup);
  in.queries.set(0, 0, 0, 0, 0.0);
  in.queries.set(0, 0, 1, 0, 1.0);
  in.queries.set(0, 0, 1, 1, 0.0);
  in.keys.set(0, 0, 0, 0, 0.0);
  in.keys.set(0, 0, 1, 0, 973.0);
  const HeadsExact<double> exact(in);
  REQUIRE(exact.key_heads[0].exponent == -973.0);
  for (const double error : exact.key_heads[0].key_errors.numbers) CHECK(std::isfinite(error));
  check_bounds(in, exact);
}

TEMPLATE_TEST_CASE("a pivot further ahead than numbers reach leaves no gradient", "[heads]", float, double) {
  using T = TestType;
  // The difference of the scores overflows in double, or the pivot's score in T. e^c is 0 in any case.
  const double large = static_cast<double>(std::numeric_limits<T>::max());
  for (const double query : {1.0, 4.0})
    for (const bool exponents : {true, false}) {
      if (query == 1.0 && sizeof(T) == sizeof(float)) continue;  // a double holds the difference
      HeadsSetup setup;
      setup.shape = {.n_queries = 1, .n_keys = 3, .dim = 1};
      setup.scale = 1.0;
      setup.exponents = exponents;
      HeadsCase<T> in(setup);
      const HeadsCase<T> along(setup);
      in.queries.set(0, 0, 0, 0, query);
      in.keys.set(0, 0, 0, 0, 0.75 * large);
      for (const std::size_t key : {1u, 2u}) in.keys.set(0, 0, key, 0, query == 1.0 ? -0.75 * large : 1.0);
      for (const std::size_t key : {0u, 1u, 2u}) in.values.set(0, 0, key, 0, static_cast<double>(key));
      in.output_gradient.fill([] { return 0x1p-10; });
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ", query " << query << (exponents ? "" : ", plain"));
        HeadsRun<T> out = run(in, isa.name);
        const auto require_nothing = [&] {
          CHECK(out.queries.get(0, 0, 0, 0) == 0);
          for (const std::size_t key : {0u, 1u, 2u}) CHECK(out.keys.get(0, 0, key, 0) == 0);
          for (const Guarded<double>* numbers : {&out.query_exponents, &out.key_exponents})
            for (std::size_t k = 0; k < numbers->size(); ++k) CHECK((*numbers)[k] == 0.0);
        };
        CHECK(out.outputs.get(0, 0, 0, 0) == 0);
        require_nothing();
        HeadsDirection<T> direction;
        direction.values = along.values.view();
        attention_hessian_product(in.inputs(), out.state, in.output_gradient.view(), direction,
                                  out.backward_face(), in.options(isa.name, 1));
        require_nothing();
      });
    }
}

}  // namespace softstep::test
