// What the C face says of gradients, multipliers and many runs: the bits of the C++ face.

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>

#include "c/c_problem.h"
#include "softstep/gradient_check.h"
#include "softstep/max_margin.h"
#include "softstep/train_many.h"
#include "softstep/trainer.h"

using namespace softstep;
using namespace softstep::test;

namespace {

std::vector<double> weights_of(const softstep_state* state) {
  std::vector<double> out(144);
  REQUIRE(softstep_state_block(state, 0, out.data(), out.size()) == SOFTSTEP_OK);
  return out;
}

}  // namespace

TEST_CASE("Many runs in C are the runs of C++, one by one", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  AttentionModel<double> model(problem.data.view());
  softstep_train_options options{};
  options.struct_size = sizeof options;
  options.n_steps = 30;
  const std::array<const char*, 2> rules{"ngd", "gd"};
  const std::array<double, 3> lengths{0.25, 1.0, 3.0};
  const std::array<std::string, 6> each{"ngd:step-size=0.25", "ngd:step-size=1", "ngd:step-size=3",
                                        "gd:step-size=0.25",  "gd:step-size=1",  "gd:step-size=3"};

  // A caller of a younger library: its structs are larger than this library's, with 0 in what is not known.
  struct Younger {
    softstep_train_summary known;
    std::uint64_t unknown = 0;
  };
  std::array<Younger, 6> summaries{};
  for (Younger& summary : summaries) summary.known.struct_size = sizeof summary;
  std::array<softstep_state*, 6> ends{};
  const std::vector<double> begin = normal_values(144, 1.0, 9);
  const std::array<const double*, 1> blocks{begin.data()};
  softstep_state* start = nullptr;
  REQUIRE(softstep_state_create(c.model, blocks.data(), &start) == SOFTSTEP_OK);
  REQUIRE(softstep_sweep(c.model, start, rules.data(), rules.size(), "step-size", lengths.data(),
                         lengths.size(), &options, &summaries[0].known, ends.data()) == SOFTSTEP_OK);
  CHECK(weights_of(start) == begin);
  for (std::size_t k = 0; k < ends.size(); ++k) {
    CAPTURE(each[k]);
    TrainState<double> own = initial_state<double>(model, {begin});
    const TrainSummary expected = train<double>(model, own, {.rules = {parse_rule(each[k])}, .n_steps = 30});
    CHECK(weights_of(ends[k]) == own.blocks[0]);
    CHECK(summaries[k].known.last.log10_gap == expected.last.log10_gap);
    CHECK(std::string(summaries[k].known.status) == to_string(expected.status));
    softstep_state_destroy(ends[k]);
  }
  softstep_state_destroy(start);
}

TEST_CASE("Runs in C that cannot all be made are refused before the first of them", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  int rows = 0;
  softstep_train_options options{};
  options.struct_size = sizeof options;
  options.n_steps = 3;
  options.user = &rows;
  options.trace = [](void* user, const softstep_trace_row*) {
    ++*static_cast<int*>(user);
    return int32_t{0};
  };
  const auto refused = [&](const std::array<const char*, 2>& rules) {
    const softstep_status status =
        softstep_compare(c.model, nullptr, rules.data(), rules.size(), &options, nullptr, nullptr);
    return std::string(status == SOFTSTEP_BAD_ARGUMENT ? softstep_last_argument() : "accepted");
  };
  CHECK(refused({"ngd", "gd;ngd"}) == "rules");  // of one block
  options.checkpoint_steps = 5;
  CHECK(refused({"ngd", "gd"}) == "options.checkpoint_steps");
  options.checkpoint_steps = 0;
  options.checkpoint_seconds = 1.0;
  CHECK(refused({"ngd", "gd"}) == "options.checkpoint_seconds");
  CHECK(rows == 0);
}

TEST_CASE("Runs at once in C are those of train_many in C++, whatever the threads", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  AttentionModel<double> model(problem.data.view());
  const std::array<const char*, 3> rules{"ngd:step-size=0.5", "gd:step-size=2", "adam"};
  constexpr std::size_t n = 7;
  // Every run has an end of its own.
  std::vector<softstep_train_options> options(n);
  std::vector<TrainerOptions> own_options(n);
  std::vector<TrainState<double>> own_states;
  std::vector<ManyRun<double>> own;
  for (std::size_t k = 0; k < n; ++k) {
    options[k].struct_size = sizeof options[k];
    options[k].rules = rules[k % 3];
    options[k].n_steps = static_cast<std::int64_t>(10 + 5 * k);
    own_options[k].rules = {parse_rule(rules[k % 3])};
    own_options[k].n_steps = options[k].n_steps;
    own_states.push_back(initial_state<double>(model, {normal_values(144, 1.0, static_cast<unsigned>(k))}));
  }
  for (std::size_t k = 0; k < n; ++k) own.push_back({&model, &own_states[k], &own_options[k]});
  const std::vector<TrainSummary> expected = train_many<double>(own);

  for (const std::int32_t n_threads : {0, 2, -1}) {
    std::vector<softstep_state*> states(n);
    std::vector<const softstep_model*> models(n, c.model);
    std::vector<const softstep_train_options*> places;
    std::vector<softstep_train_summary> summaries(n);
    for (std::size_t k = 0; k < n; ++k) {
      const std::vector<double> begin = normal_values(144, 1.0, static_cast<unsigned>(k));
      const std::array<const double*, 1> blocks{begin.data()};
      REQUIRE(softstep_state_create(c.model, blocks.data(), &states[k]) == SOFTSTEP_OK);
      places.push_back(&options[k]);
      summaries[k].struct_size = sizeof summaries[k];
    }
    REQUIRE(softstep_train_many(models.data(), states.data(), places.data(), n, n_threads,
                                summaries.data()) == SOFTSTEP_OK);
    for (std::size_t k = 0; k < n; ++k) {
      CAPTURE(n_threads, k);
      CHECK(weights_of(states[k]) == own_states[k].blocks[0]);
      CHECK(summaries[k].steps == expected[k].steps);
      CHECK(summaries[k].last.log10_gap == expected[k].last.log10_gap);
      CHECK(std::string(summaries[k].form) == to_string(expected[k].form));
    }

    // What is wrong with one run is said with its number, and none has moved.
    const std::vector<double> before = weights_of(states[0]);
    softstep_train_options wrong = options[2];
    wrong.n_steps = -1;
    places[2] = &wrong;
    CHECK(softstep_train_many(models.data(), states.data(), places.data(), n, n_threads, nullptr) ==
          SOFTSTEP_BAD_ARGUMENT);
    CHECK(std::string(softstep_last_argument()) == "runs[2]");
    places[2] = &options[2];
    softstep_state* const sixth = states[5];
    states[5] = states[4];
    CHECK(softstep_train_many(models.data(), states.data(), places.data(), n, n_threads, nullptr) ==
          SOFTSTEP_BAD_ARGUMENT);
    CHECK(std::string(softstep_last_argument()) == "runs");
    states[5] = sixth;
    CHECK(weights_of(states[0]) == before);
    for (softstep_state* state : states) softstep_state_destroy(state);
  }
}

TEST_CASE("A wrong gradient is found in C", "[c]") {
  const CProblem problem;
  // A loss whose slope is 1 % too large.
  softstep_own_loss loss{};
  loss.struct_size = sizeof loss;
  loss.name = "wrong";
  loss.value = [](void*, double m, double) -> softstep_scaled { return {1.0 / (1.0 + std::exp(m)), 0.0}; };
  loss.derivative = [](void*, double m, double) -> softstep_scaled {
    const double s = 1.0 / (1.0 + std::exp(m));
    return {-1.01 * s * (1.0 - s), 0.0};
  };
  softstep_attention_options options{};
  options.struct_size = sizeof options;
  options.own_loss = &loss;
  const CModel wrong(problem.batch(), &options), right(problem.batch());
  REQUIRE(wrong.status == SOFTSTEP_OK);
  const std::vector<double> weights = normal_values(144, 1.0, 5);
  const std::array<const void*, 1> blocks{weights.data()};
  softstep_gradient_check_result result{};
  result.struct_size = sizeof result;
  std::int32_t passed = -1;
  REQUIRE(softstep_check_gradient(wrong.model, blocks.data(), nullptr, &result, &passed) == SOFTSTEP_OK);
  CHECK(passed == 0);
  CHECK(result.passed == 0);
  CHECK(result.relative_error >= 0.009);
  REQUIRE(softstep_check_gradient(right.model, blocks.data(), nullptr, &result, &passed) == SOFTSTEP_OK);
  CHECK(passed == 1);
  const AttentionModel<double> model(problem.data.view());
  const std::vector<std::vector<double>> at{weights};
  const GradientCheck expected = check_gradient<double>(model, at);
  CHECK(result.relative_error == expected.blocks[0].relative_error);
  CHECK(result.worst_row == expected.blocks[0].worst_row);
  CHECK(result.worst_gradient.mantissa == expected.blocks[0].worst_gradient.mantissa);
}

TEST_CASE("Multipliers in C are those of C++", "[c]") {
  const CProblem problem;
  const softstep_batch batch = problem.batch();
  const MaxMarginResult limit = solve_max_margin(problem.data.view());
  std::vector<double> lambda(limit.multipliers.size()), mu(lambda.size());
  softstep_max_margin_options options{};
  options.struct_size = sizeof options;
  options.multipliers = lambda.data();
  options.n_multipliers = lambda.size();
  REQUIRE(softstep_solve_max_margin(&batch, &options, nullptr, nullptr) == SOFTSTEP_OK);
  CHECK(lambda == limit.multipliers);

  // Two contexts in the plane; the first may be followed by two tokens, so there is an equality.
  const std::array<double, 4> contexts{1, 0, 0.25, 1};
  const std::array<std::size_t, 3> first{0, 2, 3}, supports{0, 1, 2};
  const TiedMaxMarginResult tied = solve_next_token_max_margin(contexts, 2, 3, {{0, 1}, {2}});
  REQUIRE(tied.equality_multipliers.size() == 6);
  lambda.assign(6, -1.0);
  mu.assign(6, -1.0);
  options.multipliers = lambda.data();
  options.equality_multipliers = mu.data();
  options.n_multipliers = 6;
  REQUIRE(softstep_solve_next_token_max_margin(SOFTSTEP_F64, contexts.data(), 2, 2, 3, first.data(),
                                               supports.data(), &options, nullptr, nullptr) == SOFTSTEP_OK);
  CHECK(lambda == tied.solution.multipliers);
  CHECK(mu == tied.equality_multipliers);
}
