// The gradient, direction and length, against 520 digits, on every instruction set, in float and double, with
// one and two threads, from |W| = 0 to 1e6, within the bound derived in core/reference/error_bounds.h.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "layer/exact_objective.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Checks every instruction set and thread count against one exact evaluation.
template <class T>
void check_gradient(const BatchView<T>& batch, const std::vector<T>& w, Loss loss) {
  const ExactObjective<T> exact(batch, w, loss);
  for_each_isa([&](const simd::Isa& isa) {
    Evaluation<T> first;
    for (const int n_threads : {1, 2}) {
      AttentionOptions options;
      options.loss = loss;
      options.isa = isa.name;
      options.n_threads = n_threads;
      AttentionModel<T> model(batch, options);
      Evaluation<T> out;
      model.evaluate(w, out);
      INFO(isa.name << ", " << n_threads << " threads, " << to_string(loss));
      if (exact.gradient_norm == 0) {
        CHECK(out.gradients[0].norm == 0.0);
        CHECK(out.gradients[0].exponent == -INFINITY);
      } else {
        const double direction = direction_error(out.gradients[0].values, exact.gradient);
        const Exact log_norm = Exact(out.gradients[0].exponent) + log(Exact(out.gradients[0].norm));
        const double exponent = static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm))));
        INFO("direction " << direction << ", log norm " << exponent);
        REQUIRE(direction <= exact.gradient_bound.direction);
        REQUIRE(exponent <= exact.gradient_bound.exponent);
      }
      if (n_threads == 1)
        first = out;
      else
        REQUIRE(std::memcmp(first.gradients[0].values.data(), out.gradients[0].values.data(),
                            first.gradients[0].values.size() * sizeof(T)) == 0);
    }
  });
}

template <class T>
void check_norms(const Layout& layout, std::uint64_t seed, const std::vector<double>& norms) {
  const TestBatch<T> batch(layout, seed);
  for (const double norm : norms)
    for (const Toward toward : {Toward::optimal, Toward::other, Toward::anywhere}) {
      if (norm == 0.0 && toward != Toward::optimal) continue;
      INFO("|W| = " << norm << " toward " << static_cast<int>(toward));
      check_gradient(batch.view, weights_toward(batch.view, toward, norm), Loss::logistic);
    }
}

const std::vector<double> all_norms = {0.0, 1e-3, 1.0, 10.0, 100.0, 1e3, 1e4, 1e6};

}  // namespace

TEMPLATE_TEST_CASE("the gradient has its direction and length from |W| = 0 to 1e6", "[layer]", float,
                   double) {
  check_norms<TestType>({{4, 4, 4}, 5}, 1, all_norms);
}

TEMPLATE_TEST_CASE("the gradient is right in every layout of a batch", "[layer]", float, double) {
  std::vector<Layout> layouts(8);
  layouts[0].pad = 3;
  layouts[1].query_index = true;
  layouts[2].separate_queries = true;
  layouts[3] = {{1, 5, 2, 3}, 4, 0, false, false, true};
  layouts[4] = {{3, 1, 4}, 7, 2, true, false, true};
  layouts[5] = {{2, 2}, 1};
  layouts[6] = {{1, 1}, 3};
  layouts[7] = {{3, 3}, 17, 1, false, true};
  for (std::size_t k = 0; k < layouts.size(); ++k) {
    INFO("layout " << k);
    const TestBatch<TestType> batch(layouts[k], 10 + k);
    for (const double norm : {1.0, 50.0})
      check_gradient(batch.view, weights_toward(batch.view, Toward::anywhere, norm), Loss::exponential);
  }
}

TEMPLATE_TEST_CASE("the gradient is right where V is made from the transpose of W", "[layer]", float,
                   double) {
  // From 192 samples on in float32, 96 in float64; dimensions around the blocks of the transposition.
  for (const std::size_t n : {95, 96, 193})
    for (const std::size_t d : {3, 18}) {
      INFO(n << " samples, dim " << d);
      const TestBatch<TestType> batch({std::vector<std::size_t>(n, 2), d, 1, false, true}, 20 + d);
      check_gradient(batch.view, weights_toward(batch.view, Toward::anywhere, 30.0), Loss::logistic);
    }
}

TEMPLATE_TEST_CASE("the gradient has its direction and length on larger batches", "[layer][long]", float,
                   double) {
  check_norms<TestType>({{9, 9, 9, 9, 9, 9}, 33, 1}, 2, all_norms);
  check_norms<TestType>({{1, 17, 2, 33, 8}, 16, 0, true, false, true}, 3, all_norms);
  const TestBatch<TestType> batch({{5, 5, 5, 5}, 9}, 4, 1.0, 20.0);  // large margins: l' has an exponent too
  for (const Loss loss : {Loss::logistic, Loss::exponential})
    for (const double norm : all_norms)
      check_gradient(batch.view, weights_toward(batch.view, Toward::optimal, norm), loss);
}

TEMPLATE_TEST_CASE("the slope of the loss has an exponent of its own", "[layer]", float, double) {
  // Margins of either sign, up to some hundreds: e^-m overflows and underflows the working type.
  const TestBatch<TestType> batch({{3, 3, 3}, 4}, 6, 1.0, 300.0);
  for (const Loss loss : {Loss::logistic, Loss::exponential})
    for (const Toward toward : {Toward::optimal, Toward::other})
      check_gradient(batch.view, weights_toward(batch.view, toward, 30.0), loss);
}
