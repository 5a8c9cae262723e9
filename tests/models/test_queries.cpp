// Models of samples with several queries: the gradient and the Hessian-vector product of every block against
// 520 digits, equal and permuted queries, mini-batches, 16 bits, and what is refused.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <numeric>

#include "models/lattice_model.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/gradient_check.h"
#include "softstep/trainer.h"
#include "support/batches.h"
#include "support/temporary_file.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Weights of sum 1, of which a saturated sample at its label makes an exact zero; weights of another sum; the
// mean of more queries than are attended to one by one.
template <class T>
void use_queries(LatticeBatch<T>& batch, int kind) {
  if (kind == 0) batch.use_queries(3, {T(0.5), T(0.25), T(0.25)});
  if (kind == 1) batch.use_queries(2, {T(2), T(0.5), T(1), T(1), T(0.25), T(4), T(1), T(0.5)});
  if (kind == 2) batch.use_queries(16);
}

template <class T>
Numbers<T> normal_blocks(const Model<T>& model, double size) {
  Numbers<T> out;
  for (const BlockShape& block : model.blocks()) {
    const std::vector<double> x = normal_values(block.size(), size, 3 + out.size());
    out.emplace_back(x.begin(), x.end());
  }
  return out;
}

template <class T>
Evaluation<T> evaluated(const BatchView<T>& batch, const AttentionOptions& options, SampleSet samples = {}) {
  const auto model = make_attention_model(batch, options);
  Evaluation<T> out;
  model->evaluate(normal_blocks(*model, 1.0), out, want_all, samples);
  return out;
}

// Sums in another order: u times the number of terms and of roundings in each, of entries of the size of the
// norm; the scores are small.
template <class T>
void same_but_for_order(const Evaluation<T>& a, const Evaluation<T>& b, double n_terms) {
  const double tolerance = 64.0 * n_terms * unit_roundoff<T>;
  REQUIRE(std::fabs(a.loss - b.loss) <= tolerance * std::fabs(a.loss));
  REQUIRE(std::fabs(a.loss_gap.log() - b.loss_gap.log()) <= tolerance);
  REQUIRE(std::fabs(a.min_optimal_attention - b.min_optimal_attention) <= tolerance);
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (std::size_t k = 0; k < a.gradients.size(); ++k) {
    const double shift = std::exp(b.gradients[k].exponent - a.gradients[k].exponent);
    for (std::size_t e = 0; e < a.gradients[k].values.size(); ++e)
      REQUIRE(std::fabs(static_cast<double>(a.gradients[k].values[e]) -
                        shift * static_cast<double>(b.gradients[k].values[e])) <=
              tolerance * a.gradients[k].norm);
  }
}

std::vector<AttentionOptions> trained_blocks() {
  std::vector<AttentionOptions> out(4);
  out[1].key_query = out[3].key_query = KeyQuery::factored;
  out[1].rank = out[3].rank = 2;
  out[2].train_decoder = out[3].train_decoder = true;
  out[2].optimal_loss = out[3].optimal_loss = OptimalLoss::zero;
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("gradients and Hessian-vector products of several queries are those of 520 digits",
                   "[models]", float, double) {
  using T = TestType;
  const std::vector<std::size_t> all{0, 1, 2, 3}, some{2, 0};
  for (const int kind : {0, 1, 2})
    for (const LossCase& loss : loss_cases()) {
      LatticeBatch<T> batch(11, kind == 0);
      use_queries(batch, kind);
      if (loss.loss == Loss::squared) batch.use_targets();
      for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored})
        for (const bool joint : {false, true})
          for (const double step : {0x1p-3, 0x1p10}) {
            // 520 digits take their time: each at the size that tells most of it.
            if (kind == 2 && (step != 0x1p-3 || loss.name != "logistic")) continue;
            if (kind == 1 && step != (joint ? 0x1p-3 : 0x1p10)) continue;
            const AttentionOptions options = options_of(key_query, joint, loss);
            const auto model = make_attention_model(batch.view, options);
            auto at = blocks_of(*model, step, 5);
            if (joint) at.back() = batch.decoder;
            const auto direction = blocks_of(*model, 0.5, 50);
            const std::vector<std::size_t>& samples = joint ? some : all;
            INFO(loss.name << ", queries " << kind << ", blocks " << model->blocks()[0].name
                           << (joint ? " and u" : "") << ", step " << step);
            const SampleSet chosen = joint ? SampleSet{samples} : SampleSet{};
            const auto product = exact_hessian_product(batch.view, options, exact_of(at), exact_of(direction),
                                                       samples, loss.exact);
            const auto gradient = exact_hessian_product(batch.view, options, exact_of(at),
                                                        exact_of(direction), samples, loss.exact, true);
            const auto out = product_of<T>(*model, at, direction, chosen);
            Evaluation<T> evaluation;
            model->evaluate(at, evaluation, want_gradient, chosen);
            for (std::size_t k = 0; k < out.size(); ++k) {
              INFO(model->blocks()[k].name);
              check_block(out[k], product[k]);
              check_block(evaluation.gradients[k], gradient[k]);
            }
          }
    }
}

TEST_CASE("the gradient of several queries is the difference of the loss", "[models]") {
  for (const bool weights : {false, true})
    for (const std::size_t m : {3, 12})
      for (const AttentionOptions& options : trained_blocks()) {
        Layout layout{{5, 5, 5}, 4, 0, true};
        layout.n_queries = m;
        layout.weights = weights;
        const TestBatch<double> batch(layout, 61);
        const auto model = make_attention_model(batch.view, options);
        const GradientCheck check = check_gradient(*model, normal_blocks(*model, 0.7));
        INFO(check.report());
        REQUIRE(check.passed);
      }
}

TEMPLATE_TEST_CASE("a query that a sample has m times is one query", "[models]", float, double) {
  using T = TestType;
  for (const std::size_t m : {2, 5, 8, 70})
    for (const AttentionOptions& options : trained_blocks()) {
      const TestBatch<T> one({{5, 5, 5}, 4, 0, false, true}, 62);
      BatchView<T> many = one.view;
      std::vector<std::int64_t> index;
      for (const std::int64_t q : one.query_index) index.insert(index.end(), m, q);
      many.query_index = index.data();
      many.n_queries = m;
      INFO(m << " queries");
      same_but_for_order(evaluated(one.view, options), evaluated(many, options),
                         5.0 * static_cast<double>(m));
    }
}

TEMPLATE_TEST_CASE("one query of weight 1, however it is said, has the bits of one query", "[models]", float,
                   double) {
  using T = TestType;
  for (const AttentionOptions& options : trained_blocks()) {
    const TestBatch<T> one({{5, 2, 3}, 4, 0, false, true, true}, 63);
    BatchView<T> other = one.view;
    const std::vector<std::int64_t> offsets{0, 1, 2, 3};
    const std::vector<T> ones(3, T(1)), shared(1, T(1));
    other.query_offsets = offsets;
    for (const std::vector<T>& weights : {std::vector<T>{}, ones}) {
      other.query_weights = weights;
      const auto a = evaluated(one.view, options), b = evaluated(other, options);
      REQUIRE(a.loss == b.loss);
      REQUIRE(a.loss_gap.mantissa == b.loss_gap.mantissa);
      for (std::size_t k = 0; k < a.gradients.size(); ++k)
        REQUIRE(std::memcmp(a.gradients[k].values.data(), b.gradients[k].values.data(),
                            a.gradients[k].values.size() * sizeof(T)) == 0);
      REQUIRE(make_attention_model(one.view, options)->identity() ==
              make_attention_model(other, options)->identity());
    }
  }
}

TEMPLATE_TEST_CASE("the order of queries, with their weights, changes nothing but rounding", "[models]",
                   float, double) {
  using T = TestType;
  for (const std::size_t m : {3, 11}) {
    Layout layout{{5, 5, 5}, 4, 0, false, true};
    layout.n_queries = m;
    layout.weights = true;
    const TestBatch<T> batch(layout, 64);
    BatchView<T> other = batch.view;
    std::vector<std::int64_t> index = batch.query_index;
    std::vector<T> weights = batch.query_weights;
    for (std::size_t i = 0; i < 3; ++i) {
      std::reverse(index.begin() + static_cast<std::ptrdiff_t>(i * m),
                   index.begin() + static_cast<std::ptrdiff_t>((i + 1) * m));
      std::reverse(weights.begin() + static_cast<std::ptrdiff_t>(i * m),
                   weights.begin() + static_cast<std::ptrdiff_t>((i + 1) * m));
    }
    other.query_index = index.data();
    other.query_weights = weights;
    for (const AttentionOptions& options : trained_blocks())
      same_but_for_order(evaluated(batch.view, options), evaluated(other, options),
                         5.0 * static_cast<double>(m));
    // Another state's data are refused by the digest.
    REQUIRE(make_attention_model(batch.view)->identity() != make_attention_model(other)->identity());
    other.query_index = batch.view.query_index;
    REQUIRE(make_attention_model(batch.view)->identity() != make_attention_model(other)->identity());
  }
}

TEMPLATE_TEST_CASE("a mini-batch of samples with several queries is a batch of its own", "[models]", float,
                   double) {
  using T = TestType;
  Layout layout{{4, 6, 3, 5}, 4, 0, false, false, true};
  layout.all_queries = true;
  const TestBatch<T> batch(layout, 65);
  const std::vector<std::size_t> chosen{2, 3};
  BatchView<T> rest = batch.view;  // the last two, which lie together
  rest.n_samples = 2;
  rest.offsets += 2;
  rest.labels += 2;
  for (const AttentionOptions& options : trained_blocks()) {
    const auto a = evaluated(batch.view, options, SampleSet{chosen}), b = evaluated(rest, options);
    REQUIRE(a.loss == b.loss);
    for (std::size_t k = 0; k < a.gradients.size(); ++k)
      REQUIRE(a.gradients[k].values == b.gradients[k].values);
  }
  // Samples more than once, with more queries together than there is room for.
  const std::vector<std::size_t> repeated{1, 1, 1, 1};
  REQUIRE_THROWS_AS(evaluated(batch.view, {}, SampleSet{repeated}), InvalidArgument);
}

TEST_CASE("several queries of tokens in 16 bits have the bits of a copy in 16 bits", "[models]") {
  for (const std::size_t n_tokens : {3, 9})
    for (const StoredType storage : {StoredType::f16, StoredType::bf16}) {
      const TemporaryFile file("softstep-queries-halves");
      GeneratorOptions wanted;
      wanted.n_samples = 3;
      wanted.n_tokens = n_tokens;
      wanted.dim = 4;
      save_dataset(file.path, convert<float>(generate(wanted)), storage);
      const HalfDataset halves = load_half_dataset(file.path);
      const Dataset<float> same = load_dataset<float>(file.path);
      HalfBatchView view = halves.view();
      BatchView<float> batch = same.view();
      view.rest.all_tokens_are_queries = batch.all_tokens_are_queries = true;
      view.validate();
      AttentionOptions options;
      options.token_storage = storage;
      const AttentionModel<float> stored(view), copied(batch, options), working(batch);
      const auto at = normal_blocks<float>(stored, 1.0);
      std::vector<Evaluation<float>> out(3);
      std::size_t k = 0;
      for (const AttentionModel<float>* model : {&stored, &copied, &working}) {
        const auto space = model->make_workspace();
        model->evaluate(Point<float>(views_of(at)), out[k++], *space);
      }
      REQUIRE(out[0].gradients[0].values == out[1].gradients[0].values);
      // The tokens are what 16 bits hold.
      same_but_for_order(out[0], out[2], 3.0 * static_cast<double>(n_tokens));
    }
}

TEST_CASE("attention of several queries is their mean by weight", "[models]") {
  Layout layout{{5, 2, 3}, 4, 0, false, false, true};
  layout.all_queries = true;
  layout.weights = true;
  const TestBatch<double> batch(layout, 67);
  const AttentionModel<double> model(batch.view);
  const auto at = normal_blocks<double>(model, 1.0);
  const std::vector<double> pooled = model.attention(std::span<const double>(at[0]));
  std::vector<double> sum(pooled.size(), 0.0);
  for (std::size_t q = 0; q < 5; ++q) {  // the q-th query of those samples that have one
    BatchView<double> one = batch.view;
    std::vector<std::int64_t> index;
    for (std::size_t i = 0; i < 3; ++i)
      index.push_back(static_cast<std::int64_t>(std::min(q, batch.view.tokens_of(i) - 1)));
    one.all_tokens_are_queries = false;
    one.query_weights = {};
    one.query_index = index.data();
    const std::vector<double> of_one = AttentionModel<double>(one).attention(std::span<const double>(at[0]));
    std::size_t k = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      double total = 0.0;
      for (std::size_t r = 0; r < batch.view.queries_of(i); ++r) total += batch.view.query_weight(i, r);
      for (std::size_t t = 0; t < batch.view.tokens_of(i); ++t, ++k)
        if (q < batch.view.queries_of(i)) sum[k] += batch.view.query_weight(i, q) / total * of_one[k];
    }
  }
  // Five terms, each rounded thrice.
  for (std::size_t k = 0; k < sum.size(); ++k) REQUIRE(std::fabs(sum[k] - pooled[k]) <= 20.0 * 0x1p-53);
}

TEST_CASE("a prompt goes with one query a sample", "[models]") {
  Layout layout;
  layout.all_queries = true;
  const TestBatch<double> batch(layout, 68);
  AttentionOptions options;
  options.key_query = KeyQuery::prompt;
  try {
    make_attention_model(batch.view, options);
    FAIL("taken");
  } catch (const InvalidArgument& error) {
    REQUIRE(error.argument() == "key_query");
  }
}
