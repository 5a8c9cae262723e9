// Bounds on margins without a solver: duality against the definitions, against the solvers' certified
// answers, and what they come down to as training goes on.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "data/refused.h"
#include "softstep/attention_model.h"
#include "softstep/margin_certificate.h"
#include "softstep/max_margin.h"
#include "support/batches.h"
#include "trainer/runs.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;

struct Norm {
  MatrixNorm norm;
  double p;
};
const Norm norms[] = {{MatrixNorm::frobenius, 2.0}, {MatrixNorm::spectral, 2.0}, {MatrixNorm::max, 2.0},
                      {MatrixNorm::nuclear, 2.0},   {MatrixNorm::l_p, 3.0},      {MatrixNorm::l_p, 1.75},
                      {MatrixNorm::l_p, 1.0}};

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

std::vector<double> random_values(std::size_t size, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<double> out(size);
  for (double& x : out) x = normal(random);
  return out;
}

// sum_k lambda_k A_k written out, and sum_k lambda_k
std::pair<std::vector<double>, double> combined(const BatchView<double>& batch,
                                                const std::vector<std::size_t>& optimal,
                                                const std::vector<double>& multipliers) {
  std::vector<double> out(batch.dim * batch.dim, 0.0);
  double sum = 0.0;
  std::size_t k = 0;
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t, ++k) {
      sum += multipliers[k];
      const double* x = batch.sample(i);
      for (std::size_t r = 0; r < batch.dim; ++r)
        for (std::size_t c = 0; c < batch.dim; ++c)
          out[r * batch.dim + c] += multipliers[k] *
                                    (x[optimal[i] * batch.row_stride() + r] - x[t * batch.row_stride() + r]) *
                                    batch.query(i)[c];
    }
  return {out, sum};
}

}  // namespace

TEST_CASE("the dual norm is the largest product with a matrix of norm 1", "[metrics]") {
  std::mt19937_64 random(5);
  for (const Norm& norm : norms) {
    CAPTURE(to_string(norm.norm), norm.p);
    const auto of = [&](const std::vector<double>& a) { return matrix_norm(a, 3, 5, norm.norm, norm.p); };
    const std::vector<double> a = random_values(15, random);
    const double dual = dual_norm(a, 3, 5, norm.norm, norm.p);
    double largest = 0.0;
    // Sums of 15 products, and norms to some rounding units.
    for (int k = 0; k < 300; ++k) {
      const std::vector<double> b = random_values(15, random);
      const double found = product(a, b) / of(b);
      REQUIRE(found <= dual * (1.0 + 64.0 * unit));
      largest = std::max(largest, found);
    }
    // It is reached: along the gradient of the dual norm, by central differences, which are off by h^2.
    std::vector<double> slope(15);
    for (std::size_t k = 0; k < 15; ++k) {
      std::vector<double> up = a, down = a;
      up[k] += 1e-6;
      down[k] -= 1e-6;
      slope[k] = (dual_norm(up, 3, 5, norm.norm, norm.p) - dual_norm(down, 3, 5, norm.norm, norm.p)) / 2e-6;
    }
    REQUIRE(std::fabs(product(a, slope) / of(slope) / dual - 1.0) <= 1e-8);
    REQUIRE(largest > 0.0);
  }
  require_refused("p", {"0.5"}, [] { dual_norm(std::vector<double>(4), 2, 2, MatrixNorm::l_p, 0.5); });
  require_refused("a", {"3"}, [] { dual_norm(std::vector<double>(3), 2, 2, MatrixNorm::max); });
}

TEST_CASE("the multipliers of a max-margin solver certify its margin", "[metrics]") {
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const Dataset<double> data = signal_noise(seed, 5, 4, 12);
    const BatchView<double>& batch = data.view();
    const TokenScores scores = score_tokens(batch);
    for (const Norm& norm : norms) {
      if (norm.norm == MatrixNorm::spectral || norm.norm == MatrixNorm::max || norm.p == 1.0) continue;
      CAPTURE(to_string(norm.norm), norm.p, seed);
      NormMaxMarginOptions options;
      options.norm = norm.norm;
      options.p = norm.p;
      const MaxMarginResult solved = solve_max_margin_in_norm(batch, options);
      REQUIRE(solved.status == MaxMarginStatus::optimal);
      MarginCertificate certificate(12, 12);
      const auto [combination, weight] = combined(batch, scores.optimal, solved.multipliers);
      certificate.add(combination, weight);
      // The solver's relative duality gap is 1 - (sum lambda / |sum lambda A|_dual) / (|W| / smallest).
      const double share = certificate.share(solved.margin, norm.norm, norm.p);
      REQUIRE(share <= 1.0 + 1e-12);
      REQUIRE(share >= 1.0 - solved.duality_gap - 1e-12);
    }
  }
}

TEMPLATE_TEST_CASE("no gradient certifies less than the largest margin, at any W", "[metrics]", float,
                   double) {
  using T = TestType;
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const Dataset<double> made = signal_noise(seed, 5, 4, 12);
    const Dataset<T> data = convert<T>(made);
    const TokenScores scores = score_tokens(data.view());
    std::mt19937_64 random(seed);
    for (const double size : {0.0, 1e-3, 1.0, 30.0, 1e3, 1e6}) {
      std::vector<double> w = random_values(144, random);
      for (double& x : w) x *= size;
      MarginCertificate certificate(12, 12);
      REQUIRE(add_attention_gradient(certificate, data.view(), scores, std::span<const double>(w)));
      for (const Norm& norm : norms) {
        if (norm.norm == MatrixNorm::spectral || norm.norm == MatrixNorm::max || norm.p == 1.0) continue;
        NormMaxMarginOptions options;
        options.norm = norm.norm;
        options.p = norm.p;
        const MaxMarginResult solved = solve_max_margin_in_norm(data.view(), options);
        REQUIRE(solved.status == MaxMarginStatus::optimal);
        CAPTURE(to_string(norm.norm), norm.p, size, seed);
        REQUIRE(certificate.bound(norm.norm, norm.p) >= solved.margin * (1.0 - 1e-12));
      }
    }
  }
}

TEST_CASE("where all other scores are equal the combination is the gradient", "[metrics]") {
  GeneratorOptions options;
  options.n_samples = 4;
  options.n_tokens = 5;
  options.dim = 8;
  options.seed = 3;
  options.equal_scores = true;
  const Dataset<double> data = generate(options);
  const BatchView<double>& batch = data.view();
  const TokenScores scores = score_tokens(batch);
  std::mt19937_64 random(1);
  for (const Loss loss : {Loss::logistic, Loss::exponential})
    for (const double size : {0.1, 1.0, 1e3}) {
      std::vector<double> w = random_values(64, random);
      for (double& x : w) x *= size;
      AttentionModel<double> model(batch, {.loss = loss});
      Evaluation<double> at;
      model.evaluate(std::span<const double>(w), at);
      std::vector<double> descent(at.gradients[0].values);
      for (double& x : descent) x = -x;
      MarginCertificate certificate(8, 8), direct(8, 8);
      REQUIRE(add_attention_gradient(certificate, batch, scores, std::span<const double>(w), loss));
      direct.add(descent, 1.0);
      // Up to a factor, that of the weight: the same in every norm.
      const double factor = certificate.bound(MatrixNorm::frobenius) / direct.bound(MatrixNorm::frobenius);
      CAPTURE(to_string(loss), size);
      // Scores of size 30 |W| rounded to 64 units.
      for (const Norm& norm : norms)
        REQUIRE(std::fabs(certificate.bound(norm.norm, norm.p) / direct.bound(norm.norm, norm.p) / factor -
                          1.0) <= 1e-12 * (1.0 + size));
    }
}

TEST_CASE("training brings the certified share to 1, by the last gradient and by the average", "[metrics]") {
  const Dataset<double> data = signal_noise(0);
  const BatchView<double>& batch = data.view();
  const TokenScores scores = score_tokens(batch);
  const MaxMarginResult solved = solve_max_margin(batch);
  const AttentionModel<double> model(batch);
  TrainState<double> state = initial_state(model);
  MarginCertificate average(batch.dim, batch.dim);
  TrainerOptions options;
  options.n_steps = 100;
  options.rules = {parse_rule("ngd")};
  train(model, state, options);
  options.n_steps = 1;
  double last = 0.0, whole = 0.0;
  for (int t = 0; t < 900; ++t) {
    train(model, state, options);
    const std::span<const double> w(state.blocks[0]);
    REQUIRE(add_attention_gradient(average, batch, scores, w));
    last = certified_share(batch, scores, w, MatrixNorm::frobenius);
    whole = average.share(margin_in_norm(batch, scores, w, MatrixNorm::frobenius), MatrixNorm::frobenius);
    REQUIRE(last <= 1.0 + 1e-12);
    REQUIRE(whole <= 1.0 + 1e-12);
  }
  CHECK(average.size() == 900);
  // Never more than the share there is by the solver, which is 1 - O(1/t).
  const double exact =
      margin_in_norm(batch, scores, std::span<const double>(state.blocks[0]), MatrixNorm::frobenius) /
      solved.margin;
  INFO("last " << last << ", average " << whole << ", by the solver " << exact);
  CHECK(last <= exact * (1.0 + 1e-12));
  CHECK(whole <= exact * (1.0 + 1e-12));
  // The bound is 1 - O(1/t) of the margin too, t = 1000 after 100 in which it is not counted.
  CHECK(whole >= 0.98);
  CHECK(last >= 0.98);
}

TEST_CASE("several queries have their constraints in the certificate", "[metrics]") {
  Dataset<double> data = signal_noise(2, 3, 3, 12);
  BatchView<double> all = data.view();
  all.all_tokens_are_queries = true;
  const TokenScores scores = score_tokens(all);
  const MaxMarginResult solved = solve_max_margin(all);
  REQUIRE(solved.status == MaxMarginStatus::optimal);
  MarginCertificate certificate(12, 12);
  std::vector<double> w = solved.weights;
  for (double& x : w) x *= 200.0;
  REQUIRE(add_attention_gradient(certificate, all, scores, std::span<const double>(w)));
  REQUIRE(certificate.bound(MatrixNorm::frobenius) >= solved.margin * (1.0 - 1e-12));
  REQUIRE(certified_share(all, scores, std::span<const double>(w), MatrixNorm::frobenius) > 0.5);
}

TEST_CASE("a certificate without anything bounds nothing; what does not fit is refused", "[metrics]") {
  MarginCertificate certificate(2, 2);
  CHECK(certificate.bound(MatrixNorm::nuclear) == INFINITY);
  CHECK(certificate.share(1.0, MatrixNorm::nuclear) == 0.0);
  const std::vector<double> one(4, 1.0);
  require_refused("n_rows", {"0 x 2"}, [] { MarginCertificate(0, 2); });
  require_refused("n_cols", {"2 x 0"}, [] { MarginCertificate(2, 0); });
  require_refused("combination", {"3", "n_rows * n_cols = 4"},
                  [&] { certificate.add(std::vector<double>(3), 1.0); });
  require_refused("combination", {"not finite"}, [&] {
    certificate.add(std::vector<double>{1.0, NAN, 0.0, 0.0}, 1.0);
  });
  for (const double weight : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    require_refused("weight", {"positive"}, [&] { certificate.add(one, weight); });
  CHECK(certificate.size() == 0);
  const Dataset<double> data = signal_noise(0, 2, 3, 2);
  const TokenScores scores = score_tokens(data.view());
  require_refused("weights", {"9"}, [&] {
    add_attention_gradient(certificate, data.view(), scores, std::span<const double>(std::vector<double>(9)));
  });
  std::vector<double> bad(4, NAN);
  require_refused("weights", {"not finite"}, [&] {
    add_attention_gradient(certificate, data.view(), scores, std::span<const double>(bad));
  });
  // Scores of another batch, or spoilt ones, are not read beyond their ends.
  const auto refuse_scores = [&](const char* argument, auto spoil) {
    TokenScores other = scores;
    spoil(other);
    require_refused(argument, {"need"}, [&] {
      add_attention_gradient(certificate, data.view(), other, std::span<const double>(one));
    });
  };
  BatchView<double> smaller = data.view();
  smaller.n_samples = 1;
  refuse_scores("scores.optimal", [&](TokenScores& s) { s = score_tokens(smaller); });
  refuse_scores("scores.optimal_score", [](TokenScores& s) { s.optimal_score.pop_back(); });
  refuse_scores("scores.first", [](TokenScores& s) { s.first.pop_back(); });
  refuse_scores("scores.gaps", [](TokenScores& s) { s.gaps.pop_back(); });
  refuse_scores("scores.gap_power", [](TokenScores& s) { s.gap_power = {0}; });
  refuse_scores("scores", [](TokenScores& s) { s.optimal[1] = 3; });
  refuse_scores("scores", [](TokenScores& s) { s.first[1] = 2; });
  CHECK(certificate.size() == 0);
}
