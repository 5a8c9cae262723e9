// Loss, gap and every block's gradient of every attention model against 520 digits, on every instruction set,
// in float and double, with one and two threads, over all samples and over some.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "models/exact_model.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
void check_against(const BatchView<T>& batch, AttentionOptions options, const Blocks<T>& at,
                   const std::vector<std::size_t>& samples) {
  const ExactModel<T> exact(batch, options, at, samples);
  const bool is_all = samples.size() == batch.n_samples;
  const Gap gap =
      exact_gap(exact.problem, exact.values, exact.margin_errors, options.loss, options.optimal_loss, 0.0);
  const Gap loss =
      exact_gap(exact.problem, exact.values, exact.margin_errors, options.loss, OptimalLoss::zero, 0.0);
  const auto inside = [&](Scaled computed, const Gap& wanted) {
    const Exact value = Exact(computed.mantissa) * exp(Exact(computed.exponent));
    INFO("error / bound " << static_cast<double>(Exact(abs(Exact(value - wanted.value)) / wanted.bound)));
    REQUIRE(isfinite(value));
    REQUIRE(abs(Exact(value - wanted.value)) <= wanted.bound);
  };
  for_each_isa([&](const simd::Isa& isa) {
    Evaluation<T> first;
    for (const int n_threads : {1, 2}) {
      options.isa = isa.name;
      options.n_threads = n_threads;
      INFO(isa.name << ", " << n_threads << " threads, " << to_string(options.loss));
      const auto model = make_attention_model(batch, options);
      Evaluation<T> out;
      // Nothing may stay behind of other samples, those of a run's measurements or its last mini-batch.
      const std::size_t last = batch.n_samples - 1;
      model->evaluate(at, out, want_all, is_all ? SampleSet{{&last, 1}} : SampleSet{});
      model->evaluate(at, out, want_all, is_all ? SampleSet{} : SampleSet{samples});
      inside(out.loss_gap, gap);
      inside(out.loss_scaled, loss);
      if (loss.value < Exact(1e300) && loss.value > Exact(1e-300)) inside({out.loss, 0.0}, loss);
      REQUIRE(out.gradients.size() == exact.blocks.size());
      for (std::size_t k = 0; k < exact.blocks.size(); ++k) {
        const BlockGradient<T>& gradient = out.gradients[k];
        const ExactBlock& wanted = exact.blocks[k];
        INFO("block " << model->blocks()[k].name);
        REQUIRE(gradient.values.size() == model->blocks()[k].size());
        if (wanted.norm == 0) {
          REQUIRE(gradient.norm == 0.0);
          REQUIRE(gradient.exponent == -INFINITY);
          continue;
        }
        const double direction = direction_error(gradient.values, wanted.gradient);
        const Exact log_norm = Exact(gradient.exponent) + log(Exact(gradient.norm));
        const double length = static_cast<double>(abs(Exact(log_norm - log(wanted.norm))));
        INFO("direction " << direction << " of " << wanted.bound.direction << ", log norm " << length
                          << " of " << wanted.bound.exponent);
        REQUIRE(direction <= wanted.bound.direction);
        REQUIRE(length <= wanted.bound.exponent);
        if (n_threads == 2)
          REQUIRE(std::memcmp(first.gradients[k].values.data(), gradient.values.data(),
                              gradient.values.size() * sizeof(T)) == 0);
      }
      if (n_threads == 1) first = out;
    }
  });
}

template <class T>
std::vector<T> random_values(std::size_t size, double norm, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<double> x;
  double length = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    x.push_back(uniform(random));
    length = std::hypot(length, x.back());
  }
  std::vector<T> out;
  for (const double value : x) out.push_back(static_cast<T>(value / length * norm));
  return out;
}

// Blocks with |W| near `norm`. Factored: W = (W Q) Q^T for random Q of unit columns, whatever the rank.
template <class T>
Blocks<T> blocks_toward(const BatchView<T>& batch, const AttentionOptions& options, Toward toward,
                        double norm, const std::vector<T>& decoder) {
  const std::size_t d = batch.dim, r = options.rank;
  const std::vector<T> w = weights_toward(batch, toward, norm);
  Blocks<T> out;
  if (options.key_query == KeyQuery::combined) out.push_back(w);
  if (options.key_query == KeyQuery::prompt) out.push_back({w.begin(), w.begin() + static_cast<long>(d)});
  if (options.key_query == KeyQuery::factored) {
    out.resize(2);
    out[1] = random_values<T>(d * r, std::sqrt(static_cast<double>(r)), 11);
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t k = 0; k < r; ++k) {
        double sum = 0.0;
        for (std::size_t j = 0; j < d; ++j)
          sum += static_cast<double>(w[i * d + j]) * static_cast<double>(out[1][j * r + k]);
        out[0].push_back(static_cast<T>(sum));
      }
  }
  if (options.train_decoder) out.push_back(decoder);
  return out;
}

std::vector<std::size_t> all_of(std::size_t n) {
  std::vector<std::size_t> out(n);
  std::iota(out.begin(), out.end(), std::size_t{0});
  return out;
}

std::vector<AttentionOptions> kinds(std::size_t rank) {
  std::vector<AttentionOptions> out;
  for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
    for (const bool train_decoder : {false, true}) {
      AttentionOptions options;
      options.key_query = key_query;
      options.rank = key_query == KeyQuery::factored ? rank : 0;
      options.train_decoder = train_decoder;
      options.optimal_loss = train_decoder ? OptimalLoss::zero : OptimalLoss::optimal;
      out.push_back(options);
    }
  return out;
}

// At every norm of W; decoders of norm `decoder_norm`.
template <class T>
void check_layout(const Layout& layout, std::uint64_t seed, const std::vector<double>& norms,
                  double decoder_norm, std::size_t rank, std::vector<std::size_t> samples = {}) {
  const TestBatch<T> batch(layout, seed);
  if (samples.empty()) samples = all_of(layout.n_tokens.size());
  const auto decoder = random_values<T>(layout.dim, decoder_norm, seed + 100);
  for (AttentionOptions options : kinds(rank))
    for (const Loss loss : {Loss::logistic, Loss::exponential})
      for (const double norm : norms)
        for (const Toward toward : {Toward::optimal, Toward::other}) {
          INFO("kind " << static_cast<int>(options.key_query) << (options.train_decoder ? " joint" : "")
                       << " |W| = " << norm << " toward " << static_cast<int>(toward)
                       << " |u| = " << decoder_norm << " " << to_string(loss));
          options.loss = loss;
          BatchView<T> scored = batch.view;
          if (options.train_decoder) scored.decoder = decoder.data();
          const Blocks<T> at = blocks_toward(scored, options, toward, norm, decoder);
          BatchView<T> given = batch.view;
          if (options.train_decoder) given.decoder = nullptr;
          check_against(given, options, at, samples);
        }
}

}  // namespace

TEMPLATE_TEST_CASE("every attention model has its loss, gap and gradients from |W| = 1e-3 to 1e6", "[models]",
                   float, double) {
  check_layout<TestType>({{4, 4, 4}, 5}, 1, {1e-3, 30.0, 1e6}, 2.0, 3);
}

TEMPLATE_TEST_CASE("joint models are right where the slope of the loss underflows", "[models]", float,
                   double) {
  check_layout<TestType>({{3, 3}, 4}, 2, {1.0, 1e4}, 1e3, 2);
}

TEMPLATE_TEST_CASE("models are right on ragged batches, with other queries, and on some samples", "[models]",
                   float, double) {
  check_layout<TestType>({{1, 5, 2, 3}, 4, 2, false, true, true}, 3, {20.0}, 3.0, 4);
  check_layout<TestType>({{3, 3, 3, 3}, 5, 3, true}, 4, {50.0}, 1.0, 1, {3, 1});
  check_layout<TestType>({{4, 1, 3, 2}, 3, 0, true, false, true}, 5, {50.0}, 30.0, 2, {2, 0, 3});
}

TEMPLATE_TEST_CASE("a sample that drops out of one factor's gradient does not hide the others", "[models]",
                   float, double) {
  // d = 3, rank 1. The first sample's query is orthogonal to Q: its scores are all zero and its row is the
  // largest by far, but it is not in dL/dK. The second is saturated.
  using T = TestType;
  TestBatch<T> batch({{3, 3}, 3, 0, true}, 12);
  batch.queries = {T(0), T(1), T(0), T(1), T(0), T(0)};
  AttentionOptions options;
  options.key_query = KeyQuery::factored;
  options.rank = 1;
  for (const double norm : {10.0, 1e3, 1e6}) {
    const std::vector<T> direction = random_values<T>(3, norm, 13);
    INFO("|K| = " << norm);
    check_against(batch.view, options, {direction, {T(1), T(0), T(0)}}, {0, 1});
    // The other way round: K of one coordinate that the first sample's tokens do not differ in, so K^T g = 0.
    TestBatch<T> other({{3, 3}, 3, 0, true}, 12);
    for (std::size_t t = 0; t < 3; ++t) other.tokens[3 * t] = T(0);
    check_against(other.view, options, {{static_cast<T>(norm), T(0), T(0)}, random_values<T>(3, 1.0, 14)},
                  {0, 1});
  }
}

TEMPLATE_TEST_CASE("attention models are right at more norms and sizes", "[models][long]", float, double) {
  check_layout<TestType>({{4, 4, 4}, 5}, 6, {0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5}, 1.0, 5);
  check_layout<TestType>({{4, 4, 4}, 5}, 7, {1e-3, 1.0, 1e2, 1e6}, 1e3, 2);
  check_layout<TestType>({{1, 9, 17, 5}, 16, 1, false, true, true}, 8, {1.0, 1e3}, 10.0, 7);
  check_layout<TestType>({{9, 9, 9, 9, 9}, 33}, 9, {1e2}, 1.0, 12, {4, 0, 2});
}
