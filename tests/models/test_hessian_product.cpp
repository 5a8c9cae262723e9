// Hessian-vector products of attention models against 520 digits, within a derived bound (exact_hessian.h),
// against differences of the gradient, and by what holds of any Hessian.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "models/lattice_model.h"
#include "softstep/error.h"
#include "softstep/linear_model.h"
#include "softstep/metrics.h"

using namespace softstep;
using namespace softstep::test;

TEST_CASE("the exact Hessian-vector product is the central difference of the exact gradient", "[models]") {
  const LatticeBatch<double> batch(3, true);
  const Exact h = pow(Exact(10), -100);
  const std::vector<std::size_t> all{0, 1, 2, 3};
  for (const LossCase& loss : loss_cases())
    for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt}) {
      const AttentionOptions options = options_of(key_query, true, loss);
      const auto model = make_attention_model(batch.view, options);
      const auto at = exact_of(blocks_of(*model, 0.25, 5)), direction = exact_of(blocks_of(*model, 0.5, 50));
      auto up = at, down = at;
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t e = 0; e < at[k].size(); ++e) {
          up[k][e] += h * direction[k][e];
          down[k][e] -= h * direction[k][e];
        }
      const auto product = exact_hessian_product(batch.view, options, at, direction, all, loss.exact);
      const auto after = exact_hessian_product(batch.view, options, up, direction, all, loss.exact, true),
                 before = exact_hessian_product(batch.view, options, down, direction, all, loss.exact, true);
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t e = 0; e < at[k].size(); ++e) {
          const Exact difference = (after[k].values[e] - before[k].values[e]) / (2 * h);
          REQUIRE(abs(Exact(difference - product[k].values[e])) <=
                  norm_of(product[k].values) * pow(Exact(10), -190));
        }
    }
}

TEMPLATE_TEST_CASE("Hessian-vector products are those of 520 digits at any size of the weights",
                   "[models][long]", float, double) {
  using T = TestType;
  const std::vector<std::size_t> all{0, 1, 2, 3}, some{2, 0};
  for (const bool ties : {false, true})
    for (const LossCase& loss : loss_cases()) {
      LatticeBatch<T> batch(ties ? 7 : 11, ties);
      if (loss.loss == Loss::squared) batch.use_targets();
      for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
        for (const bool joint : {false, true})
          for (const double step : {0x1p-5, 1.0, 0x1p5, 0x1p10, 0x1p18}) {
            // 520 digits take their time: the joint models at one size where nothing is saturated, and one
            // where all is.
            if (joint && step != 1.0 && step != 0x1p18) continue;
            const AttentionOptions options = options_of(key_query, joint, loss);
            const auto model = make_attention_model(batch.view, options);
            auto at = blocks_of(*model, step, 5);
            if (joint) at.back() = batch.decoder;
            const auto direction = blocks_of(*model, 0.5, 50);
            for (const auto& samples : {all, some}) {
              if (samples.size() != all.size() && step != 1.0) continue;
              INFO(loss.name << ", blocks " << model->blocks()[0].name << (joint ? " and u" : "") << ", step "
                             << step << (ties ? ", ties" : "") << ", samples " << samples.size());
              const auto exact = exact_hessian_product(batch.view, options, exact_of(at), exact_of(direction),
                                                       samples, loss.exact);
              const auto out = product_of<T>(*model, at, direction,
                                             samples.size() == 4 ? SampleSet{} : SampleSet{samples});
              REQUIRE(out.size() == exact.size());
              for (std::size_t k = 0; k < out.size(); ++k) {
                INFO(model->blocks()[k].name);
                check_block(out[k], exact[k]);
              }
            }
          }
    }
}

TEST_CASE("Hessian-vector products are the differences of the gradient", "[models]") {
  // Central differences, h = 2^-17: truncation h^2 / 6 times a third derivative of some ten thousand times
  // the product at most for scores of order 1, 1e-7; roundings of the gradient, 1e-13 / h, 1e-8.
  const LatticeBatch<double> batch(23);
  const double h = 0x1p-17;
  for (const LossCase& loss : loss_cases())
    for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
      for (const bool joint : {false, true}) {
        const auto model = make_attention_model(batch.view, options_of(key_query, joint, loss));
        const auto at = blocks_of(*model, 0.25, 5), direction = blocks_of(*model, 0.25, 50);
        const auto out = product_of<double>(*model, at, direction);
        Evaluation<double> after, before;
        auto up = at, down = at;
        for (std::size_t k = 0; k < at.size(); ++k)
          for (std::size_t e = 0; e < at[k].size(); ++e) {
            up[k][e] += h * direction[k][e];
            down[k][e] -= h * direction[k][e];
          }
        model->evaluate(up, after, want_gradient);
        model->evaluate(down, before, want_gradient);
        for (std::size_t k = 0; k < at.size(); ++k) {
          INFO(loss.name << ' ' << model->blocks()[k].name);
          std::vector<double> a(at[k].size()), b(a), c(a);
          after.gradients[k].plain(a);
          before.gradients[k].plain(b);
          out[k].plain(c);
          const double size = out[k].norm_scaled().value();
          REQUIRE(size > 0.0);
          for (std::size_t e = 0; e < a.size(); ++e)
            REQUIRE(std::fabs((a[e] - b[e]) / (2.0 * h) - c[e]) <= 1e-6 * size);
        }
      }
}

TEST_CASE("a Hessian is symmetric and linear", "[models]") {
  const LatticeBatch<double> batch(31, true);
  for (const LossCase& loss : loss_cases())
    for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt}) {
      const AttentionOptions options = options_of(key_query, true, loss);
      const auto model = make_attention_model(batch.view, options);
      const auto at = blocks_of(*model, 0.5, 5);
      Numbers<double> directions[3] = {blocks_of(*model, 0.25, 60), blocks_of(*model, 0.25, 70), {}};
      directions[2] = directions[0];
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t e = 0; e < at[k].size(); ++e) directions[2][k][e] += 2.0 * directions[1][k][e];
      std::vector<Numbers<double>> products;
      double bound = 0.0, length = 0.0;  // of errors, of directions
      for (const auto& direction : directions) {
        const auto out = product_of<double>(*model, at, direction);
        const auto exact = exact_hessian_product(batch.view, options, exact_of(at), exact_of(direction),
                                                 {0, 1, 2, 3}, loss.exact);
        products.emplace_back();
        for (std::size_t k = 0; k < at.size(); ++k) {
          products.back().emplace_back(at[k].size());
          out[k].plain(products.back()[k]);
          bound += static_cast<double>(exact[k].bound);
          for (const double x : direction[k]) length += std::fabs(x);
        }
      }
      double one = 0.0, two = 0.0;
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t e = 0; e < at[k].size(); ++e) {
          one += directions[0][k][e] * products[1][k][e];
          two += directions[1][k][e] * products[0][k][e];
          REQUIRE(std::fabs(products[0][k][e] + 2.0 * products[1][k][e] - products[2][k][e]) <= 4.0 * bound);
        }
      INFO(loss.name);
      REQUIRE(std::fabs(one - two) <= 2.0 * length * bound);
    }
}

TEMPLATE_TEST_CASE("Hessian-vector products scale with the direction, and zero is exactly zero", "[models]",
                   float, double) {
  using T = TestType;
  const LatticeBatch<T> batch(41);
  const auto model = make_attention_model(batch.view, options_of(KeyQuery::factored, true, loss_cases()[0]));
  const auto at = blocks_of(*model, 0.25, 5);
  auto direction = blocks_of(*model, 0.25, 50);
  const auto one = product_of<T>(*model, at, direction);
  const int power = std::numeric_limits<T>::min_exponent + 8;
  for (auto& block : direction)
    for (T& x : block) x = std::ldexp(x, power);
  const auto tiny = product_of<T>(*model, at, direction);
  for (std::size_t k = 0; k < one.size(); ++k) {
    REQUIRE(tiny[k].values == one[k].values);
    // Sums of exponents of some hundreds, rounded a few times
    REQUIRE(std::fabs(tiny[k].exponent - one[k].exponent - power * std::log(2.0)) <= 1e-12);
  }
  for (auto& block : direction) block.assign(block.size(), T(0));
  for (const auto& block : product_of<T>(*model, at, direction)) {
    REQUIRE(block.exponent == -std::numeric_limits<double>::infinity());
    REQUIRE(block.norm == 0.0);
    for (const T x : block.mantissa()) REQUIRE(x == T(0));
  }
}

TEMPLATE_TEST_CASE("Hessian-vector products know the blocks of a direction whatever their sizes", "[models]",
                   float, double) {
  using T = TestType;
  const LatticeBatch<T> batch(41);
  // Large keys and small queries, or the other way round: W = K Q^T, its change and the loss stay as they
  // are. Beside the larger block of the direction the smaller would be zero.
  for (const bool joint : {false, true}) {
    const auto model =
        make_attention_model(batch.view, options_of(KeyQuery::factored, joint, loss_cases()[0]));
    const auto at = blocks_of(*model, 0.25, 5), direction = blocks_of(*model, 0.25, 50);
    const auto one = product_of<T>(*model, at, direction);
    const int most = std::numeric_limits<T>::max_exponent * 3 / 4;
    for (const int power : {most, -most, 20, -20}) {
      CAPTURE(joint, power);
      auto moved = at, along = direction;
      for (const std::size_t k : {0, 1})
        for (std::size_t e = 0; e < at[k].size(); ++e) {
          moved[k][e] = std::ldexp(moved[k][e], k == 0 ? power : -power);
          along[k][e] = std::ldexp(along[k][e], k == 0 ? power : -power);
        }
      const auto other = product_of<T>(*model, moved, along);
      for (std::size_t k = 0; k < one.size(); ++k) {
        INFO(model->blocks()[k].name);
        const int of_block = k == 0 ? -power : k == 1 ? power : 0;
        // Sums of exponents of some hundreds, rounded a few times; then entries are rounded to T.
        const double rounding = 1e-12 + 8.0 * std::numeric_limits<T>::epsilon();
        REQUIRE(std::fabs((other[k].norm_scaled() / one[k].norm_scaled()).log() - of_block * std::log(2.0)) <=
                rounding);
        REQUIRE(compare_direction(other[k].mantissa(), one[k].mantissa()).angle <=
                rounding * static_cast<double>(one[k].values.size()));
      }
    }
  }
}

TEST_CASE("what is no number gives no number, a loss without second derivative is refused", "[models]") {
  const LatticeBatch<double> batch(43);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt}) {
    const auto model = make_attention_model(batch.view, options_of(key_query, true, loss_cases()[0]));
    for (const double bad : {nan, inf})
      for (const bool in_direction : {false, true}) {
        auto at = blocks_of(*model, 0.25, 5), direction = blocks_of(*model, 0.25, 50);
        (in_direction ? direction : at)[0][0] = bad;
        const auto out = product_of<double>(*model, at, direction);
        REQUIRE_FALSE(std::isfinite(out[0].norm));
        REQUIRE_FALSE(std::isfinite(out.back().norm));
      }
    LossCase own = loss_cases()[3];
    own.own = std::make_shared<NoSecondDerivative>();
    const auto refusing = make_attention_model(batch.view, options_of(key_query, false, own));
    const auto at = blocks_of(*refusing, 0.25, 5);
    REQUIRE_THROWS_AS(product_of<double>(*refusing, at, at), NotSupported);
  }
  // A linear model with a NaN in its weights has a loss with a second derivative all the same.
  LinearOptions options;
  const auto linear = make_linear_model(batch.view, options);
  const Numbers<double> at{{nan, 0.0, 0.0, 0.0}}, direction{{1.0, 0.0, 0.0, 0.0}};
  REQUIRE_FALSE(std::isfinite(product_of<double>(*linear, at, direction)[0].norm));
}
