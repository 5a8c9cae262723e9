// A squared loss whose label is the score of the token that attention saturates at: l' = m - t is as small as
// 1 - p, and the loss and the gradient as (1 - p)^2. All keep their digits where m rounds to the label.

#include <catch2/catch_template_test_macros.hpp>
#include <cmath>
#include <vector>

#include "softstep/attention_model.h"
#include "support/unit_roundoff.h"

using namespace softstep;
using namespace softstep::test;

TEMPLATE_TEST_CASE("a squared loss saturated at its label keeps the size of its gradient", "[layer]", float,
                   double) {
  using T = TestType;
  // Two tokens (1, 0) and (0, 1) of scores 1 and 0 under the decoder (1, 0), the query (1, 0), label 1, W =
  // [[s, 0], [0, 0]]:
  //   p_2 = 1 / (1 + e^s),   m = 1 - p_2,   l' = -p_2,   G = -p_1 p_2^2 (1, -1) z^T,   dL/du = -p_2 (p_1, p_2).
  const std::vector<T> tokens = {1, 0, 0, 1}, queries = {1, 0}, decoder = {1, 0}, targets = {1};
  BatchView<T> batch;
  batch.n_samples = 1;
  batch.n_tokens = 2;
  batch.dim = 2;
  batch.tokens = tokens.data();
  batch.queries = queries.data();
  batch.targets = targets.data();
  batch.decoder = decoder.data();
  for (const bool train_decoder : {false, true})
    for (const double s : {1.0, 20.0, 50.0, 800.0, 1e6}) {
      INFO("s = " << s << ", decoder " << (train_decoder ? "trained" : "given"));
      AttentionOptions options;
      options.loss = Loss::squared;
      options.train_decoder = train_decoder;
      options.optimal_loss = OptimalLoss::zero;
      AttentionModel<T> model(batch, options);
      std::vector<std::vector<T>> at = {{static_cast<T>(s), 0, 0, 0}};
      if (train_decoder) at.push_back(decoder);
      Evaluation<T> out;
      model.evaluate(at, out);
      const double rest = std::log1p(std::exp(-s));  // p_1 = e^-rest, p_2 = e^(-s - rest)
      // Exponents are rounded at their own size, mantissas by some units.
      const double bound = 16.0 * unit_roundoff<T> + 4.0 * 0x1p-53 * s;
      const double of_w = -2.0 * s - 3.0 * rest + 0.5 * std::log(2.0);
      const double found = out.gradients[0].exponent + std::log(out.gradients[0].norm);
      CHECK(std::fabs(found - of_w) <= bound);
      CHECK(out.gradients[0].mantissa()[0] < T(0));
      // L = p_2^2 / 2
      const double of_loss = -2.0 * (s + rest) - std::log(2.0);
      CHECK(std::fabs(out.loss_gap.log() - of_loss) <= bound);
      CHECK(std::fabs(out.loss_scaled.log() - of_loss) <= bound);
      CHECK(std::fabs(out.loss - std::exp(of_loss)) <= 2.0 * bound * std::exp(of_loss));
      if (!train_decoder) continue;
      const double of_decoder = -s - 2.0 * rest + 0.5 * std::log1p(std::exp(-2.0 * s));
      CHECK(std::fabs(out.gradients[1].exponent + std::log(out.gradients[1].norm) - of_decoder) <= bound);
      CHECK(out.gradients[1].mantissa()[0] < T(0));
    }
}
