// The reference's gradients of every block against central differences of the reference's loss, and logistic
// regression against its formula, both in 520 digits.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "models/exact_model.h"
#include "softstep/attention_model.h"
#include "softstep/linear_model.h"
#include "softstep/trainer.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// sum_i l(m_i) / n written out: W (dim x dim) or K, Q (dim x rank) or p, then u.
Exact loss_at(const BatchView<double>& batch, KeyQuery key_query, std::size_t rank, const Blocks<Exact>& at,
              Loss loss) {
  const std::size_t d = batch.dim;
  Exact sum(0);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    std::vector<Exact> v(d, Exact(0));
    for (std::size_t r = 0; r < d; ++r)
      if (key_query == KeyQuery::prompt)
        v[r] = at[0][r];
      else
        for (std::size_t c = 0; c < d; ++c)
          for (std::size_t k = 0; k < (key_query == KeyQuery::combined ? 1 : rank); ++k)
            v[r] += (key_query == KeyQuery::combined ? at[0][r * d + c]
                                                     : Exact(at[0][r * rank + k] * at[1][c * rank + k])) *
                    Exact(batch.query(i)[c]);
    Exact mass(0), f(0);
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      Exact score(0), value(0);
      for (std::size_t j = 0; j < d; ++j) {
        const Exact x(batch.sample(i)[t * batch.row_stride() + j]);
        score += x * v[j];
        value += x * at.back()[j];
      }
      mass += exp(score);
      f += exp(score) * value;
    }
    const Exact m = f / mass * batch.labels[i];
    sum += loss == Loss::logistic ? Exact(log(Exact(1 + exp(Exact(-m))))) : Exact(exp(Exact(-m)));
  }
  return sum / Exact(batch.n_samples);
}

}  // namespace

TEST_CASE("the reference gradient of every block is the central difference of the loss", "[models]") {
  const TestBatch<double> batch({{3, 2}, 3, 0, true, false, true}, 21);
  const Exact h = pow(Exact(10), -100);
  for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
    for (const Loss loss : {Loss::logistic, Loss::exponential}) {
      AttentionOptions options;
      options.key_query = key_query;
      options.rank = key_query == KeyQuery::factored ? 2 : 0;
      options.train_decoder = true;
      options.loss = loss;
      options.optimal_loss = OptimalLoss::zero;
      const auto model = make_attention_model(batch.view, options);
      Blocks<double> at;
      Blocks<Exact> exact_at;
      for (std::size_t k = 0; k < model->blocks().size(); ++k) {
        at.push_back(normal_values(model->blocks()[k].size(), 1.5, 30 + k));
        exact_at.emplace_back(at[k].begin(), at[k].end());
      }
      const ExactModel<double> exact(batch.view, options, at, {0, 1});
      REQUIRE(exact.blocks.size() == at.size());
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t e = 0; e < at[k].size(); ++e) {
          auto up = exact_at, down = exact_at;
          up[k][e] += h;
          down[k][e] -= h;
          const Exact difference = (loss_at(batch.view, key_query, options.rank, up, loss) -
                                    loss_at(batch.view, key_query, options.rank, down, loss)) /
                                   (2 * h);
          // h^2 / 6 times the third derivative, some thousands of the gradient at most
          REQUIRE(abs(Exact(difference - exact.blocks[k].gradient[e])) <=
                  exact.blocks[k].norm * pow(Exact(10), -190));
        }
    }
}

TEMPLATE_TEST_CASE("logistic regression has its loss and gradient at any size of the weights", "[models]",
                   float, double) {
  using T = TestType;
  const double u = unit_roundoff<T>;
  const TestBatch<T> batch({{2, 2, 2, 2}, 7, 3}, 22);
  const std::size_t d = 7;
  for (const double norm : {0.0, 1e-3, 1.0, 60.0, 1e3, 1e6})
    for (const Loss loss : {Loss::logistic, Loss::exponential})
      for (const std::vector<std::size_t>& samples :
           {std::vector<std::size_t>{0, 1, 2, 3}, std::vector<std::size_t>{3, 0}}) {
        std::vector<T> w;
        for (const double x : normal_values(d, norm / std::sqrt(7.0), 5)) w.push_back(static_cast<T>(x));
        const Exact n(samples.size());
        std::vector<Exact> gradient(d, Exact(0)), margins;
        Gap wanted{Exact(0), Exact(0)};
        std::vector<double> thetas;
        for (const std::size_t i : samples) {
          Exact m(0);
          double size = 0.0;
          for (std::size_t j = 0; j < d; ++j) {
            m += Exact(w[j]) * Exact(batch.view.sample(i)[j]) * batch.view.labels[i];
            size += std::fabs(static_cast<double>(w[j] * batch.view.sample(i)[j]));
          }
          margins.push_back(m);
          const double error = reference::dot_error(d, size, u);
          thetas.push_back(error + 8 * 0x1p-53 * (4 + std::fabs(static_cast<double>(m))));
          const Exact slope = reference::loss_slope(exact_loss(loss), m);
          const Exact value = reference::loss_value(exact_loss(loss), m);
          for (std::size_t j = 0; j < d; ++j)
            gradient[j] -= slope / n * Exact(batch.view.sample(i)[j]) * batch.view.labels[i];
          wanted.value += value / n;
          // The slope is at most e^error larger nearby; the loss is rounded some 16 times, its exponent m
          // once.
          wanted.bound +=
              (slope * error * exp(Exact(error)) + 16 * 0x1p-53 * (1 + abs(m)) * (value + slope)) / n;
        }
        const Exact length = norm_of(gradient);
        std::vector<reference::Part> parts;
        for (std::size_t row = 0; row < samples.size(); ++row) {
          Exact size(0);
          for (std::size_t j = 0; j < d; ++j)
            size += Exact(batch.view.sample(samples[row])[j]) * Exact(batch.view.sample(samples[row])[j]);
          parts.push_back(
              {static_cast<double>(
                   Exact(sqrt(size) * reference::loss_slope(exact_loss(loss), margins[row]) / n / length)),
               thetas[row]});
        }
        const auto bound = reference::bound_of_sum(parts, 2.0 * u + 8 * 0x1p-53, u);
        for_each_isa([&](const simd::Isa& isa) {
          LinearOptions options;
          options.loss = loss;
          options.optimal_loss = OptimalLoss::zero;
          options.isa = isa.name;
          INFO(isa.name << " |w| = " << norm << ' ' << to_string(loss));
          const auto model = make_linear_model(batch.view, options);
          Evaluation<T> out;
          model->evaluate(w, out, want_all, samples.size() == 4 ? SampleSet{} : SampleSet{samples});
          for (const Scaled& computed : {out.loss_gap, out.loss_scaled}) {
            const Exact value = Exact(computed.mantissa) * exp(Exact(computed.exponent));
            REQUIRE(abs(Exact(value - wanted.value)) <= wanted.bound);
          }
          REQUIRE(direction_error(out.gradients[0].values, gradient) <= bound.direction);
          const Exact log_norm = Exact(out.gradients[0].exponent) + log(Exact(out.gradients[0].norm));
          REQUIRE(static_cast<double>(abs(Exact(log_norm - log(length)))) <= bound.exponent);
        });
      }
}

// One token x of one sample with a label y, both 2^e, and a squared loss at m = 0: -l' = y and l'' = 1.
TEMPLATE_TEST_CASE("the slope of a squared loss times a token may be outside the number range", "[models]",
                   float, double) {
  using T = TestType;
  const int far = sizeof(T) == 4 ? 80 : 600;
  for (const int power : {-far, far}) {
    INFO("2^" << power);
    const std::vector<T> token = {std::ldexp(T(1), power)}, zero = {T(0)}, one = {T(1)};
    BatchView<T> batch;
    batch.n_samples = batch.n_tokens = batch.dim = 1;
    batch.tokens = batch.targets = token.data();
    // x y = x^2 = 2^(2 e); only the exponent is rounded, twice.
    const double wanted = 2.0 * power * std::log(2.0), bound = 2.0 * 0x1p-53 * std::fabs(wanted);
    const auto check = [&](const BlockGradient<T>& gradient, double sign) {
      CHECK(sign * static_cast<double>(gradient.mantissa()[0]) > 0.0);
      CHECK(std::fabs(std::log(gradient.norm) + gradient.exponent - wanted) <= bound + 0x1p-52);
    };
    LinearOptions options;
    options.loss = Loss::squared;
    const auto model = make_linear_model<T>(batch, options);
    Evaluation<T> out;
    model->evaluate(std::span<const T>(zero), out);
    check(out.gradients[0], -1.0);
    std::vector<BlockGradient<T>> product;
    const std::span<const T> at(zero), direction(one);
    const auto space = model->make_workspace();
    model->hessian_product(Point<T>(&at, 1), Point<T>(&direction, 1), product, *space);
    check(product[0], 1.0);

    AttentionOptions of_attention;
    of_attention.loss = Loss::squared;
    of_attention.optimal_loss = OptimalLoss::zero;
    of_attention.train_decoder = true;
    batch.decoder = zero.data();
    AttentionModel<T> attention(batch, of_attention);
    attention.evaluate({zero, zero}, out);
    check(out.gradients[1], -1.0);
  }
}
