// Training on samples with several queries: every rule, the forms that go with them, runs that go on, steps
// where everything is saturated, and the direction of their own max-margin problem.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::run;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TemporaryFile;

namespace {

template <class T>
BatchView<T> with_all_queries(const Dataset<T>& data) {
  BatchView<T> view = data.view();
  view.all_tokens_are_queries = true;
  view.validate();
  return view;
}

// More dimensions than queries, so that W can lead every query to its token.
template <class T>
Dataset<T> small(std::uint64_t seed, std::size_t n_tokens = 4, std::size_t dim = 60) {
  return convert<T>(signal_noise(seed, 5, n_tokens, dim));
}

}  // namespace

TEMPLATE_TEST_CASE("every rule takes steps on samples with several queries", "[trainer]", float, double) {
  for (const std::size_t n_tokens : {4, 9}) {
    const Dataset<TestType> data = small<TestType>(3, n_tokens, n_tokens * 18);
    const BatchView<TestType> batch = with_all_queries(data);
    for (const RuleInfo& info : step_rules())
      for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64}) {
        INFO(info.name);
        TrainerOptions options;
        options.master_weights = master;
        const auto ran = run(batch, info.name, 30, {}, {}, options);
        CHECK((ran.summary.status == TrainStatus::max_iterations ||
               ran.summary.status == TrainStatus::gap_not_positive));
        CHECK(ran.summary.form != Form::token_span);
        CHECK(ran.summary.last.weight_norm > 0.0);
        CHECK(std::isfinite(ran.summary.last.log10_gap));
        CHECK(ran.summary.last.log10_gap < ran.trace.front().log10_gap);
      }
  }
}

TEMPLATE_TEST_CASE("dense and query-span runs of several queries are one trajectory, token-span is refused",
                   "[trainer]", float, double) {
  for (const std::size_t dim : {60, 300}) {  // the second forms no gradient in a dense run
    const Dataset<TestType> data = small<TestType>(4, 4, dim);
    const BatchView<TestType> batch = with_all_queries(data);
    for (const char* rule : {"ngd", "polyak"}) {
      TrainerOptions options;
      options.form = Form::dense;
      const auto dense = run(batch, rule, 130, {}, {}, options);
      options.form = Form::query_span;
      const auto span = run(batch, rule, 130, {}, {}, options);
      REQUIRE(span.summary.form == Form::query_span);
      INFO(rule << ", dim " << dim << ": 1 - cos "
                << compare_direction(dense.state.blocks[0], span.state.blocks[0]).one_minus_cos);
      // Each step rounds by some (d + rows) u of its length, which the contraction of the run does not
      // enlarge.
      const double error = 130.0 * (static_cast<double>(dim) + 20.0) *
                           static_cast<double>(std::numeric_limits<TestType>::epsilon());
      CHECK(compare_direction(dense.state.blocks[0], span.state.blocks[0]).angle <= error);
    }
    TrainerOptions options;
    options.form = Form::token_span;
    try {
      run(batch, "ngd", 1, {}, {}, options);
      FAIL("taken");
    } catch (const InvalidArgument& error) {
      CHECK(error.argument() == "form");
      CHECK(std::string(error.what()).find("token-span") != std::string::npos);
    }
  }
}

TEMPLATE_TEST_CASE("a run of several queries goes on with its bits, and not with those of other queries",
                   "[trainer]", float, double) {
  const Dataset<TestType> data = small<TestType>(5);
  const BatchView<TestType> batch = with_all_queries(data);
  const TemporaryFile file("softstep-queries-state");
  AttentionModel<TestType> model(batch);
  for (const Form form : {Form::dense, Form::query_span})
    for (const std::size_t batch_size : {0, 2}) {
      if (batch_size != 0 && form != Form::dense) continue;
      TrainerOptions options;
      options.form = form;
      options.batch_size = batch_size;
      options.n_steps = 150;
      auto whole = initial_state(model), state = initial_state(model);
      train(model, whole, options);
      for (const int steps : {70, 80}) {
        options.n_steps = steps;
        train(model, state, options);
        save_state(file.path, model, state, options);
        state = load_state(file.path, model, options);
      }
      CHECK(same_bits(state.blocks[0], whole.blocks[0]));
      CHECK_THROWS_AS(load_state(file.path, AttentionModel<TestType>(data.view()), options), InvalidArgument);
      BatchView<TestType> weighted = batch;
      std::vector<TestType> weights(batch.total_queries(), TestType(0.25));
      weights[3] = TestType(0.5);
      weighted.query_weights = weights;
      CHECK_THROWS_AS(load_state(file.path, AttentionModel<TestType>(weighted), options), InvalidArgument);
    }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits with several queries", "[trainer]", float,
                   double) {
  const Dataset<TestType> data = convert<TestType>(signal_noise(6, 12, 20, 40));
  const BatchView<TestType> batch = with_all_queries(data);
  AttentionOptions options;
  const auto one = run(batch, "polyak", 12, {}, options);
  for (const int n_threads : {2, 3}) {
    options.n_threads = n_threads;
    const auto many = run(batch, "polyak", 12, {}, options);
    CHECK(many.summary.threads_used == n_threads);
    CHECK(same_bits(one.state.blocks[0], many.state.blocks[0]));
    CHECK(one.summary.last.log10_gap == many.summary.last.log10_gap);
  }
}

TEST_CASE("with all tokens as queries training tends to its own max-margin direction, gaps far below double",
          "[trainer]") {
  const Dataset<double> data = signal_noise(1, 5, 4, 30);
  const BatchView<double> batch = with_all_queries(data);
  const MaxMarginResult solved = solve_max_margin(batch), of_one = solve_max_margin(data.view());
  REQUIRE(solved.status == MaxMarginStatus::optimal);
  for (const char* rule : {"ngd", "polyak"}) {
    const auto ran = run(batch, rule, 10000, solved.weights);
    INFO(rule << ": 1 - cos " << ran.summary.last.one_minus_cos
              << " at |W| = " << ran.summary.last.weight_norm);
    REQUIRE(ran.summary.status == TrainStatus::max_iterations);
    // docs/mathematics.md, section 4.1: the angle is D / |W|, so that 1 - cos falls by 100 where |W| grows by
    // ten; a factor of two for what is of lower order.
    const TraceRecord& early = ran.before(1000);
    const double growth = ran.summary.last.weight_norm / early.weight_norm;
    CHECK(ran.summary.last.one_minus_cos <= 2.0 * early.one_minus_cos / (growth * growth));
    CHECK(ran.summary.last.log10_gap < -400.0);
    CHECK(ran.summary.last.log10_one_minus_optimal_attention < -400.0);
    // It is another direction than that of one query.
    CHECK(compare_direction(ran.state.blocks[0], of_one.weights).one_minus_cos >
          100.0 * ran.summary.last.one_minus_cos);
  }
}
