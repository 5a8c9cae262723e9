// Several queries a sample: gradient, loss, gap and attention against 520 digits, in every way that a batch
// may give its queries, on every instruction set, with one and two threads, saturated and not.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "layer/exact_pooled.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
void check_attention(const ExactPooled<T>& exact, const Evaluation<T>& out) {
  Exact smallest(1), largest_rest(0);
  double bound = 0.0;
  const double u = unit_roundoff<T>;
  for (std::size_t i = 0; i < exact.problem.n_samples(); ++i) {
    Exact attention(0), rest(0);
    const std::size_t begin = exact.problem.first[i], end = exact.problem.first[i + 1];
    for (std::size_t row = begin; row < end; ++row) {
      const auto& a = exact.values[row].attention;
      const Exact share = exact.problem.weights[row] / exact.problem.total_weight[i];
      attention += share * a.attention[exact.problem.rows.samples[row].optimal];
      rest += share * a.one_minus_optimal;
      double spread = 0.0;
      for (const Exact& z : a.relative_scores) spread = std::max(spread, -static_cast<double>(z));
      // As of one query (test_loss_gap.cpp); sums of m positive terms and shares beside it.
      bound = std::max(bound, std::expm1(2.0 * exact.score_errors[row] + 2.0 * u * spread) +
                                  (8.0 * static_cast<double>(a.attention.size()) + 16.0) * u +
                                  (2.0 * static_cast<double>(end - begin) + 8.0) * 0x1p-53);
    }
    smallest = std::min(smallest, attention);
    largest_rest = std::max(largest_rest, rest);
  }
  REQUIRE(std::fabs(out.min_optimal_attention - static_cast<double>(smallest)) <=
          1.01 * bound * static_cast<double>(smallest) + 1e-300);
  if (largest_rest == 0) {
    REQUIRE(out.log10_one_minus_optimal_attention == -INFINITY);
  } else {
    const double log = static_cast<double>(log10(largest_rest));
    REQUIRE(std::fabs(out.log10_one_minus_optimal_attention - log) <=
            bound + 8.0 * 0x1p-53 * (1.0 + std::fabs(log)));
  }
}

template <class T>
void check(const BatchView<T>& batch, const std::vector<T>& w, Loss kind) {
  const ExactPooled<T> exact(batch, w, kind);
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero}) {
    const double value = mode == OptimalLoss::value ? 0.0625 : 0.0;
    const Gap gap = exact.gap(kind, mode, value);
    for_each_isa([&](const simd::Isa& isa) {
      Evaluation<T> first;
      for (const int n_threads : {1, 2}) {
        AttentionOptions options;
        options.isa = isa.name;
        options.loss = kind;
        options.optimal_loss = mode;
        options.optimal_loss_value = value;
        options.n_threads = n_threads;
        AttentionModel<T> model(batch, options);
        Evaluation<T> out;
        model.evaluate(w, out);
        INFO(isa.name << ", " << n_threads << " threads, " << to_string(kind) << ", " << to_string(mode));
        const Exact computed = Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent));
        const Exact error = abs(Exact(computed - gap.value));
        INFO("gap " << gap.value.str(10) << " error / bound " << Exact(error / gap.bound).str(5));
        REQUIRE(isfinite(computed));
        REQUIRE(error <= gap.bound);
        check_attention(exact, out);
        if (exact.gradient_norm == 0) {
          REQUIRE(out.gradients[0].norm == 0.0);
        } else {
          const double direction = direction_error(out.gradients[0].values, exact.gradient);
          const Exact log_norm = Exact(out.gradients[0].exponent) + log(Exact(out.gradients[0].norm));
          const double exponent = static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm))));
          INFO("direction " << direction << " of " << exact.gradient_bound.direction << ", log norm "
                            << exponent << " of " << exact.gradient_bound.exponent);
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
}

// Few queries, many, ragged ones, all tokens.
std::vector<Layout> layouts() {
  std::vector<Layout> out(6);
  out[0] = {{4, 4, 4}, 5, 0, true};
  out[0].n_queries = 3;
  out[1] = {{3, 3}, 4, 2, false, true};
  out[1].n_queries = 2;
  out[1].weights = true;
  out[2] = {{1, 5, 2}, 4, 1, true, false, true};
  out[2].queries_of = {2, 1, 9};
  out[2].weights = true;
  out[3] = {{4, 4, 4}, 5};
  out[3].all_queries = true;
  out[4] = {{9, 2, 12}, 6, 3, false, false, true};
  out[4].all_queries = true;
  out[5] = {{17, 17}, 7, 0, true};
  out[5].n_queries = 11;
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("several queries are pooled right in every layout of a batch", "[layer]", float, double) {
  const std::vector<Layout> all = layouts();
  for (std::size_t k = 0; k < all.size(); ++k) {
    INFO("layout " << k);
    const TestBatch<TestType> batch(all[k], 30 + k);
    for (const double norm : {1.0, 50.0})
      check(batch.view, weights_toward(batch.view, Toward::anywhere, norm),
            k % 2 == 0 ? Loss::logistic : Loss::exponential);
  }
}

TEMPLATE_TEST_CASE("several queries are pooled right from |W| = 0 to 1e6", "[layer]", float, double) {
  for (const std::size_t k : {0, 4}) {
    const TestBatch<TestType> batch(layouts()[k], 40 + k);
    for (const double norm : {0.0, 1.0, 1e3, 1e6})
      for (const Toward toward : {Toward::optimal, Toward::other}) {
        INFO("layout " << k << ", |W| = " << norm << " toward " << static_cast<int>(toward));
        check(batch.view, weights_toward(batch.view, toward, norm), Loss::logistic);
      }
  }
}
