// Token scores at both ends of what double holds, and beyond: the gradient and the loss gap keep their
// bounds.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "layer/exact_gap.h"
#include "layer/exact_objective.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

void check_gradient(const BatchView<double>& batch, const std::vector<double>& w, Loss loss,
                    const ExactObjective<double>& exact, const reference::GradientBound& bound) {
  REQUIRE(exact.gradient_norm > 0);
  AttentionOptions options;
  options.loss = loss;
  AttentionModel<double> model(batch, options);
  Evaluation<double> out;
  model.evaluate(w, out);
  const BlockGradient<double>& gradient = out.gradients[0];
  const std::vector<double> mantissa(gradient.mantissa().begin(), gradient.mantissa().end());
  CHECK(direction_error(mantissa, exact.gradient) <= bound.direction);
  // log |G| is held by a double: rounded at its own size, in C and in what is added to it.
  const Exact log_norm = Exact(gradient.exponent) + log(Exact(gradient.norm));
  const double rounding = 3.0 * 0x1p-53 * std::fabs(gradient.exponent);
  CHECK(static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm)))) <= bound.exponent + rounding);
}

}  // namespace

TEST_CASE("token scores at both ends of what double holds, and beyond, keep the gradient's bound",
          "[layer]") {
  // Scores are of the order of token * decoder, down to 1e-450: then no double holds the gaps.
  for (const double token : {1e-150, 1e-100, 1e-20, 1e70, 1e150})
    for (const double decoder : {1e-300, 1e-284, 1e-204, 1e-154, 1e-150, 1e-100, 1e-70, 1.0})
      for (const Loss loss : {Loss::logistic, Loss::exponential}) {
        // Slopes at margins of 1e70 are beyond what the 520 digits of the truth hold.
        if (token * decoder > 10.0) continue;
        INFO("tokens " << token << ", decoder " << decoder << ", " << to_string(loss));
        // Bounds are made of magnitudes in double. Those of scores below rounding are, relative to what they
        // bound, the ones of tokens of ordinary size with any other scores below rounding.
        const bool is_far = token * decoder < 1e-100;
        const TestBatch<double> batch({{4, 4, 4}, 5}, 1, token, decoder),
            near({{4, 4, 4}, 5}, 1, is_far ? 1.0 : token, is_far ? 1e-30 : decoder);
        for (const double norm : {0.0, 3.0, 30.0}) {
          if (norm / (token * token) > 1e305) continue;
          const auto weights_of = [&](const TestBatch<double>& of, double size) {
            return weights_toward(of.view, Toward::optimal, norm / (size * size));
          };
          const std::vector<double> w = weights_of(batch, token);
          const ExactObjective<double> exact(batch.view, w, loss),
              bounds(near.view, weights_of(near, is_far ? 1.0 : token), loss);
          check_gradient(batch.view, w, loss, exact, bounds.gradient_bound);
          AttentionOptions options;
          options.loss = loss;
          AttentionModel<double> model(batch.view, options);
          Evaluation<double> out;
          model.evaluate(w, out, want_loss_gap);
          const auto gap_of = [&](const ExactObjective<double>& of) {
            return exact_gap(of.problem, of.values, of.margin_errors, loss, OptimalLoss::optimal, 0.0);
          };
          const Gap gap = gap_of(exact), bound = gap_of(bounds);
          const Exact got = Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent));
          // The exponent is rounded at its own size.
          const Exact relative = bound.bound / bound.value + 4 * 0x1p-53 * std::fabs(out.loss_gap.exponent);
          CHECK(static_cast<bool>(abs(Exact(got - gap.value)) <= relative * gap.value));
        }
      }
}
