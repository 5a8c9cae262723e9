// The attention layer with diagonal K and Q: loss, gap and gradients against 520 digits at W = diag(k q),
// from small to saturated attention, runs put down and taken up, its certificate, and bad input.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "data/refused.h"
#include "models/exact_model.h"
#include "models/model_runs.h"
#include "softstep/diagonal_attention.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// q_j are powers of two with signs, so that k q is a number of T.
template <class T>
Blocks<T> blocks_of(std::size_t d, double norm, std::uint64_t seed) {
  Blocks<T> out(2);
  const std::vector<double> normal = normal_values(d, norm / std::sqrt(static_cast<double>(d)), seed);
  for (std::size_t j = 0; j < d; ++j) {
    const T q = std::ldexp(j % 3 == 0 ? T(-1) : T(1), static_cast<int>(j % 5) - 2);
    out[0].push_back(static_cast<T>(normal[j]) / q);
    out[1].push_back(q);
  }
  return out;
}

template <class T>
void check(const BatchView<T>& batch, const DiagonalAttentionOptions& options, const Blocks<T>& factors) {
  const std::size_t d = batch.dim;
  std::vector<T> w(d), matrix(d * d, T(0));
  for (std::size_t j = 0; j < d; ++j) matrix[j * d + j] = w[j] = factors[0][j] * factors[1][j];
  const bool is_factored = options.form == DiagonalForm::factored;
  AttentionOptions whole;
  whole.loss = options.loss;
  std::vector<std::size_t> samples(batch.n_samples);
  std::iota(samples.begin(), samples.end(), std::size_t{0});
  // At most as many roundings as x^T W z has: one of x z, one of w, then a sum of d products.
  const ExactModel<T> exact(batch, whole, {matrix}, samples);
  const auto model = make_diagonal_attention_model<T>(batch, options);
  Evaluation<T> out;
  model->evaluate(is_factored ? factors : Blocks<T>{w}, out);
  const auto inside = [](Scaled found, const Gap& wanted) {
    const Exact value = Exact(found.mantissa) * exp(Exact(found.exponent));
    REQUIRE(abs(Exact(value - wanted.value)) <= wanted.bound);
  };
  inside(out.loss_gap, exact_gap(exact.problem, exact.values, exact.margin_errors, options.loss,
                                 OptimalLoss::optimal, 0.0));
  inside(out.loss_scaled,
         exact_gap(exact.problem, exact.values, exact.margin_errors, options.loss, OptimalLoss::zero, 0.0));
  const ExactBlock& wanted = exact.blocks[0];
  REQUIRE(out.gradients.size() == model->blocks().size());
  for (std::size_t b = 0; b < out.gradients.size(); ++b) {
    const BlockGradient<T>& gradient = out.gradients[b];
    Exact error(0), norm(0);
    double largest = 1.0;
    for (std::size_t j = 0; j < d; ++j) {
      const T other = is_factored ? factors[1 - b][j] : T(1);
      if (is_factored) largest = std::max(largest, std::fabs(static_cast<double>(other)));
      const Exact entry = Exact(other) * wanted.gradient[j * d + j];
      const Exact found = Exact(gradient.mantissa()[j]) * exp(Exact(gradient.exponent));
      error += (found - entry) * (found - entry);
      norm += entry * entry;
    }
    // Relative to the whole gradient by W, of which this is the diagonal; then its own rounding to T and that
    // of the exponent.
    const double rounding = static_cast<double>(std::numeric_limits<T>::epsilon()) +
                            0x1p-53 * (4.0 + 2.0 * std::fabs(gradient.exponent));
    const Exact bound =
        Exact(1.01 * (wanted.bound.direction + wanted.bound.exponent) * largest) * wanted.norm;
    INFO("block " << b << " exponent " << gradient.exponent << " error / bound "
                  << static_cast<double>(Exact(sqrt(error) / bound)));
    REQUIRE(sqrt(error) <= bound + Exact(rounding) * sqrt(norm));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("diagonal keys and queries have their digits from small to saturated scores", "[models]",
                   float, double) {
  using T = TestType;
  Layout plain{{4, 4, 4}, 5}, ragged{{2, 5, 3, 4}, 7};
  ragged.ragged = ragged.separate_queries = true;
  ragged.pad = 2;
  for (const Layout& layout : {plain, ragged})
    for (const double scale : {1.0, 1e-3}) {
      const TestBatch<T> batch(layout, 3, scale);
      for (const DiagonalForm form : {DiagonalForm::factored, DiagonalForm::combined})
        for (const Loss loss : {Loss::logistic, Loss::exponential})
          for (const double norm : {1e-3, 1.0, 100.0, 3000.0}) {
            CAPTURE(to_string(form), to_string(loss), norm, scale);
            DiagonalAttentionOptions options;
            options.form = form;
            options.loss = loss;
            check(batch.view, options, blocks_of<T>(layout.dim, norm / scale / scale, 1));
          }
    }
}

TEST_CASE("a run of diagonal K and Q goes to gradients of 1e-400 and keeps their digits", "[models]") {
  GeneratorOptions generator;
  generator.n_samples = 3;
  generator.n_tokens = 4;
  generator.dim = 8;
  const Dataset<double> data = generate(generator);
  const auto model = make_diagonal_attention_model<double>(data.view());
  auto state = normal_state(*model, 0.3, 1);
  auto options = model_options("ngd:step-size=0.3", 1500);
  options.normalization = Normalization::joint;
  train(*model, state, options);
  Evaluation<double> out;
  model->evaluate(state.blocks, out);
  INFO(out.gradients[0].norm_scaled().log10());
  REQUIRE(out.gradients[0].norm_scaled().log10() < -400.0);
  REQUIRE(out.gradients[1].norm_scaled().log10() < -400.0);
  // The same gradient by W of the layer whose matrix is diag(k q).
  const std::vector<double> w = observe(*model, state, 0);
  std::vector<double> matrix(64, 0.0);
  double largest = 0.0;
  for (std::size_t j = 0; j < 8; ++j) matrix[9 * j] = w[j];
  AttentionModel<double> whole(data.view());
  Evaluation<double> by_matrix;
  whole.evaluate(std::span<const double>(matrix), by_matrix);
  for (std::size_t j = 0; j < 8; ++j) {
    const double shift = std::exp(by_matrix.gradients[0].exponent - out.gradients[0].exponent);
    const double wanted = state.blocks[1][j] * by_matrix.gradients[0].values[9 * j] * shift;
    largest = std::fmax(largest, std::fabs(wanted - out.gradients[0].values[j]));
  }
  // Scores of the order of 1000, each right to some rounding units, on both sides.
  REQUIRE(largest <= 1e3 * 100.0 * 0x1p-53 * out.gradients[0].norm);
  REQUIRE(check_gradient(*model, normal_state(*model, 1.0, 2).blocks).passed);
}

TEST_CASE("the average of a certificate bounds margins of diagonal W by its diagonal", "[models]") {
  GeneratorOptions generator;
  generator.n_samples = 3;
  generator.n_tokens = 4;
  generator.dim = 8;
  const Dataset<double> data = generate(generator);
  const TokenScores scores = score_tokens(data.view());
  MarginCertificate whole(8, 8), diagonal(8, 1);
  REQUIRE(whole.average() == std::vector<double>(64, 0.0));
  std::vector<double> w(64, 0.0);
  for (const double size : {1.0, 3.0}) {
    for (std::size_t j = 0; j < 8; ++j) w[9 * j] = size * (j % 2 == 0 ? 1.0 : -0.5);
    REQUIRE(add_attention_gradient(whole, data.view(), scores, std::span<const double>(w)));
  }
  const std::vector<double> average = whole.average();
  REQUIRE(std::fabs(dual_norm(average, 8, 8, MatrixNorm::frobenius) - whole.bound(MatrixNorm::frobenius)) <=
          1e-15);
  std::vector<double> parts;
  for (std::size_t j = 0; j < 8; ++j) parts.push_back(average[9 * j]);
  diagonal.add(parts, 1.0);
  const double bound = diagonal.bound(MatrixNorm::l_p, 1.0);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<double> normal = normal_values(8, 1.0, seed);
    for (std::size_t j = 0; j < 8; ++j) w[9 * j] = normal[j];
    REQUIRE(margin_in_norm(data.view(), scores, std::span<const double>(w), MatrixNorm::l_p, 1.0) <= bound);
  }
}

TEMPLATE_TEST_CASE("a run of diagonal K and Q put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  const Layout layout{{4, 4, 4}, 5};
  const TestBatch<T> batch(layout, 1), other(layout, 2);
  for (const DiagonalForm form : {DiagonalForm::factored, DiagonalForm::combined}) {
    DiagonalAttentionOptions options;
    options.form = form;
    const auto model = make_diagonal_attention_model<T>(batch.view, options);
    const auto another = make_diagonal_attention_model<T>(other.view, options);
    check_put_down_and_taken_up(*model, *another, normal_state(*model, 0.5, 7),
                                {"gd", "ngd", "polyak", "adam"});
  }
}

TEMPLATE_TEST_CASE("small tokens keep their gradient under diagonal K and Q, or are refused", "[models]",
                   float, double) {
  using T = TestType;
  // Tokens and w times powers of two that leave the scores as they are, and the decoder such that it leaves
  // the tokens' scores as they are: the gradient is multiplied by a power of two.
  const int exponents = std::numeric_limits<T>::max_exponent;
  const TestBatch<T> plain({{4, 4, 4}, 5}, 5);
  DiagonalAttentionOptions options;
  options.form = DiagonalForm::combined;
  const auto evaluate = [&](int power) {
    std::vector<T> tokens = plain.tokens, decoder = plain.decoder;
    Blocks<T> at = {{T(0.5), T(-1), T(2), T(1), T(-0.25)}};
    for (T& x : tokens) x = std::ldexp(x, power);
    for (T& x : decoder) x = std::ldexp(x, -power);
    for (T& x : at[0]) x = std::ldexp(x, -2 * power);
    BatchView<T> batch = plain.view;
    batch.tokens = tokens.data();
    batch.decoder = decoder.data();
    const auto model = make_diagonal_attention_model<T>(batch, options);
    Evaluation<T> out;
    model->evaluate(at, out);
    return out.gradients[0].norm_scaled();
  };
  const Scaled one = evaluate(0);
  // Exponents of some hundreds, rounded a few times.
  for (const int power : {exponents * 3 / 8, -exponents * 3 / 8})
    CHECK(std::fabs((evaluate(power) / one).log() - 2 * power * std::log(2.0)) <= 1e-12);
  for (const int power : {-exponents * 9 / 16, -exponents * 3 / 4})
    require_refused("tokens", {"products of tokens and queries underflow"}, [&] { evaluate(power); });
}

TEST_CASE("a large decoder and small queries fit into one model of diagonal K and Q", "[models]") {
  Layout layout;
  layout.separate_queries = true;
  TestBatch<float> data(layout, 6);
  for (float& x : data.tokens) x = std::ldexp(x, -40);
  for (float& x : data.queries) x = std::ldexp(x, -60);
  for (float& x : data.decoder) x = std::ldexp(x, 72);
  REQUIRE_NOTHROW(make_diagonal_attention_model<float>(data.view));
}

TEST_CASE("what diagonal K and Q cannot be made of is refused by name", "[models]") {
  const TestBatch<double> good({{4, 4, 4}, 5}, 1);
  const auto refuse = [&](const char* argument, const char* word, auto change) {
    BatchView<double> batch = good.view;
    DiagonalAttentionOptions options;
    change(batch, options);
    require_refused(argument, {word}, [&] { make_diagonal_attention_model<double>(batch, options); });
  };
  using Batch = BatchView<double>;
  using Options = DiagonalAttentionOptions;
  refuse("batch", "several queries", [](Batch& batch, Options&) { batch.all_tokens_are_queries = true; });
  refuse("decoder", "missing", [](Batch& batch, Options&) { batch.decoder = nullptr; });
  refuse("optimal_loss_value", "nan", [](Batch&, Options& options) { options.optimal_loss_value = NAN; });
  refuse("n_threads", "-1", [](Batch&, Options& options) { options.n_threads = -1; });
  std::vector<double> tokens = good.tokens;
  tokens[0] = 1e200;
  refuse("tokens", "sample 0: the product of a token and its query is not finite",
         [&](Batch& batch, Options&) { batch.tokens = tokens.data(); });
  const auto model = make_diagonal_attention_model<double>(good.view);
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>(2, std::vector<double>(5, NAN)), out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}
