// The reference itself: its pairwise form against the textbook formula and against finite differences of the
// loss, both in 520 digits, where neither cancels. And the textbook formula in float and double, which does.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "core/reference/kernels.h"
#include "layer/exact_objective.h"
#include "support/batches.h"
#include "support/textbook.h"

using namespace softstep;
using namespace softstep::test;

namespace {

std::vector<Exact> exact_weights(const std::vector<double>& w) { return {w.begin(), w.end()}; }

// dL/dW from p_t (gamma_t - m), as everybody writes it.
std::vector<Exact> textbook_gradient(const reference::Problem<Exact>& problem, const std::vector<Exact>& w) {
  const std::size_t d = problem.dim;
  std::vector<Exact> g(d * d, Exact(0));
  for (const auto& sample : problem.samples) {
    std::vector<Exact> p(sample.n_tokens, Exact(0));
    Exact sum(0), m(0);
    for (std::size_t t = 0; t < sample.n_tokens; ++t) {
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c) p[t] += sample.tokens[t * d + r] * w[r * d + c] * sample.query[c];
      sum += p[t] = exp(p[t]);
    }
    for (std::size_t t = 0; t < sample.n_tokens; ++t)
      m += p[t] / sum * Exact(sample.optimal_score - sample.gaps[t]);
    const Exact slope = -1 / ((1 + exp(m)) * Exact(problem.samples.size()));
    for (std::size_t t = 0; t < sample.n_tokens; ++t) {
      const Exact weight = slope * p[t] / sum * Exact(sample.optimal_score - sample.gaps[t] - m);
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c)
          g[r * d + c] += weight * sample.tokens[t * d + r] * sample.query[c];
    }
  }
  return g;
}

Exact loss_at(const reference::Problem<Exact>& problem, const std::vector<Exact>& w, reference::Loss loss) {
  Exact sum(0);
  for (const auto& value : reference::evaluate(problem, w.data(), loss))
    sum += reference::loss_value(loss, value.margin);
  return sum / Exact(problem.samples.size());
}

}  // namespace

TEST_CASE("the pairwise gradient is the textbook's where 520 digits survive its cancellation", "[layer]") {
  const TestBatch<double> batch({{4, 4, 4}, 3}, 1);
  const auto problem = reference::problem_of<Exact>(batch.view);
  for (const double norm : {0.0, 1.0, 30.0, 300.0})
    for (const Toward toward : {Toward::optimal, Toward::other}) {
      const auto w = exact_weights(weights_toward(batch.view, toward, norm));
      const auto g =
          reference::gradient(problem, reference::evaluate(problem, w.data(), reference::Loss::logistic));
      const auto h = textbook_gradient(problem, w);
      std::vector<Exact> difference;
      for (std::size_t k = 0; k < g.size(); ++k) difference.push_back(g[k] - h[k]);
      // The textbook loses as many digits as 1 - p_opt has zeros, at most some 260 of 520 here.
      CHECK(norm_of(difference) <= norm_of(g) * Exact(1e-200));
    }
}

TEST_CASE("the reference gradient is the central difference of the reference loss", "[layer]") {
  const TestBatch<double> batch({{3, 2}, 2, 0, false, true, true}, 2);
  const auto problem = reference::problem_of<Exact>(batch.view);
  const Exact h = pow(Exact(10), -100);
  for (const reference::Loss loss : {reference::Loss::logistic, reference::Loss::exponential})
    for (const double norm : {1.0, 20.0}) {
      const auto w = exact_weights(weights_toward(batch.view, Toward::optimal, norm));
      const auto g = reference::gradient(problem, reference::evaluate(problem, w.data(), loss));
      for (std::size_t k = 0; k < w.size(); ++k) {
        auto up = w, down = w;
        up[k] += h;
        down[k] -= h;
        const Exact difference = (loss_at(problem, up, loss) - loss_at(problem, down, loss)) / (2 * h);
        // h^2 / 6 times the third derivative, at most some (2 max |x| |z|)^3 = 1000 of the gradient's size
        CHECK(abs(Exact(difference - g[k])) <= norm_of(g) * pow(Exact(10), -190));
      }
    }
}

TEST_CASE("the reference's long double agrees with its 520 digits, shifted or not", "[layer]") {
  const TestBatch<double> batch({{4, 4, 4}, 3}, 3);
  const auto exact_problem = reference::problem_of<Exact>(batch.view);
  const auto problem = reference::problem_of<long double>(batch.view);
  for (const double norm : {1.0, 1e3, 1e6}) {
    const auto w = weights_toward(batch.view, Toward::optimal, norm);
    const auto exact = reference::gradient(
        exact_problem, reference::evaluate(exact_problem, w.data(), reference::Loss::logistic));
    const Exact exact_log = log(norm_of(exact));
    const auto shift = static_cast<long double>(exact_log);
    const auto g = reference::gradient(
        problem, reference::evaluate(problem, w.data(), reference::Loss::logistic, shift));
    // The scores' rounding in 64 bits, times their size: far below what float and double are held to.
    CHECK(direction_error(g, exact) <= 1e3 * 0x1p-64 * (1.0 + norm));
    const std::vector<Exact> as_exact(g.begin(), g.end());
    CHECK(static_cast<double>(abs(Exact(log(norm_of(as_exact)) + Exact(shift) - exact_log))) <=
          1e3 * 0x1p-64 * (1.0 + norm));
  }
}

TEST_CASE("small arguments of the reference's exp and log", "[layer]") {
  for (const double power : {-1.0, -2.0, -3.0, -30.0, -300.0})
    for (const double sign : {-1.0, 1.0}) {
      const Exact x = sign * pow(Exact(10), Exact(power));
      // expm1(log1p(x)) = x; and against the plain formula where 520 digits leave some 200
      const Exact back = reference::exp_minus_one(reference::log_one_plus(x));
      CHECK(abs(Exact(back - x)) <= abs(x) * pow(Exact(10), -500));
      CHECK(abs(Exact(reference::exp_minus_one(x) - (exp(x) - 1))) <= abs(x) * pow(Exact(10), -200));
    }
  CHECK(std::isnan(reference::exp_minus_one(std::nan(""))));
  CHECK(std::isnan(reference::log_one_plus(std::nan(""))));
}

TEMPLATE_TEST_CASE("where the textbook formula has lost the gradient, softstep has it", "[layer]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{4, 4, 4}, 5}, 1);
  const auto both = [&](double norm) {
    const auto w = weights_toward(batch.view, Toward::optimal, norm);
    const ExactObjective<T> exact(batch.view, w, Loss::logistic);
    Textbook<T> textbook(batch.view);
    textbook.weights = w;
    textbook.evaluate();
    AttentionModel<T> model(batch.view);
    Evaluation<T> out;
    model.evaluate(w, out);
    CHECK(direction_error(out.gradients[0].values, exact.gradient) <= exact.gradient_bound.direction);
    return direction_error(textbook.gradient, exact.gradient) <= exact.gradient_bound.direction;
  };
  CHECK(both(1.0));
  CHECK_FALSE(both(1e2));
  CHECK_FALSE(both(1e6));
}
