// Evaluation is const: several threads at once get what one gets, and nothing is allocated once all is set
// up.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "softstep/softstep.h"
#include "support/allocations.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T, class Check>
void for_each_model(const BatchView<T>& batch, const Check& check) {
  for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
    for (const bool train_decoder : {false, true}) {
      INFO("key_query " << static_cast<int>(key_query) << ", decoder trained " << train_decoder);
      AttentionOptions options;
      options.key_query = key_query;
      options.rank = key_query == KeyQuery::factored ? 2 : 0;
      options.train_decoder = train_decoder;
      options.optimal_loss = train_decoder ? OptimalLoss::zero : OptimalLoss::optimal;
      check(*make_attention_model<T>(batch, options));
    }
  INFO("linear");
  check(*make_linear_model<T>(batch));
  INFO("next token");
  check(*make_next_token_model<T>(next_token_example(3, 5, 4, 2, 1)));
  INFO("in-context regression");
  for (const InContextOptions& heads :
       {InContextOptions{HeadForm::merged, 2, 1, ""}, InContextOptions{HeadForm::separate, 2, 2, ""}})
    check(*make_in_context_model<T>({{1.0, 0.5, 0.25}, 3}, heads));
  INFO("gated linear attention");
  for (const ExampleWeights weights : {ExampleWeights::free, ExampleWeights::gated})
    check(*make_gated_model<T>({{1.0, 0.5}, {2, 3}, {0.5, 0.9}, 0.1}, {weights, {}, ""}));
  INFO("induction head");
  check(*make_induction_model<T>(induction_data(6, 7, 1.0, 1.0, 1)));
  INFO("several classes");
  check(*make_multiclass_model<T>(class_clouds(3, 5, 2, 0.1, 1)));
  for (const bool train_outer : {false, true}) {
    const std::vector<double> outer = train_outer ? std::vector<double>{} : std::vector<double>{1.0, -0.5};
    INFO("relu network, outer layer trained " << train_outer);
    ReluOptions network;
    network.n_neurons = 2;
    network.outer = outer;
    check(*make_relu_model<T>(batch, network));
    check(*make_relu_population_model<T>({2, {1.0, 0.5, -1.0, 0.0}, {0.5, 0.5}, {1, -1}, 0.5}, 2, outer));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("threads that evaluate one model at once get what one thread gets", "[models]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{4, 4, 4, 4}, 6, 0, true}, 5);
  for_each_model<T>(batch.view, [](const Model<T>& model) {
    std::vector<std::vector<std::vector<T>>> points;
    for (std::uint64_t seed = 0; seed < 4; ++seed)
      points.push_back(normal_state(model, 1.0, 10 * seed).blocks);
    std::vector<Evaluation<T>> alone(4), together(4);
    const auto work = [&](std::size_t k, std::vector<Evaluation<T>>& out, int times) {
      const auto space = model.make_workspace();
      for (int repeat = 0; repeat < times; ++repeat) model.evaluate(views_of(points[k]), out[k], *space);
    };
    for (std::size_t k = 0; k < 4; ++k) work(k, alone, 1);
    std::vector<std::thread> threads;
    for (std::size_t k = 0; k < 4; ++k) threads.emplace_back(work, k, std::ref(together), 30);
    for (std::thread& thread : threads) thread.join();
    for (std::size_t k = 0; k < 4; ++k) {
      REQUIRE(alone[k].loss == together[k].loss);
      REQUIRE(alone[k].loss_gap.log() == together[k].loss_gap.log());
      for (std::size_t b = 0; b < model.blocks().size(); ++b) {
        REQUIRE(alone[k].gradients[b].values == together[k].gradients[b].values);
        REQUIRE(alone[k].gradients[b].exponent == together[k].gradients[b].exponent);
      }
    }
  });
}

TEMPLATE_TEST_CASE("an evaluation allocates nothing after the first", "[models]", float, double) {
  if (!counts_allocations) SKIP("sanitizers have allocators of their own");
  using T = TestType;
  const TestBatch<T> batch({{4, 4, 4, 4}, 6, 0, true}, 5);
  const std::vector<std::size_t> some = {2, 0, 3};
  for_each_model<T>(batch.view, [&](const Model<T>& model) {
    const auto blocks = normal_state(model, 1.0, 3).blocks;
    const auto views = views_of(blocks);
    for (const bool all : {true, false}) {
      const bool whole = all || model.n_samples() < 4;
      const SampleSet samples = whole ? SampleSet{} : SampleSet{some};
      const auto space = model.make_workspace();
      Evaluation<T> out;
      const long start = n_allocations;
      model.evaluate(Point<T>(views), out, *space, want_all, samples);
      const long first = n_allocations;
      for (int repeat = 0; repeat < 3; ++repeat)
        model.evaluate(Point<T>(views), out, *space, want_all, samples);
      const long last = n_allocations;
      // The counter counts.
      REQUIRE(first > start);
      REQUIRE(last == first);
    }
  });
}

TEST_CASE("the flat objectives allocate nothing after the first call", "[models]") {
  if (!counts_allocations) SKIP("sanitizers have allocators of their own");
  const TestBatch<double> batch({{4, 4, 4, 4}, 6, 0, true}, 5);
  const AttentionModel<double> model(batch.view);
  const std::vector<double> at(flat_size(model), 0.25);
  std::vector<double> gradient(at.size());
  FlatSpace<double> space(model);
  log_gap(model, at, gradient, space);
  plain_loss(model, at, gradient, space);
  const long before = n_allocations;
  log_gap(model, at, gradient, space);
  plain_loss(model, at, gradient, space);
  const long after = n_allocations;
  REQUIRE(after == before);
}
