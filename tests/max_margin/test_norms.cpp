// W_mm in the l_p and nuclear norms: certificate computed afresh in long double, independent oracles, known
// cases.

#include <algorithm>
#include <array>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "data/refused.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "max_margin/norm_certificate.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

Dataset<double> generated(const char* generator, std::size_t n, std::size_t n_tokens, std::size_t dim,
                          std::uint64_t seed) {
  GeneratorOptions options;
  options.generator = generator;
  options.n_samples = n;
  options.n_tokens = n_tokens;
  options.dim = dim;
  options.seed = seed;
  return generate(options);
}

NormMaxMarginOptions asked(MatrixNorm norm, double p = 2.0) {
  NormMaxMarginOptions options;
  options.norm = norm;
  options.p = p;
  return options;
}

}  // namespace

TEMPLATE_TEST_CASE("l_p solutions carry their certificate", "[max_margin]", float, double) {
  for (const double p : {1.1, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      CAPTURE(p, seed);
      const auto data = convert<TestType>(generated("random_unit", 6, 5, 8, seed));
      const auto result = solve_max_margin_in_norm(data.view(), asked(MatrixNorm::l_p, p));
      check_norm_certificate(data.view(), MatrixNorm::l_p, p, result, 1e-8);
    }
}

TEST_CASE("powers near 1 and far above 2 reach 1e-7", "[max_margin]") {
  // What rounding leaves beyond p = 10 is stated as 1e-7 in softstep/max_margin.h.
  for (const double p : {1.01, 1.05, 5.5, 6.0, 10.0, 20.5, 50.0, 100.0, 1000.0})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      CAPTURE(p, seed);
      const auto data = generated("random_unit", 6, 5, 8, seed);
      NormMaxMarginOptions options = asked(MatrixNorm::l_p, p);
      options.tolerance = p <= 10.0 ? 1e-8 : 1e-7;
      const auto result = solve_max_margin_in_norm(data.view(), options);
      check_norm_certificate(data.view(), MatrixNorm::l_p, p, result, options.tolerance);
      CHECK(result.sweeps <= 400);
    }
}

TEST_CASE("a bound that is no number closes no gap", "[max_margin]") {
  // Two tokens that agree to 1e-14 make W so long that multipliers near the solution overflow.
  const double u = 45 * 0x1p-52;
  const std::vector<double> tokens = {-1 - u, 1 - 2 * u, 1, -1 + 3 * u, -1, 1, 1, -1, 0, -1, -1, 1};
  const std::vector<std::int8_t> labels = {1};
  BatchView<double> batch;
  batch.tokens = tokens.data();
  batch.n_samples = 1;
  batch.n_tokens = 3;
  batch.dim = 4;
  batch.labels = labels.data();
  for (const double p : {20.0, 100.0, 1000.0, 1e4}) {
    CAPTURE(p);
    NormMaxMarginOptions options = asked(MatrixNorm::l_p, p);
    options.selected = {0};
    const MaxMarginResult result = solve_max_margin_in_norm(batch, options);
    double sum = 0.0;
    for (const double l : result.multipliers) sum += l;
    // By the scale of the multipliers, for the rounding of a sum of 3 and of a norm of 16 entries.
    CHECK(std::fabs(sum / result.norm - (1.0 - result.duality_gap)) <= 1e-13);
    CHECK((result.duality_gap <= options.tolerance) == (result.status == MaxMarginStatus::optimal));
  }
}

TEST_CASE("samples from 1e-4 to 1e4 in other norms", "[max_margin]") {
  for (const double p : {0.0, 1.5, 3.0})
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const MatrixNorm norm = p == 0.0 ? MatrixNorm::nuclear : MatrixNorm::l_p;
      CAPTURE(p, seed);
      const auto data = generated("signal_noise", 6, 4, 8, seed);
      OwnedBatch<double> scaled(data.view());
      for (std::size_t i = 0; i < 6; ++i) {
        const double a = std::pow(10.0, 4.0 - 1.6 * static_cast<double>(i));
        for (std::size_t j = 0; j < 4 * 8; ++j) scaled.token(i, 0)[j] *= a;
        for (std::size_t j = 0; j < 8; ++j) scaled.query(i)[j] *= a;
      }
      // Constraints from 1e-8 to 1e8: W, of the size of the inverse of the short ones, meets the long ones to
      // few digits.
      NormMaxMarginOptions options = asked(norm, p);
      options.tolerance = 1e-6;
      const auto result = solve_max_margin_in_norm(scaled.view(), options);
      REQUIRE(result.status == MaxMarginStatus::optimal);
      CHECK(result.duality_gap <= 1e-6);
      // Both bounds from the definitions. <A_k, W> is a sum of 64 terms below ||A_k|| ||W|| in long double.
      const Rows rows = constraint_matrix(scaled.view(), score_tokens(scaled.view()));
      const std::vector<Real> w(result.weights.begin(), result.weights.end());
      std::vector<Real> combination(64, 0);
      Real sum = 0;
      for_each_multiplier(rows, result.multipliers, [&](std::size_t k, Real lambda) {
        sum += lambda;
        for (std::size_t j = 0; j < 64; ++j) combination[j] += lambda * rows[k][j];
        REQUIRE(dot(rows[k], w) >= 1 - 0x1p-53L * 64 * norm_of(rows[k]) * norm_of(w));
      });
      const Real bound = sum / exact_dual_norm(combination, 8, norm, static_cast<Real>(p));
      CHECK(std::fabs(exact_norm(w, 8, norm, static_cast<Real>(p)) / static_cast<Real>(result.norm) - 1) <=
            1e-13L);
      CHECK(bound <= static_cast<Real>(result.norm));
      CHECK(bound >= static_cast<Real>(result.norm) * (1 - 1e-6L) * (1 - 1e-12L));
    }
}

TEMPLATE_TEST_CASE("nuclear solutions carry their certificate", "[max_margin]", float, double) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    CAPTURE(seed);
    const auto data = convert<TestType>(generated("random_unit", 6, 8, 10, seed));
    const auto result = solve_max_margin_in_norm(data.view(), asked(MatrixNorm::nuclear));
    check_norm_certificate(data.view(), MatrixNorm::nuclear, 0.0, result, 1e-8);
    // Lower rank than the Frobenius solution, whose rank is that of the queries.
    const std::size_t rank = numerical_rank(singular_values(result.weights, 10, 10), 1e-4);
    CHECK(rank < 6);
    // Its nuclear margin beats that of the Frobenius solution, whose own is better in its own norm.
    const MaxMarginResult frobenius = solve_max_margin(data.view());
    const TokenScores scores = score_tokens(data.view());
    const auto margin = [&](const std::vector<double>& w, MatrixNorm norm) {
      return margin_in_norm(data.view(), scores, w, norm);
    };
    CHECK(margin(result.weights, MatrixNorm::nuclear) >
          1.01 * margin(frobenius.weights, MatrixNorm::nuclear));
    CHECK(margin(frobenius.weights, MatrixNorm::frobenius) >
          1.01 * margin(result.weights, MatrixNorm::frobenius));
  }
}

TEST_CASE("p = 2 is the Frobenius problem, and so is frobenius", "[max_margin]") {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto data = generated("signal_noise", 5, 4, 12, seed);
    const MaxMarginResult usual = solve_max_margin(data.view());
    for (const MatrixNorm norm : {MatrixNorm::l_p, MatrixNorm::frobenius}) {
      const auto result = solve_max_margin_in_norm(data.view(), asked(norm, 2.0));
      REQUIRE(result.status == MaxMarginStatus::optimal);
      check_norm_certificate(data.view(), norm, 2.0, result, 1e-8);
      CHECK(std::fabs(result.norm / usual.norm - 1.0) <= 2e-8);
      // ||W - W_mm||^2 <= ||W||^2 - ||W_mm||^2 <= 2 gap ||W||^2
      CHECK(std::sqrt(2.0 * compare_direction(result.weights, usual.weights).one_minus_cos) <= 3e-4);
    }
  }
}

TEST_CASE("planar problems agree with the ellipsoid method", "[max_margin]") {
  for (const std::uint64_t seed : {0, 1, 2})
    for (const double p : {1.2, 1.75, 3.0, 0.0}) {
      const MatrixNorm norm = p == 0.0 ? MatrixNorm::nuclear : MatrixNorm::l_p;
      CAPTURE(seed, p);
      const auto data = generated("planar", 2, 3, 2, seed);
      const Rows rows = constraint_matrix(data.view(), score_tokens(data.view()));
      const Real found = best_margin_by_search(rows, norm, static_cast<Real>(p));
      const auto result = solve_max_margin_in_norm(data.view(), asked(norm, p));
      REQUIRE(result.status == MaxMarginStatus::optimal);
      check_norm_certificate(data.view(), norm, p, result, 1e-8);
      // The search only finds margins that there are; it ends within 1e-7 of the best.
      CHECK(static_cast<double>(found) <= result.margin * (1.0 + 2e-8));
      CHECK(result.margin <= static_cast<double>(found) * (1.0 + 1e-7));
    }
}

TEST_CASE("one constraint has the solution of duality, in every norm", "[max_margin]") {
  // min ||W|| s.t. <D z^T, W> >= 1 is 1 / ||D z^T||_*: |D|_q |z|_q for l_p, |D| |z| for the nuclear norm.
  Layout layout;
  layout.n_tokens = {2};
  layout.dim = 4;
  layout.separate_queries = true;
  const TestBatch<double> data(layout, 2);
  const TokenScores scores = score_tokens(data.view);
  const std::size_t best = scores.optimal[0];
  std::vector<double> difference(4), query(data.view.query(0), data.view.query(0) + 4);
  for (std::size_t j = 0; j < 4; ++j)
    difference[j] = data.view.sample(0)[best * 4 + j] - data.view.sample(0)[(1 - best) * 4 + j];
  for (const double p : {1.25, 2.0, 3.0, 5.0}) {
    const double q = p / (p - 1.0);
    const auto dual = [&](const std::vector<double>& x) { return matrix_norm(x, 1, 4, MatrixNorm::l_p, q); };
    const auto result = solve_max_margin_in_norm(data.view, asked(MatrixNorm::l_p, p));
    CHECK(std::fabs(result.margin - dual(difference) * dual(query)) <= 2e-8 * result.margin);
  }
  const auto result = solve_max_margin_in_norm(data.view, asked(MatrixNorm::nuclear));
  const double exact = frobenius_norm({difference.data(), 4}) * frobenius_norm({query.data(), 4});
  CHECK(std::fabs(result.margin - exact) <= 2e-8 * exact);
  CHECK(numerical_rank(singular_values(result.weights, 4, 4)) == 1);
}

TEST_CASE("many nuclear problems all reach the tolerance", "[max_margin][long]") {
  for (const auto& [n, n_tokens, dim] : {std::array<std::size_t, 3>{5, 4, 8}, {10, 6, 20}, {4, 3, 3}})
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(dim, seed);
      const auto data = generated("random_unit", n, n_tokens, dim, seed);
      const auto result = solve_max_margin_in_norm(data.view(), asked(MatrixNorm::nuclear));
      if (result.status == MaxMarginStatus::not_separable) continue;
      check_norm_certificate(data.view(), MatrixNorm::nuclear, 0.0, result, 1e-8);
    }
}

TEST_CASE("the nuclear problem of the largest size asked for", "[max_margin][long]") {
  const auto data = generated("random_unit", 25, 9, 30, 1);
  const auto result = solve_max_margin_in_norm(data.view(), asked(MatrixNorm::nuclear));
  CHECK(result.n_constraints == 200);
  check_norm_certificate(data.view(), MatrixNorm::nuclear, 0.0, result, 1e-8);
}

TEST_CASE("chosen tokens, other units, and data that cannot be separated, in any norm", "[max_margin]") {
  for (const MatrixNorm norm : {MatrixNorm::nuclear, MatrixNorm::l_p}) {
    const double p = 3.0;
    Layout layout;
    layout.dim = 6;
    TestBatch<double> data(layout, 7);
    data.view.decoder = nullptr;
    NormMaxMarginOptions options = asked(norm, p);
    options.selected = {1, 3, 0};
    const auto one = solve_max_margin_in_norm(data.view, options);
    REQUIRE(one.status == MaxMarginStatus::optimal);
    check_norm_certificate(constraint_matrix(data.view, options.selected), 6, norm, p, one, 1e-8);
    for (double& x : data.tokens) x *= 1e-40;
    const auto other = solve_max_margin_in_norm(data.view, options);
    REQUIRE(other.status == MaxMarginStatus::optimal);
    CHECK(std::fabs(other.norm / one.norm / 1e80 - 1.0) <= 3e-8);

    options.selected = {1, 3, 4};
    require_refused("selected", {"sample 2", "4"}, [&] { solve_max_margin_in_norm(data.view, options); });
    TestBatch<double> twice(layout, 8);  // the same token chosen and not
    for (std::size_t j = 0; j < 6; ++j) twice.tokens[j] = twice.tokens[6 + j];
    options.selected = {0, 0, 0};
    const auto none = solve_max_margin_in_norm(twice.view, options);
    CHECK(none.status == MaxMarginStatus::not_separable);
    CHECK(none.certificate <= 1e-13);
    CHECK(none.weights.empty());
    layout.n_tokens = {1, 1};
    const TestBatch<double> single(layout, 1);
    CHECK(solve_max_margin_in_norm(single.view, asked(norm, p)).status == MaxMarginStatus::no_constraints);
  }
}

TEST_CASE("steps run out, the callback stops, and both leave a bound", "[max_margin]") {
  const auto data = generated("random_unit", 6, 8, 10, 0);
  const auto whole = solve_max_margin_in_norm(data.view());
  REQUIRE(whole.status == MaxMarginStatus::optimal);
  for (const std::size_t most : {whole.sweeps / 2, whole.sweeps - 5}) {
    NormMaxMarginOptions options;
    options.max_sweeps = most;
    const auto result = solve_max_margin_in_norm(data.view(), options);
    CHECK(result.status == MaxMarginStatus::max_sweeps);
    CHECK(result.sweeps <= most);
    CHECK(result.duality_gap > options.tolerance);
    CHECK(result.norm >= whole.norm * (1.0 - 1e-8));
    CHECK(result.norm * (1.0 - result.duality_gap) <= whole.norm * (1.0 + 1e-8));
    options.max_sweeps = 100000;
    options.progress = [most](std::size_t sweeps, double, double) { return sweeps < most; };
    const auto stopped = solve_max_margin_in_norm(data.view(), options);
    CHECK(stopped.status == MaxMarginStatus::interrupted);
    CHECK(stopped.sweeps == most);
  }
  // A gap that rounding does not allow is not claimed.
  NormMaxMarginOptions options;
  options.tolerance = 1e-17;
  const auto result = solve_max_margin_in_norm(data.view(), options);
  CHECK(result.status == MaxMarginStatus::at_rounding);
  CHECK(result.duality_gap > 1e-17);
  CHECK(result.duality_gap <= 1e-8);
}

TEST_CASE("bad norm options are refused by name", "[max_margin]") {
  const auto data = generated("planar", 2, 3, 2, 0);
  const auto refuse = [&](const char* argument, const char* word, const NormMaxMarginOptions& options) {
    require_refused(argument, {word}, [&] { solve_max_margin_in_norm(data.view(), options); });
  };
  refuse("norm", "spectral", asked(MatrixNorm::spectral));
  refuse("norm", "max", asked(MatrixNorm::max));
  for (const double p : {1.0, 0.5, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    refuse("p", "above 1", asked(MatrixNorm::l_p, p));
  CHECK_NOTHROW(asked(MatrixNorm::nuclear, 1.0).validate());  // p is not used
  NormMaxMarginOptions options;
  options.tolerance = -1.0;
  refuse("tolerance", "-1", options);
  options = {};
  options.max_sweeps = 0;
  refuse("max_sweeps", "0", options);
}
