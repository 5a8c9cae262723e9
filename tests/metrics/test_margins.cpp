// Margins by sample and norm, support sets, sparsity of attention: against the definitions in long double.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "data/refused.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Real = long double;

template <class T>
Real score(const BatchView<T>& batch, std::size_t i, std::size_t t, const std::vector<double>& w) {
  Real sum = 0;
  for (std::size_t r = 0; r < batch.dim; ++r)
    for (std::size_t c = 0; c < batch.dim; ++c)
      sum += static_cast<Real>(batch.sample(i)[t * batch.row_stride() + r]) * w[r * batch.dim + c] *
             static_cast<Real>(batch.query(i)[c]);
  return sum;
}

const Layout layout{{1, 5, 2, 3}, 4, 2, false, true, true};

template <class T>
std::vector<double> weights_of(const BatchView<T>& batch, double size) {
  std::vector<double> w;
  for (const T x : weights_toward(batch, Toward::anywhere, 1.0)) w.push_back(size * static_cast<double>(x));
  return w;
}

}  // namespace

TEMPLATE_TEST_CASE("margins of chosen tokens, by sample and over each norm", "[metrics]", float, double) {
  const TestBatch<TestType> data(layout, 4);
  const std::vector<std::size_t> chosen = {0, 3, 1, 2};
  const std::vector<double> w = weights_of(data.view, 2.0);
  const std::vector<double> values = constraint_values(data.view, chosen, w);
  const std::vector<double> margins = sample_margins(data.view, chosen, w);
  REQUIRE(values.size() == 11);
  REQUIRE(margins.size() == 4);
  // Entries below 1 in size, |W|_F = 2: two sums of d products each, in double.
  const double bound = 32.0 * 0x1p-53 * 2.0 * 4.0;
  Real smallest = INFINITY;
  std::size_t k = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    Real of_sample = INFINITY;
    for (std::size_t t = 0; t < data.view.tokens_of(i); ++t, ++k) {
      if (t == chosen[i]) {
        CHECK(values[k] == INFINITY);
        continue;
      }
      const Real exact = score(data.view, i, chosen[i], w) - score(data.view, i, t, w);
      CHECK(std::fabs(values[k] - static_cast<double>(exact)) <= bound);
      of_sample = std::min(of_sample, exact);
    }
    if (i == 0)
      CHECK(margins[i] == INFINITY);
    else
      CHECK(std::fabs(margins[i] - static_cast<double>(of_sample)) <= bound);
    smallest = std::min(smallest, of_sample);
  }
  for (const MatrixNorm norm :
       {MatrixNorm::frobenius, MatrixNorm::spectral, MatrixNorm::max, MatrixNorm::nuclear, MatrixNorm::l_p}) {
    const double size = matrix_norm(w, 4, 4, norm, 3.0);
    const double margin = margin_in_norm(data.view, chosen, w, norm, 3.0);
    CHECK(std::fabs(margin * size - static_cast<double>(smallest)) <= 2.0 * bound);
    // Powers of two turn nothing. W has entries below 2 of either sign, not all tiny.
    std::vector<double> large = w;
    for (double& x : large) x = std::ldexp(x, 1022);
    CHECK(margin_in_norm(data.view, chosen, large, norm, 3.0) == margin);
  }
  const TokenScores scores = score_tokens(data.view);
  CHECK(margin_in_norm(data.view, scores, w, MatrixNorm::frobenius) ==
        normalized_margin(data.view, scores, w));
  std::vector<double> bad = w;
  bad[5] = NAN;
  CHECK(std::isnan(margin_in_norm(data.view, chosen, bad, MatrixNorm::nuclear)));
  CHECK(std::isnan(sample_margins(data.view, chosen, bad)[1]));
  CHECK(std::isnan(margin_in_norm(data.view, chosen, std::vector<double>(16, 0.0), MatrixNorm::spectral)));
  const TestBatch<TestType> single({{1, 1}, 3}, 5);
  CHECK(margin_in_norm(single.view, {0, 0}, std::vector<double>(9, 1.0), MatrixNorm::max) == INFINITY);
  require_refused("chosen", {"sample 2", "2", "0 to 1"}, [&] { sample_margins(data.view, {0, 0, 2, 0}, w); });
  require_refused("chosen", {"3 tokens", "4 samples"}, [&] { sample_margins(data.view, {0, 0, 1}, w); });
  // Every size and every index is looked at.
  const std::vector<float> small(15, 1.0f);
  const auto refuses_small = [&](const auto& call) {
    require_refused("weights", {"15", "dim * dim = 16"}, call);
  };
  refuses_small([&] { sample_margins(data.view, chosen, small); });
  refuses_small([&] { constraint_values(data.view, chosen, small); });
  refuses_small([&] { margin_in_norm(data.view, scores, small, MatrixNorm::max); });
  refuses_small([&] { normalized_margin(data.view, scores, small); });
  refuses_small([&] { mean_attention_entropy(data.view, small); });
  refuses_small([&] { attention_sparsity(data.view, small); });
  // A batch whose queries are not in it is not read.
  const std::vector<std::int64_t> far(4, 1 << 28);
  BatchView<TestType> bad_batch = data.view;
  bad_batch.queries = nullptr;
  bad_batch.query_index = far.data();
  const auto refuses_batch = [&](const auto& call) { require_refused("query_index", {"sample 0"}, call); };
  refuses_batch([&] { sample_margins(bad_batch, chosen, w); });
  refuses_batch([&] { constraint_values(bad_batch, chosen, w); });
  refuses_batch([&] { margin_in_norm(bad_batch, chosen, w, MatrixNorm::max); });
  TokenScores beyond = scores;
  beyond.optimal[1] = 99;
  require_refused("chosen", {"sample 1", "99"}, [&] { normalized_margin(data.view, beyond, w); });
}

TEST_CASE("the support set of W_mm is that of its multipliers", "[metrics]") {
  // In general position the multipliers of the active constraints are positive.
  const TestBatch<double> data({{4, 4, 4, 4}, 10, 0, true}, 6);
  const MaxMarginResult result = solve_max_margin(data.view);
  REQUIRE(result.status == MaxMarginStatus::optimal);
  const auto optimal = score_tokens(data.view).optimal;
  const auto of_weights = support_of_values(constraint_values(data.view, optimal, result.weights), 1e-6);
  const auto of_multipliers = support_of_multipliers(result.multipliers);
  CHECK(of_weights == of_multipliers);
  CHECK(of_multipliers.size() == result.n_support);
  const SupportOverlap overlap = compare_support(of_weights, of_multipliers);
  CHECK(overlap.overlap == 1.0);
  CHECK(overlap.n_common == result.n_support);
}

TEST_CASE("support sets and their overlap by hand", "[metrics]") {
  CHECK(support_of_values({1.0, INFINITY, 1.05, 1.2}, 0.1) == std::vector<std::size_t>{0, 2});
  CHECK(support_of_values({-1.0, -0.95, 2.0}, 0.1) == std::vector<std::size_t>{0, 1});
  CHECK(support_of_values({1.0, 1.0 + 1e-12}, 0.0) == std::vector<std::size_t>{0});
  CHECK(support_of_values({1.0, NAN}, 1.0).empty());
  CHECK(support_of_multipliers({0.0, 2.0, 1e-10, 1.0}) == std::vector<std::size_t>{1, 3});
  CHECK(support_of_multipliers({0.0, 0.0}).empty());
  const SupportOverlap some = compare_support({0, 2, 5}, {2, 3, 5, 7});
  CHECK(some.n_first == 3);
  CHECK(some.n_second == 4);
  CHECK(some.n_common == 2);
  CHECK(some.overlap == 2.0 / 5.0);
  CHECK(compare_support({}, {}).overlap == 1.0);
  CHECK(compare_support({1}, {}).overlap == 0.0);
  require_refused("relative_tolerance", {"-1"}, [] { support_of_values({1.0}, -1.0); });
  require_refused("threshold", {"1"}, [] { support_of_multipliers({1.0}, 1.0); });
}

TEMPLATE_TEST_CASE("sparsity of attention, from uniform to saturated", "[metrics]", float, double) {
  const TestBatch<TestType> data(layout, 4);
  for (const double size : {0.0, 1.0, 30.0, 1e4}) {
    CAPTURE(size);
    const std::vector<double> w = weights_of(data.view, size);
    const double level = 0.01;
    Real entropy = 0, effective = 0;
    std::size_t below = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      std::vector<Real> s;
      for (std::size_t t = 0; t < data.view.tokens_of(i); ++t) s.push_back(score(data.view, i, t, w));
      const Real top = *std::max_element(s.begin(), s.end());
      Real sum = 0, h = 0;
      for (const Real x : s) sum += std::exp(x - top);
      for (const Real x : s) {
        const Real p = std::exp(x - top) / sum;
        if (p > 0) h -= p * std::log(p);
        below += p < level;
      }
      entropy += h / 4;
      effective += std::exp(h) / 4;
    }
    const AttentionSparsity found = attention_sparsity(data.view, w, level);
    // A score is known to 32 rounding units of its size; the entropy moves by no more than T times as much.
    const double bound = 5.0 * 32.0 * 0x1p-53 * (4.0 * size + 1.0);
    CHECK(std::fabs(found.mean_entropy - static_cast<double>(entropy)) <= bound);
    CHECK(std::fabs(found.mean_effective_tokens - static_cast<double>(effective)) <= 5.0 * bound);
    CHECK(found.fraction_below == static_cast<double>(below) / 11.0);
    CHECK(found.mean_entropy == mean_attention_entropy(data.view, w));
  }
  std::vector<double> bad(16, 1.0);
  bad[3] = NAN;
  const AttentionSparsity nan = attention_sparsity(data.view, bad);
  CHECK(std::isnan(nan.mean_entropy));
  CHECK(std::isnan(nan.mean_effective_tokens));
  CHECK(std::isnan(nan.fraction_below));
  for (const double level : {0.0, 1.0, -1.0, static_cast<double>(NAN)})
    require_refused("level", {"between 0 and 1"}, [&] { attention_sparsity(data.view, bad, level); });
}
