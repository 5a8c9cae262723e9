#pragma once

// Models of batches and blocks on a lattice, whose scores and their changes are exact in the working type,
// and what is computed of them held against 520 digits.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "models/exact_hessian.h"
#include "softstep/attention_model.h"

namespace softstep::test {

template <class T>
using Numbers = std::vector<std::vector<T>>;

// Multiples of `step` up to 4 steps, so that products of four such numbers and their sums are exact in float.
template <class T>
std::vector<T> lattice(std::size_t size, double step, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<T> out;
  for (std::size_t k = 0; k < size; ++k)
    out.push_back(static_cast<T>(step * (static_cast<double>(random() % 9) - 4.0)));
  return out;
}

template <class T>
struct LatticeBatch {
  static constexpr std::size_t d = 4;
  std::vector<T> tokens, queries, decoder{T(0.5), T(-1), T(0.25), T(2)}, targets, weights;
  std::vector<std::int64_t> offsets{0, 4, 5, 11, 14};  // one sample of a single token
  std::vector<std::int8_t> labels{1, -1, -1, 1};
  BatchView<T> view;

  explicit LatticeBatch(std::uint64_t seed, bool ties = false)
      : tokens(lattice<T>(14 * d, 0.25, seed)), queries(lattice<T>(4 * d, 0.25, seed + 1)) {
    for (std::size_t k = 0; k < queries.size(); k += d) queries[k] = T(0.75);
    // Token scores 1/2 x_0 - x_1 + x_2 / 4 + 2 x_3 alike, other scores not.
    if (ties)
      for (const std::size_t row : {std::size_t{1}, std::size_t{6}, std::size_t{8}, std::size_t{12}})
        for (std::size_t j = 0; j < d; ++j)
          tokens[row * d + j] = tokens[(row - 1) * d + j] + (j == 0 ? T(0.5) : j == 1 ? T(0.25) : T(0));
    view.tokens = tokens.data();
    view.n_samples = 4;
    view.dim = d;
    view.offsets = offsets.data();
    view.labels = labels.data();
    view.decoder = decoder.data();
    view.queries = queries.data();
  }
  LatticeBatch(const LatticeBatch&) = delete;
  LatticeBatch& operator=(const LatticeBatch&) = delete;
  // m queries a sample, and their weights: numbers whose sums are exact.
  void use_queries(std::size_t m, std::vector<T> pool = {}) {
    queries = lattice<T>(4 * m * d, 0.25, 77);
    for (std::size_t k = 0; k < queries.size(); k += d) queries[k] = T(0.75);
    weights = std::move(pool);
    view.queries = queries.data();
    view.n_queries = m;
    view.query_weights = weights;
  }
  // Targets equal to the token score of each sample's first token: l' is exactly 0 where that one is chosen.
  void use_targets() {
    for (std::size_t i = 0; i < 4; ++i) {
      double score = 0.0;
      for (std::size_t j = 0; j < d; ++j) score += static_cast<double>(decoder[j] * view.sample(i)[j]);
      targets.push_back(static_cast<T>(score));
    }
    view.targets = targets.data();
  }
};

// e^(-m/2), an own loss.
class HalfExponential : public LossFunction {
 public:
  std::string name() const override { return "half_exponential"; }
  Scaled value(double m, double) const override { return {1.0, -0.5 * m}; }
  Scaled derivative(double m, double) const override { return {-0.5, -0.5 * m}; }
  Scaled second_derivative(double m, double) const override { return {0.25, -0.5 * m}; }
  bool is_decreasing() const override { return true; }
};
class NoSecondDerivative : public HalfExponential {
  Scaled second_derivative(double m, double y) const override {
    return LossFunction::second_derivative(m, y);
  }
};

struct LossCase {
  std::string name;
  Loss loss;
  std::shared_ptr<const LossFunction> own;
  ExactLoss exact;
};

inline std::vector<LossCase> loss_cases() {
  const auto e = [](const Exact& m) { return Exact(exp(Exact(-m))); };
  return {
      {"logistic",
       Loss::logistic,
       nullptr,
       {[=](const Exact& m, const Exact&) { return Exact(-e(m) / (1 + e(m))); },
        [=](const Exact& m, const Exact&) { return Exact(e(m) / ((1 + e(m)) * (1 + e(m)))); }}},
      {"exponential",
       Loss::exponential,
       nullptr,
       {[=](const Exact& m, const Exact&) { return Exact(-e(m)); },
        [=](const Exact& m, const Exact&) { return e(m); }}},
      {"squared",
       Loss::squared,
       nullptr,
       {[](const Exact& m, const Exact& y) { return Exact(m - y); },
        [](const Exact&, const Exact&) { return Exact(1); }}},
      {"own",
       Loss::logistic,
       std::make_shared<HalfExponential>(),
       {[=](const Exact& m, const Exact&) { return Exact(e(Exact(m / 2)) / -2); },
        [=](const Exact& m, const Exact&) { return Exact(e(Exact(m / 2)) / 4); }}},
  };
}

inline AttentionOptions options_of(KeyQuery key_query, bool joint, const LossCase& loss) {
  AttentionOptions options;
  options.key_query = key_query;
  options.rank = key_query == KeyQuery::factored ? 2 : 0;
  options.train_decoder = joint;
  options.loss = loss.loss;
  options.own_loss = loss.own;
  options.optimal_loss = OptimalLoss::zero;
  return options;
}

template <class T>
std::vector<ExactRow> exact_of(const Numbers<T>& blocks) {
  std::vector<ExactRow> out;
  for (const auto& block : blocks) out.emplace_back(block.begin(), block.end());
  return out;
}

template <class T>
std::vector<BlockGradient<T>> product_of(const Model<T>& model, const Numbers<T>& at,
                                         const Numbers<T>& direction, SampleSet samples = {}) {
  std::vector<BlockGradient<T>> out;
  const auto space = model.make_workspace();
  model.hessian_product(Point<T>(views_of(at)), Point<T>(views_of(direction)), out, *space, samples);
  return out;
}

template <class T>
Exact error_of(const BlockGradient<T>& computed, const ExactRow& exact) {
  const Exact unit = std::isinf(computed.exponent) ? Exact(0) : Exact(exp(Exact(computed.exponent)));
  ExactRow difference;
  for (std::size_t k = 0; k < exact.size(); ++k)
    difference.push_back(Exact(computed.mantissa()[k]) * unit - exact[k]);
  return norm_of(difference);
}

template <class T>
void check_block(const BlockGradient<T>& computed, const ExactProduct& exact) {
  REQUIRE(computed.mantissa().size() == exact.values.size());
  REQUIRE_FALSE(std::isnan(computed.norm));
  const Exact error = error_of(computed, exact.values);
  INFO("error / bound " << (exact.bound > 0 ? static_cast<double>(Exact(error / exact.bound)) : -1.0)
                        << ", log |exact| "
                        << static_cast<double>(Exact(log(Exact(norm_of(exact.values) + exp(Exact(-1e8)))))));
  REQUIRE(error <= exact.bound);
}

template <class T>
Numbers<T> blocks_of(const Model<T>& model, double step, std::uint64_t seed) {
  Numbers<T> out;
  for (const BlockShape& block : model.blocks())
    out.push_back(lattice<T>(
        block.size(), block.name == "weights" || block.name == "keys" || block.name == "prompt" ? step : 0.25,
        seed + out.size()));
  return out;
}

}  // namespace softstep::test
