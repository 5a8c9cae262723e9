// Many runs side by side, one to a lane: each goes where train() takes it, ends as there, and has the same
// bits whatever runs are beside it.

#include <algorithm>
#include <atomic>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>

#include "support/allocations.h"
#include "support/batches.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"
#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::for_each_isa;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TestBatch;

namespace {

// A run and all that it looks at.
template <class T>
struct Prepared {
  Dataset<T> data;
  std::unique_ptr<AttentionModel<T>> model;
  TrainerOptions options;
  std::vector<std::vector<double>> start;  // blocks; none: zeros
  TrainState<T> state;
  std::vector<TraceRecord> trace;
  TrainSummary summary;

  Prepared(Dataset<T> of, const std::string& rule, std::int64_t n_steps, const AttentionOptions& how = {})
      : data(std::move(of)), model(make_attention_model(data.view(), how)) {
    options.rules = {parse_rule(rule)};
    options.n_steps = n_steps;
    options.trace = [this](const TraceRecord& row) {
      trace.push_back(row);
      return true;
    };
    reset();
  }
  void reset() {
    state = initial_state(*model, start, options.master_weights);
    trace.clear();
    summary = {};
  }
  ManyRun<T> run() { return {model.get(), &state, &options}; }
};

template <class T>
using Runs = std::vector<std::unique_ptr<Prepared<T>>>;

template <class T>
void run_many(const std::vector<Prepared<T>*>& runs, int n_threads = 1) {
  std::vector<ManyRun<T>> many;
  for (Prepared<T>* run : runs) many.push_back(run->run());
  const std::vector<TrainSummary> summaries = train_many<T>(many, n_threads);
  REQUIRE(summaries.size() == runs.size());
  for (std::size_t k = 0; k < runs.size(); ++k) runs[k]->summary = summaries[k];
}
template <class T>
std::vector<Prepared<T>*> all_of(const Runs<T>& runs) {
  std::vector<Prepared<T>*> out;
  for (const auto& run : runs) out.push_back(run.get());
  return out;
}

const char* const rules[] = {"ngd:step-size=1",
                             "gd:step-size=20",
                             "polyak",
                             "adam:step-size=0.05",
                             "ngd:schedule-power=0.5",
                             "sps_plus",
                             "momentum",
                             "alig",
                             "sign:schedule-power=0.5",
                             "decsps",
                             "polyak:cap=10",
                             "adam:beta1=0.5,beta2=0.9,eps=1e-8,schedule-power=0.5",
                             "momentum:step-size=0.1"};

// Runs that end at different steps, with data, starts, rules and L* of their own.
template <class T>
Runs<T> mixed_runs(std::size_t count, const AttentionOptions& how = {}) {
  Runs<T> out;
  for (std::size_t k = 0; k < count; ++k) {
    AttentionOptions own = how;
    own.loss = Loss::logistic;
    if (k % 3 == 1) {
      own.optimal_loss = OptimalLoss::value;
      own.optimal_loss_value = 0.01;
    } else if (k % 3 == 2) {
      own.optimal_loss = k % 2 == 0 ? OptimalLoss::zero : OptimalLoss::selected;
    }
    auto& run = out.emplace_back(
        std::make_unique<Prepared<T>>(convert<T>(signal_noise(k / 2, 6, 8, 10)), rules[k % std::size(rules)],
                                      static_cast<std::int64_t>(20 + 37 * (k % 5)), own));
    if (k % 4 == 3) {
      run->start = {normal_weights(10, 0.1, k)};
      run->reset();
    }
  }
  return out;
}

bool same_memory(const RuleState& a, const RuleState& b) {
  return a.values.size() == b.values.size() &&
         std::all_of(a.values.begin(), a.values.end(), [&](const auto& entry) {
           const auto found = b.values.find(entry.first);
           return found != b.values.end() && same_bits(entry.second, found->second);
         });
}
template <class T>
bool same_numbers(const TrainState<T>& a, const TrainState<T>& b) {
  return a.step == b.step && same_bits(a.blocks[0], b.blocks[0]) && same_bits(a.span.base, b.span.base) &&
         same_bits(a.remainders[0], b.remainders[0]) && same_memory(a.rule_states[0], b.rule_states[0]) &&
         same_bits(a.span.coefficients, b.span.coefficients) &&
         same_bits(a.span.projected, b.span.projected) && same_bits(a.span.remainder, b.span.remainder) &&
         same_bits(a.span.recent, b.span.recent);
}
std::vector<double> numbers_of(const std::vector<TraceRecord>& trace) {
  std::vector<double> out;
  for (const TraceRecord& row : trace)
    for (const double x : {static_cast<double>(row.step), row.loss, row.log10_gap, row.weight_norm,
                           row.log10_gradient_norm, row.step_length, row.min_optimal_attention,
                           row.log10_one_minus_optimal_attention, row.log10_loss, row.accuracy})
      out.push_back(x);
  return out;
}

// A perturbation of the scores by delta turns the gradient by 2 delta; steps of one length, each with scores
// that err by (2 d + 2) u |x| |W| |z|, make no more than that on average of |W|: 2 (2 d + 2) u |W|. The same
// for both sides, and n terms where V is mixed (tests/trainer/test_forms.cpp).
template <class T>
double path_bound(std::size_t n, std::size_t dim, double norm) {
  return 4.0 * (static_cast<double>(dim + n) + 2.0) * softstep::test::unit_roundoff<T> * (1.0 + norm);
}

}  // namespace

TEMPLATE_TEST_CASE("many runs go where each goes alone, with every rule along the gradient", "[trainer]",
                   float, double) {
  using T = TestType;
  struct Shape {
    std::size_t n, n_tokens, dim;
    Loss loss = Loss::logistic;
  };
  for_each_isa([&](const simd::Isa& isa) {
    for (const Shape& shape : {Shape{6, 8, 10}, Shape{12, 5, 10, Loss::exponential}, Shape{4, 6, 60},
                               Shape{3, 11, 7, Loss::exponential}})
      for (const char* rule : {"ngd:step-size=1", "gd:step-size=20", "polyak"}) {
        AttentionOptions how;
        how.isa = isa.name;
        how.loss = shape.loss;
        Runs<T> runs;
        // With equal scores Polyak's steps stay of one length, and no run is chaotic.
        for (std::size_t seed = 0; seed < 5; ++seed)
          runs.push_back(std::make_unique<Prepared<T>>(convert<T>(generate({.n_samples = shape.n,
                                                                            .n_tokens = shape.n_tokens,
                                                                            .dim = shape.dim,
                                                                            .seed = seed,
                                                                            .equal_scores = true})),
                                                       rule, 300, how));
        for (auto& run : runs) REQUIRE(goes_side_by_side(run->run()));
        run_many(all_of(runs));
        for (auto& run : runs) {
          INFO(isa.name << ' ' << rule << " n = " << shape.n << " T = " << shape.n_tokens
                        << " d = " << shape.dim);
          const TrainState<T> many = run->state;
          const std::vector<TraceRecord> trace = run->trace;
          const TrainSummary summary = run->summary;
          run->reset();
          run->options.form = Form::query_span;
          const TrainSummary alone = train(*run->model, run->state, run->options);
          CHECK(summary.form == Form::query_span);
          CHECK(summary.status == alone.status);
          CHECK(summary.steps == alone.steps);
          const double norm = alone.last.weight_norm, bound = path_bound<T>(shape.n, shape.dim, norm);
          CHECK(std::sqrt(2.0 * compare_direction(many.blocks[0], run->state.blocks[0]).one_minus_cos) <=
                bound);
          CHECK(std::fabs(summary.last.weight_norm / norm - 1.0) <= bound);
          CHECK(std::fabs(summary.last.log10_gap - alone.last.log10_gap) <=
                bound * (1.0 + std::fabs(alone.last.log10_gap)));
          REQUIRE(trace.size() == run->trace.size());
          for (std::size_t k = 0; k < trace.size(); ++k) CHECK(trace[k].step == run->trace[k].step);
        }
      }
  });
}

TEMPLATE_TEST_CASE("gradients far below the number range are followed side by side", "[trainer]", float,
                   double) {
  using T = TestType;
  Runs<T> runs;
  for (std::size_t seed = 0; seed < 3; ++seed)
    runs.push_back(std::make_unique<Prepared<T>>(convert<T>(signal_noise(seed)), "ngd:step-size=1", 5000));
  run_many(all_of(runs));
  for (auto& run : runs) {
    CHECK(run->summary.status == TrainStatus::max_iterations);
    CHECK(run->summary.last.log10_gradient_norm < -400.0);
    const double gap = run->summary.last.log10_gap, norm = run->summary.last.weight_norm;
    run->reset();
    run->options.form = Form::query_span;
    const TrainSummary alone = train(*run->model, run->state, run->options);
    const double bound = path_bound<T>(10, 60, norm);
    CHECK(std::fabs(norm / alone.last.weight_norm - 1.0) <= bound);
    CHECK(std::fabs(gap / alone.last.log10_gap - 1.0) <= bound);
  }
}

TEMPLATE_TEST_CASE("a run's bits do not depend on the runs beside it, on their order or on threads",
                   "[trainer]", float, double) {
  using T = TestType;
  for_each_isa([&](const simd::Isa& isa) {
    AttentionOptions how;
    how.isa = isa.name;
    const std::size_t width = isa.kernels<T>().vector_width;
    const Runs<T> runs = mixed_runs<T>(3 * width + 1, how);
    std::vector<TrainState<T>> states;
    std::vector<std::vector<double>> traces;
    std::vector<TrainSummary> summaries;
    run_many(all_of(runs));
    for (const auto& run : runs) {
      states.push_back(run->state);
      traces.push_back(numbers_of(run->trace));
      summaries.push_back(run->summary);
    }
    const auto check = [&](const std::vector<std::size_t>& chosen, int n_threads) {
      std::vector<Prepared<T>*> some;
      for (const std::size_t k : chosen) some.push_back(runs[k].get());
      for (Prepared<T>* run : some) run->reset();
      run_many(some, n_threads);
      for (const std::size_t k : chosen) {
        INFO(isa.name << " run " << k << " of " << chosen.size() << ", threads " << n_threads);
        REQUIRE(same_numbers(runs[k]->state, states[k]));
        REQUIRE(same_bits(numbers_of(runs[k]->trace), traces[k]));
        REQUIRE(runs[k]->summary.status == summaries[k].status);
        REQUIRE(runs[k]->summary.steps == summaries[k].steps);
        REQUIRE(runs[k]->summary.steps_below_rounding == summaries[k].steps_below_rounding);
      }
    };
    std::vector<std::size_t> order(runs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (const int n_threads : {2, 3, 4}) check(order, n_threads);
    std::mt19937_64 random(1);
    for (int repeat = 0; repeat < 3; ++repeat) {
      std::shuffle(order.begin(), order.end(), random);
      check(order, 1 + repeat);
    }
    for (std::size_t k = 0; k < runs.size(); k += 2) check({k}, 1);
    for (const std::size_t count : {width, width + 1, std::size_t{2}})
      check({order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count)}, 1);
  });
}

TEMPLATE_TEST_CASE("a run in parts side by side has the bits of a whole one, some of them at a time",
                   "[trainer]", float, double) {
  using T = TestType;
  const Runs<T> runs = mixed_runs<T>(std::size(rules));
  for (const auto& run : runs) run->options.n_steps = 150;
  run_many(all_of(runs));
  std::vector<TrainState<T>> whole;
  for (const auto& run : runs) {
    whole.push_back(run->state);
    run->reset();
  }
  std::vector<Prepared<T>*> left = all_of(runs);
  for (const std::int64_t steps : {63, 1, 30}) {
    for (Prepared<T>* run : left) run->options.n_steps = steps;
    run_many(left);
  }
  for (Prepared<T>* run : left) run->options.n_steps = 56;
  run_many<T>({left[5], left[2], left[0], left[11]});
  run_many<T>({left[1], left[6], left[3], left[4], left[7], left[8], left[9], left[10], left[12]});
  for (std::size_t k = 0; k < runs.size(); ++k) {
    INFO("run " << k);
    CHECK(same_numbers(runs[k]->state, whole[k]));
  }
  // And train() goes on from there.
  for (const auto& run : runs) {
    run->options.n_steps = 10;
    const Form form =
        make_step_rule<T>(run->options.rules[0])->moves_along_gradient() ? Form::query_span : Form::dense;
    CHECK(train(*run->model, run->state, run->options).form == form);
  }
}

TEST_CASE("float32 steps in the span are taken up side by side at the step at which they are alone",
          "[trainer]") {
  // Every 64 steps from the first one of the run, by the state: what is not taken up yet is of the steps
  // since.
  const auto has_recent_steps = [](const TrainState<float>& state) {
    return std::any_of(state.span.recent.begin(), state.span.recent.end(), [](float x) { return x != 0.0f; });
  };
  for (const std::int64_t n_steps : {1, 62, 63, 64, 65, 127, 128, 130}) {
    Prepared<float> run(convert<float>(signal_noise(2, 6, 8, 10)), "ngd:step-size=1", n_steps);
    REQUIRE(goes_side_by_side(run.run()));
    run_many<float>({&run});
    INFO(n_steps << " steps");
    CHECK(has_recent_steps(run.state) == (n_steps % 64 != 0));
    run.reset();
    run.options.form = Form::query_span;
    train(*run.model, run.state, run.options);
    CHECK(has_recent_steps(run.state) == (n_steps % 64 != 0));
  }
}

TEMPLATE_TEST_CASE("each run side by side has its own checkpoints, from which it goes on with the same bits",
                   "[trainer]", float, double) {
  using T = TestType;
  const Runs<T> runs = mixed_runs<T>(std::size(rules));
  const auto every = [](std::size_t k) { return static_cast<std::int64_t>(9 + 4 * k); };
  std::vector<std::vector<TrainState<T>>> kept(runs.size());
  for (std::size_t k = 0; k < runs.size(); ++k) {
    runs[k]->options.checkpoint_steps = every(k);
    runs[k]->options.checkpoint = [&, k](const Progress& now) {
      CHECK(now.step == runs[k]->state.step);
      kept[k].push_back(runs[k]->state);
    };
  }
  run_many(all_of(runs), 2);
  std::vector<TrainState<T>> whole;
  for (std::size_t k = 0; k < runs.size(); ++k) {
    INFO("run " << k);
    Prepared<T>& run = *runs[k];
    whole.push_back(run.state);
    const auto wanted = static_cast<std::size_t>((run.state.step + every(k) - 1) / every(k));
    REQUIRE(kept[k].size() == wanted);
    for (std::size_t m = 0; m < wanted; ++m)
      CHECK(kept[k][m].step == std::min(every(k) * static_cast<std::int64_t>(m + 1), run.state.step));
    CHECK(same_numbers(kept[k].back(), run.state));
    run.options.checkpoint = nullptr;
    run.state = kept[k][(wanted - 1) / 2];
    run.options.n_steps -= run.state.step;
  }
  run_many(all_of(runs));
  for (std::size_t k = 0; k < runs.size(); ++k) {
    INFO("run " << k);
    CHECK(same_numbers(runs[k]->state, whole[k]));
  }
}

TEMPLATE_TEST_CASE("every ending is that of the run alone, side by side with all others", "[trainer]", float,
                   double) {
  using T = TestType;
  const auto tiny = [](std::vector<double> tokens) {
    DatasetParts<double> parts{1, tokens.size(), 1, tokens, {}, {1}, {1.0}, {}, {}};
    return convert<T>(make_dataset(std::move(parts)));
  };
  Runs<T> runs;
  const auto add = [&](Dataset<T> data, const std::string& rule, std::int64_t n_steps,
                       const AttentionOptions& how = {}) -> Prepared<T>& {
    return *runs.emplace_back(std::make_unique<Prepared<T>>(std::move(data), rule, n_steps, how));
  };
  const auto demo = [](std::uint64_t seed) { return convert<T>(signal_noise(seed)); };
  add(tiny({1.0}), "ngd", 10);
  add(tiny({1.0, 1.0}), "polyak", 10);
  AttentionOptions high;
  high.optimal_loss = OptimalLoss::value;
  high.optimal_loss_value = 10.0;
  add(tiny({1.0, -1.0}), "polyak", 10, high);
  char huge[64];
  std::snprintf(huge, sizeof huge, "ngd:step-size=%.17g",
                0.1 * static_cast<double>(std::numeric_limits<T>::max()));
  add(tiny({1.0, -1.0}), huge, 30);
  add(demo(0), "ngd", 0);
  add(demo(0), "ngd", 70);
  const MaxMarginResult limit = solve_max_margin(demo(1).view());
  for (const double stop : {0.0, 1e-2}) {
    Prepared<T>& run = add(demo(1), "ngd", 300);
    run.options.references = {limit.weights};
    run.options.thresholds = {1e-3, 1e-2, 1e-30};
    run.options.stop_one_minus_cos = stop;
  }
  Prepared<T>& traced = add(demo(2), "polyak", 500);
  traced.options.trace = [&traced](const TraceRecord& row) {
    traced.trace.push_back(row);
    return row.step < 50;
  };
  std::stop_source stop;
  stop.request_stop();
  add(demo(3), "gd", 100).options.stop = stop.get_token();
  add(demo(3), "gd", 1000).options.trace_rows_per_decade = 0;
  for (const auto& run : runs) run->reset();
  for (const int n_threads : {1, 2}) {
    for (const auto& run : runs) run->reset();
    run_many(all_of(runs), n_threads);
    for (std::size_t k = 0; k < runs.size(); ++k) {
      Prepared<T>& run = *runs[k];
      const TrainSummary many = run.summary;
      const std::vector<TraceRecord> trace = run.trace;
      const TrainState<T> state = run.state;
      run.reset();
      TrainerOptions of_one = run.options;
      of_one.form = Form::query_span;
      const TrainSummary alone = train(*run.model, run.state, of_one);
      INFO("run " << k << ", threads " << n_threads);
      CHECK(many.status == alone.status);
      CHECK(many.steps == alone.steps);
      CHECK(state.step == run.state.step);
      CHECK(many.last.step == alone.last.step);
      CHECK(trace.size() == run.trace.size());
      REQUIRE(many.time_to.size() == alone.time_to.size());
      for (std::size_t c = 0; c < many.time_to.size(); ++c) {
        CHECK(many.time_to[c].threshold == alone.time_to[c].threshold);
        CHECK(many.time_to[c].step == alone.time_to[c].step);
        CHECK(many.time_to[c].seconds <= many.seconds);
      }
    }
  }
}

TEST_CASE("progress and time end runs side by side too, and seconds are shares", "[trainer]") {
  Runs<double> runs;
  for (std::size_t k = 0; k < 6; ++k) {
    runs.push_back(std::make_unique<Prepared<double>>(signal_noise(k, 6, 8, 10), "ngd", 1000000000));
    runs.back()->options.trace_rows_per_decade = 0;
  }
  std::int64_t seen = 0;
  runs[1]->options.progress = [&](const Progress& now) {
    now.write_state();
    seen = now.step;
    return false;
  };
  for (std::size_t k = 0; k < runs.size(); ++k)
    if (k != 1) runs[k]->options.max_seconds = 0.02;
  const auto started = std::chrono::steady_clock::now();
  run_many(all_of(runs));
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  double sum = 0.0;
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const TrainSummary& summary = runs[k]->summary;
    CHECK(summary.status == (k == 1 ? TrainStatus::interrupted : TrainStatus::out_of_time));
    CHECK(summary.seconds == runs[k]->state.seconds);
    CHECK(summary.last.step == summary.steps);
    sum += summary.seconds;
  }
  CHECK(seen == runs[1]->summary.steps);
  CHECK(sum <= elapsed);
}

TEMPLATE_TEST_CASE("samples of different lengths, and runs of different shapes, go side by side", "[trainer]",
                   float, double) {
  using T = TestType;
  std::vector<std::unique_ptr<TestBatch<T>>> batches;
  std::vector<std::unique_ptr<AttentionModel<T>>> models;
  const std::vector<std::vector<std::size_t>> lengths = {{4, 2, 1, 4}, {1, 4, 3, 2}, {5, 2, 2, 2}, {3, 3}};
  for (std::size_t k = 0; k < 12; ++k) {
    batches.push_back(std::make_unique<TestBatch<T>>(test::Layout{.n_tokens = lengths[k % lengths.size()],
                                                                  .dim = 6,
                                                                  .pad = k % 2,
                                                                  .separate_queries = k % 3 == 0,
                                                                  .query_index = k % 3 == 1,
                                                                  .ragged = true},
                                                     k));
    AttentionOptions how;
    how.loss = k % 5 == 4 ? Loss::exponential : Loss::logistic;
    models.push_back(make_attention_model(batches.back()->view, how));
  }
  TrainerOptions options;
  options.rules = {parse_rule("ngd:step-size=0.5")};
  options.n_steps = 100;
  std::vector<TrainState<T>> states;
  for (const auto& model : models) states.push_back(initial_state(*model));
  std::vector<ManyRun<T>> many;
  for (std::size_t k = 0; k < models.size(); ++k) {
    many.push_back({models[k].get(), &states[k], &options});
    CHECK(goes_side_by_side(many.back()));
  }
  const auto summaries = train_many<T>(many, 2);
  for (std::size_t k = 0; k < models.size(); ++k) {
    TrainState<T> alone = initial_state(*models[k]);
    TrainerOptions of_one = options;
    of_one.form = Form::query_span;
    const TrainSummary summary = train(*models[k], alone, of_one);
    INFO("run " << k);
    CHECK(summaries[k].status == summary.status);
    const double bound = path_bound<T>(4, 6, summary.last.weight_norm);
    CHECK(std::sqrt(2.0 * compare_direction(states[k].blocks[0], alone.blocks[0]).one_minus_cos) <= bound);
  }
}

TEMPLATE_TEST_CASE("what does not go side by side is made as train() makes it", "[trainer]", float, double) {
  using T = TestType;
  Runs<T> runs;
  const auto add = [&](const std::string& rule, const AttentionOptions& how = {}) -> Prepared<T>& {
    return *runs.emplace_back(
        std::make_unique<Prepared<T>>(convert<T>(signal_noise(runs.size(), 6, 8, 10)), rule, 40, how));
  };
  AttentionOptions joint;
  joint.train_decoder = true;
  joint.optimal_loss = OptimalLoss::zero;
  joint.key_query = KeyQuery::factored;
  joint.rank = 2;
  add("ngd", joint);
  add("spectral");
  add("muon");
  add("ngd").options.form = Form::dense;
  add("ngd").options.form = Form::token_span;
  add("sngd").options.batch_size = 3;
  add("ngd").options.master_weights = MasterWeights::float64;
  add("ngd").options.rules[0].object = make_step_rule<T>(parse_rule("ngd"));
  runs.push_back(std::make_unique<Prepared<T>>(convert<T>(signal_noise(1, 40, 30, 120)), "ngd", 5));
  for (const auto& run : runs) run->reset();
  const std::size_t n = runs.size();
  // Among others that do.
  for (std::size_t k = 0; k < 4; ++k) add("ngd");
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const bool is_double = std::is_same_v<T, double>;
    INFO("run " << k);
    // float64 master weights are nothing where T is double.
    CHECK(goes_side_by_side(runs[k]->run()) == (k >= n || (k == 6 && is_double)));
  }
  run_many(all_of(runs), 2);
  for (std::size_t k = 0; k < n; ++k) {
    if (k == 6 && std::is_same_v<T, double>) continue;
    const TrainState<T> many = runs[k]->state;
    const TrainSummary summary = runs[k]->summary;
    runs[k]->reset();
    const TrainSummary alone = train(*runs[k]->model, runs[k]->state, runs[k]->options);
    INFO("run " << k);
    CHECK(summary.form == alone.form);
    for (std::size_t b = 0; b < many.blocks.size(); ++b)
      CHECK(same_bits(many.blocks[b], runs[k]->state.blocks[b]));
  }
}

TEST_CASE("gradients whose terms cancel have the right norm side by side", "[trainer]") {
  // As in test_forms.cpp: two samples with one query and mirrored tokens, and a third, small one.
  DatasetParts<double> parts;
  parts.n_samples = 3;
  parts.n_tokens = 2;
  parts.dim = 2;
  parts.tokens = {1, 0.5, -1, -0.5, 1, 0.5, -1, -0.5, 1e-9, 0, 0, 1e-9};
  parts.labels = {1, 1, 1};
  parts.decoder = {1, 0};
  parts.queries = {1, 1, -1, -1, 0, 1};
  Prepared<double> run(make_dataset(parts), "ngd:step-size=1", 1);
  REQUIRE(goes_side_by_side(run.run()));
  run_many<double>({&run});
  CHECK(std::fabs(run.summary.last.weight_norm - 1.0) <= 1e-6);
}

TEST_CASE("what a callback throws ends all runs, with the states of the steps reached", "[trainer]") {
  for (const int n_threads : {1, 2}) {
    Runs<double> runs;
    for (std::size_t k = 0; k < 5; ++k) {
      runs.push_back(std::make_unique<Prepared<double>>(signal_noise(k, 6, 8, 10), "ngd", 1000000));
      if (k == 2)
        runs[k]->options.trace = [](const TraceRecord& row) {
          if (row.step >= 100) throw std::runtime_error("enough");
          return true;
        };
    }
    CHECK_THROWS_AS(run_many(all_of(runs), n_threads), std::runtime_error);
    CHECK(runs[2]->state.step == 100);
    for (const auto& run : runs) {
      // The state is one to go on from: what it holds belongs together.
      TrainState<double> expected = initial_state(*run->model);
      TrainerOptions options = run->options;
      options.trace = nullptr;
      options.n_steps = run->state.step;
      if (options.n_steps == 0) continue;
      const std::vector<ManyRun<double>> one = {{run->model.get(), &expected, &options}};
      train_many<double>(one);
      CHECK(same_numbers(expected, run->state));
    }
  }
}

TEST_CASE("many runs that cannot be are refused before the first step", "[trainer]") {
  Prepared<double> run(signal_noise(0), "ngd", 10), other(signal_noise(1), "ngd", -1);
  const auto refused = [&](std::vector<ManyRun<double>> runs, const std::string& message) {
    CHECK_THROWS_MATCHES(train_many<double>(runs), InvalidArgument,
                         MessageMatches(ContainsSubstring(message)));
    CHECK(run.state.step == 0);
  };
  refused({run.run(), {nullptr, &run.state, &run.options}}, "runs: run 1 has no model");
  refused({{run.model.get(), nullptr, &run.options}}, "runs: run 0 has no state");
  refused({{run.model.get(), &run.state, nullptr}}, "runs: run 0 has no options");
  refused({run.run(), run.run()}, "runs 0 and 1 have one state");
  refused({run.run(), other.run()}, "n_steps: -1");
  const std::vector<ManyRun<double>> one = {run.run()};
  CHECK_THROWS_MATCHES(train_many<double>(one, -1), InvalidArgument,
                       MessageMatches(ContainsSubstring("n_threads: -1")));
  CHECK_THROWS_MATCHES(train_many(RunSource<double>{.n_runs = 1}), InvalidArgument,
                       MessageMatches(ContainsSubstring("source.make")));
  CHECK(train_many(std::span<const ManyRun<double>>()).empty());
}

TEST_CASE("runs made when their turn comes are done with before the last has begun", "[trainer]") {
  constexpr std::size_t n_runs = 60;
  const int n_threads = GENERATE(1, 2);
  std::atomic<std::size_t> n_there{0}, most_there{0};
  std::vector<std::unique_ptr<Prepared<double>>> runs(n_runs);
  std::vector<TrainStatus> statuses(n_runs, TrainStatus::not_run);
  train_many<double>({.n_runs = n_runs,
                      .make =
                          [&](std::size_t k) {
                            const std::size_t now = ++n_there;
                            for (std::size_t most = most_there; most < now;)
                              if (most_there.compare_exchange_weak(most, now)) break;
                            runs[k] = std::make_unique<Prepared<double>>(
                                signal_noise(k, 6, 8, 10), "ngd", static_cast<std::int64_t>(10 + k % 7));
                            return std::optional(runs[k]->run());
                          },
                      .done =
                          [&](std::size_t k, const TrainSummary& summary) {
                            statuses[k] = summary.status;
                            runs[k].reset();
                            --n_there;
                          }},
                     n_threads);
  for (const TrainStatus status : statuses) CHECK(status == TrainStatus::max_iterations);
  CHECK(n_there == 0);
  // As many as a vector of doubles holds at most, and one that waits, for each thread.
  CHECK(most_there <= static_cast<std::size_t>(n_threads) * (8 + 1));
}

TEST_CASE("a source that makes no more runs ends the queue, not the runs", "[trainer]") {
  std::vector<std::unique_ptr<Prepared<double>>> runs(40);
  std::size_t n_done = 0;
  train_many<double>({.n_runs = runs.size(),
                      .make = [&](std::size_t k) -> std::optional<ManyRun<double>> {
                        if (k == 11) return std::nullopt;
                        runs[k] = std::make_unique<Prepared<double>>(signal_noise(k, 6, 8, 10), "ngd", 70);
                        return runs[k]->run();
                      },
                      .done =
                          [&](std::size_t k, const TrainSummary& summary) {
                            CHECK(k < 11);
                            CHECK(summary.steps == 70);
                            ++n_done;
                          }});
  CHECK(n_done == 11);
}

TEST_CASE("steps side by side allocate nothing", "[trainer]") {
  const auto allocations = [](std::int64_t n_steps) {
    Runs<float> runs;
    for (std::size_t k = 0; k < std::size(rules); ++k) {
      runs.push_back(
          std::make_unique<Prepared<float>>(convert<float>(signal_noise(k, 6, 8, 10)), rules[k], n_steps));
      runs.back()->options.trace = nullptr;
      runs.back()->options.trace_rows_per_decade = 0;
    }
    const long before = test::n_allocations;
    run_many(all_of(runs));
    return test::n_allocations - before;
  };
  if (test::counts_allocations) CHECK(allocations(1000) == allocations(100));
}

// One sample far from its optimum under the exponential loss: L - L* and G are both e^-m times what does not
// depend on m, so that Polyak's step does not either. Rounding moves m by u m, of which the step must not see
// anything; S = |x| |W| |z| is far below 1.
TEMPLATE_TEST_CASE("Polyak's step side by side does not see what rounding does to a far margin", "[trainer]",
                   float, double) {
  using T = TestType;
  constexpr std::size_t n_tokens = 3, dim = 7;
  constexpr int n_steps = 4;
  const double bound = n_steps * 4.0 * (1 + dim + 2) * softstep::test::unit_roundoff<T>;
  for (const OptimalLoss optimal_loss : {OptimalLoss::optimal, OptimalLoss::zero})
    for (const int power : {0, 10, 20, 30}) {
      DatasetParts<T> parts;
      parts.n_samples = 1;
      parts.n_tokens = n_tokens;
      parts.dim = dim;
      const std::vector<double> numbers = normal_values((n_tokens + 2) * dim, 1.0, 3);
      const auto part = [&](std::size_t first, std::size_t size, int exponent) {
        std::vector<T> out;
        for (std::size_t k = first; k < first + size; ++k)
          out.push_back(static_cast<T>(std::ldexp(numbers[k], exponent)));
        return out;
      };
      parts.tokens = part(0, n_tokens * dim, 0);
      parts.queries = part(n_tokens * dim, dim, 0);
      parts.decoder = part((n_tokens + 1) * dim, dim, power);
      parts.labels = {1};
      const Dataset<T> data = make_dataset(std::move(parts));
      AttentionOptions how;
      how.loss = Loss::exponential;
      how.optimal_loss = optimal_loss;
      const AttentionModel<T> model(data.view(), how);
      TrainerOptions options;
      options.rules = {parse_rule("polyak:factor=1e4")};
      options.n_steps = n_steps;
      options.form = Form::query_span;
      TrainState<T> alone = initial_state(model), many = alone;
      const TrainSummary expected = train(model, alone, options);
      const std::vector<ManyRun<T>> runs = {{&model, &many, &options}};
      REQUIRE(goes_side_by_side(runs[0]));
      const TrainSummary found = train_many<T>(runs)[0];
      INFO("decoder times 2^" << power << ", L* " << to_string(optimal_loss));
      REQUIRE(found.steps == n_steps);
      CHECK(std::fabs(found.last.step_length / expected.last.step_length - 1.0) <= bound);
      CHECK(std::fabs(found.last.weight_norm / expected.last.weight_norm - 1.0) <= bound);
    }
}
