// Token scores at both ends of what double holds, and beyond: the gradient and the loss gap keep their bounds.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "exact_gap.h"
#include "exact_objective.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

void check_direction(const BatchView<double>& batch, const std::vector<double>& w, Loss loss) {
  const ExactObjective<double> exact(batch, w, loss);
  REQUIRE(exact.gradient_norm > 0);
  AttentionOptions options;
  options.loss = loss;
  const AttentionModel<double> model(batch, options);
  Evaluation<double> out;
  model.evaluate(w, out);
  const BlockGradient<double>& gradient = out.gradients[0];
  const std::vector<double> mantissa(gradient.mantissa().begin(), gradient.mantissa().end());
  CHECK(direction_error(mantissa, exact.gradient) <= exact.gradient_bound.direction);
  // log |G| is held by a double: rounded at its own size, in C and in what is added to it.
  const Exact log_norm = Exact(gradient.exponent) + log(Exact(gradient.norm));
  const double rounding = 3.0 * 0x1p-53 * std::fabs(gradient.exponent);
  CHECK(static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm)))) <=
        exact.gradient_bound.exponent + rounding);
}

}  // namespace

TEST_CASE("token scores at both ends of what double holds, and beyond, keep the gradient's bound",
          "[objective]") {
  // Scores are of the order of token * decoder, down to 1e-600: then no double holds the gaps.
  for (const double token : {1e-150, 1e-100, 1e-20, 1e70, 1e150})
    for (const double decoder : {1e-300, 1e-284, 1e-204, 1e-154, 1e-100, 1.0}) {
      if (token * decoder > 1e71) continue;
      for (const Loss loss : {Loss::logistic, Loss::exponential}) {
        INFO("tokens " << token << ", decoder " << decoder << ", " << to_string(loss));
        const TestBatch<double> batch({{4, 4, 4}, 5}, 1, token, decoder);
        for (const double norm : {0.0, 3.0, 30.0}) {
          if (norm / (token * token) > 1e305) continue;
          const auto w = weights_toward(batch.view, Toward::optimal, norm / (token * token));
          check_direction(batch.view, w, loss);
          // The gap, whose exact value is the sum of differences of losses.
          const ExactObjective<double> exact(batch.view, w, loss);
          AttentionOptions options;
          options.loss = loss;
          const AttentionModel<double> model(batch.view, options);
          Evaluation<double> out;
          model.evaluate(w, out, want_loss_gap);
          const Gap gap =
              exact_gap(exact.problem, exact.values, exact.margin_errors, loss, OptimalLoss::optimal, 0.0);
          const Exact got = Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent));
          // The exponent is rounded at its own size.
          const Exact rounding = 4 * 0x1p-53 * std::fabs(out.loss_gap.exponent) * gap.value;
          CHECK(static_cast<bool>(abs(Exact(got - gap.value)) <= gap.bound + rounding));
        }
      }
    }
}
