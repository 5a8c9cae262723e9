// Each rule against its formula, written out in plain numbers.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "softstep/softstep.h"

using namespace softstep;

namespace {

const double unit = 0x1p-53;

struct Run {
  std::vector<double> gradient{3.0, 0.0, -4.0, 0.0};  // norm 5
  std::vector<double> weights{0.0, 0.0, 0.0, 0.0};
  RuleState state;
  Step<double> operator()(const RuleSettings& settings, std::int64_t t, double exponent, Scaled gap = {}) {
    return make_step_rule<double>(settings)->step(
        {t, gap, gradient.data(), 2, 2, exponent, 5.0, weights.data()}, state);
  }
};

bool near(double a, double b, double relative) { return std::fabs(a - b) <= relative * std::fabs(b); }

}  // namespace

TEST_CASE("gd takes the true step, however small", "[step_rules]") {
  Run run;
  CHECK(near(run({"gd", {{"step-size", 20.0}}}, 0, 0.0).coefficient, 20.0, 2 * unit));
  CHECK(near(run({"gd", {{"step-size", 20.0}}}, 5, -3.0).coefficient, 20.0 * std::exp(-3.0), 4 * unit));
  CHECK(run({"gd", {}}, 0, -1e5).coefficient == 0.0);
}

TEST_CASE("a coefficient is right where the exponential beside it underflows or overflows", "[step_rules]") {
  // The natural logarithm of the coefficient of G', which has norm 1.
  const auto log_coefficient = [](const std::string& rule, double exponent, Scaled gap) {
    const double gradient[] = {0.6, 0.8};
    const StepContext<double> at{0, gap, gradient, 1, 2, exponent, 1.0, gradient};
    RuleState state;
    return std::log(make_step_rule<double>(parse_rule(rule))->step(at, state).coefficient);
  };
  const double large = std::log(1e300);
  // Logarithms below 2^10 that are rounded: two here, two in the exponents, one of the coefficient. Its own
  // dozen of roundings are less than one of these.
  const auto is_near = [](double a, double b) { return std::fabs(a - b) <= 6 * 0x1p-44; };
  CHECK(is_near(log_coefficient("gd:step-size=1e300", -750, {}), large - 750));
  CHECK(is_near(log_coefficient("gd:step-size=1e300", -720, {}), large - 720));  // where e^-720 is subnormal
  CHECK(is_near(log_coefficient("gd:step-size=1e-300", 720, {}), 720 - large));
  CHECK(is_near(log_coefficient("sgd:step-size=1e300", -750, {}), large - 750));
  // The cap is smaller than the gap over |G|^2, which is e^100 on G'.
  for (const char* rule : {"polyak", "sps", "alig", "decsps", "momo"}) {
    INFO(rule);
    CHECK(is_near(log_coefficient(rule + std::string(":cap=1e300"), -750, {1.0, -650}), large - 750));
  }
  CHECK(is_near(log_coefficient("polyak:factor=1", 0, {1e-300, 720}), 720 - large));
  // The least delta is 3e-15 of |G|^2 = e^-711, though e^711 is no number.
  CHECK(is_near(log_coefficient("alig:delta=5e-324", -355.5, {1.0, -355.5}), 0.0));
  CHECK(std::isinf(log_coefficient("gd", -1e6, {})));  // 0, as ever
  // The step is |G| e^C over the gap, whose mantissa makes up for the exponential.
  const auto log_length = [](const std::string& rule, double exponent, Scaled gap) {
    const double gradient[] = {0.6, 0.8};
    const StepContext<double> at{0, gap, gradient, 1, 2, exponent, 1.0, gradient};
    RuleState state;
    return std::log(make_step_rule<double>(parse_rule(rule))->step(at, state).length);
  };
  for (const char* rule : {"momentum", "prgd"}) {
    INFO(rule);
    CHECK(is_near(log_length(rule, 720, {1e300, 0}), 720 - large));
    CHECK(is_near(log_length(rule, -720, {1e-300, 0}), large - 720));
    CHECK(is_near(log_length(rule, -750, {1e-300, 0}), large - 750));
  }
  // h is the gap over e^0, and |d| is 1.
  CHECK(is_near(log_coefficient("momo", 0, {1e-300, 720}), 720 - large));
  CHECK(is_near(log_coefficient("momo", 0, {1e300, -720}), large - 720));
}

TEST_CASE("ngd has length eta (t+1)^-a whatever the exponent", "[step_rules]") {
  Run run;
  for (const double exponent : {0.0, -700.0, -1e6}) {
    CHECK(near(run({"ngd", {{"step-size", 2.0}}}, 9, exponent).length, 2.0, 2 * unit));
    CHECK(near(run({"ngd", {{"step-size", 2.0}, {"schedule-power", 0.5}}}, 8, exponent).length, 2.0 / 3.0,
               4 * unit));
    CHECK(near(run({"ngd", {{"step-size", 2.0}, {"schedule-power", 0.5}}}, 8, exponent).coefficient,
               2.0 / 15.0, 4 * unit));
  }
}

TEST_CASE("polyak divides the gap by c |G|^2 in pairs", "[step_rules]") {
  Run run;
  // (0.5 e^-9) / (2 (5 e^-9)^2) on G = e^-9 G': coefficient of G' is 0.5 / 50
  for (const double exponent : {0.0, -9.0, -1e6})
    CHECK(near(run({"polyak", {}}, 0, exponent, {0.5, exponent}).coefficient, 0.01, 8 * unit));
  CHECK(near(run({"polyak", {{"factor", 1.0}}}, 0, -9.0, {0.5, -9.0}).coefficient, 0.02, 8 * unit));
  CHECK(near(run({"polyak", {}}, 0, -9.0, {0.5, -8.0}).coefficient, 0.01 * std::exp(1.0), 8 * unit));
  SECTION("a cap bounds the coefficient of G") {
    const double uncapped = 0.5 / 50.0 * std::exp(9.0);
    CHECK(near(run({"polyak", {{"cap", uncapped / 2}}}, 0, -9.0, {0.5, -9.0}).coefficient, 0.005, 8 * unit));
    CHECK(near(run({"polyak", {{"cap", uncapped * 2}}}, 0, -9.0, {0.5, -9.0}).coefficient, 0.01, 8 * unit));
  }
  SECTION("a gap that is not positive is an outcome, not a step backwards") {
    CHECK(run({"polyak", {}}, 0, -9.0, {0.0, 0.0}).outcome == Step<double>::Outcome::gap_not_positive);
    CHECK(run({"polyak", {}}, 0, -9.0, {-0.1, 0.0}).outcome == Step<double>::Outcome::gap_not_positive);
  }
}

TEST_CASE("on the same gradient sps is polyak and sngd is ngd, to the bit", "[step_rules]") {
  const auto same = [](const RuleSettings& a, const RuleSettings& b) {
    Run run;
    for (const double exponent : {0.0, -9.3, -1e6}) {
      const auto first = run(a, 4, exponent, {0.7, exponent + 0.1}),
                 other = run(b, 4, exponent, {0.7, exponent + 0.1});
      CHECK(first.coefficient == other.coefficient);
      CHECK(first.length == other.length);
    }
  };
  same({"sps", {{"factor", 2.0}}}, {"polyak", {}});
  same({"sps", {{"factor", 0.3}}}, {"polyak", {{"factor", 0.3}}});
  same({"sps", {{"factor", 0.3}, {"cap", 1e-3}}}, {"polyak", {{"factor", 0.3}, {"cap", 1e-3}}});
  same({"sps_plus", {}}, {"polyak", {{"factor", 1.0}}});
  same({"alig", {}}, {"polyak", {{"factor", 1.0}}});
  same({"sngd", {{"schedule-power", 0.5}}}, {"ngd", {{"schedule-power", 0.5}}});
  same({"sgd", {{"step-size", 3.0}}}, {"gd", {{"step-size", 3.0}}});
}

TEST_CASE("where a batch is below L* already, sps_plus and momo stay and the others end by name",
          "[step_rules]") {
  for (const double gap : {0.0, -0.1}) {
    Run run;
    for (const char* rule : {"sps_plus", "momo"}) {
      const auto step = run({rule, {}}, 0, -9.0, {gap, -9.0});
      CHECK(step.outcome == Step<double>::Outcome::moved);
      CHECK(step.length == 0.0);
    }
    for (const char* rule : {"sps", "alig", "decsps", "momentum", "prgd"})
      CHECK(run({rule, {}}, 0, -9.0, {gap, -9.0}).outcome == Step<double>::Outcome::gap_not_positive);
  }
}

TEST_CASE("mirror goes on from weights that were set by hand", "[step_rules]") {
  Run run;
  run({"mirror", {}}, 0, 0.0);
  run.weights = {1.0, 2.0, -3.0, 0.0};
  const auto step = run({"mirror", {{"p", 2.0}}}, 1, 0.0);  // p = 2: theta is W
  for (std::size_t k = 0; k < 4; ++k)
    CHECK(std::fabs(step.computed[k] - (run.weights[k] - run.gradient[k] / 5.0)) <= 4 * unit);
}

TEST_CASE("what a rule cannot take is said in one line with what it needs", "[step_rules]") {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_rule(text);
    } catch (const InvalidArgument& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(message("mirror:p=1") == "p: 1 (rule mirror needs a finite number greater than 1)");
  CHECK(message("mirror:p=inf") == "p: inf (rule mirror needs a finite number greater than 1)");
  CHECK(message("adam:beta1=1") == "beta1: 1 (rule adam needs a finite number from 0 to below 1)");
  CHECK(message("prgd:phase=2.5") == "phase: 2.5 (rule prgd needs a finite positive whole number)");
  CHECK(message("sps_plus:cap=1") == "cap: rule sps_plus has no such option (its options: none)");
  CHECK(message("adam:beta1=0,beta2=0") == "accepted");
  CHECK(message("gd:step-size=1e400") == "step-size: \"1e400\" is too large or too small for a double");
  CHECK(message("gd:step-size=1e-400") == "step-size: \"1e-400\" is too large or too small for a double");
  CHECK(message("gd:step-size=1e400x") == "step-size: \"1e400x\" is not a number");
}

// Found by tests/fuzz/rule_string.cpp and c_calls.cpp: a line break went from the text into the message.
TEST_CASE("what is said of a word that is not known is one line, whatever the word", "[step_rules]") {
  const std::string bad = "a\nb\x1b[2J";
  const std::string big(100000, 'x');
  const auto refuse = [](auto read) {
    try {
      read();
      FAIL("accepted");
    } catch (const InvalidArgument& error) {
      const std::string message = error.what(), argument = error.argument();
      INFO(message);
      CHECK(message.find_first_of("\n\x1b") == std::string::npos);
      CHECK(argument.find_first_of("\n\x1b") == std::string::npos);
      CHECK(message.size() < 1000);
    }
  };
  for (const std::string& word : {bad, big}) {
    for (const std::string& text : {word, "ngd:" + word, "ngd:" + word + "=1", "ngd:step-size=" + word,
                                    "ngd:step-size=1,step-size=2," + word, word + "=1;ngd", ";" + word + ";",
                                    "ngd:" + word + "=1," + word + "=2"})
      refuse([&] { parse_rules(text); });
    refuse([&] { parse_form(word); });
    refuse([&] { parse_normalization(word); });
    refuse([&] { parse_loss(word); });
    refuse([&] { parse_optimal_loss(word); });
    refuse([&] { parse_matrix_norm(word); });
    refuse([&] { force_isa(word); });
    refuse([&] { parse_stored_type(word); });
  }
}

TEST_CASE("rules are read from text", "[step_rules]") {
  const auto rules = parse_rules("gd:step-size=20; ngd:step-size=1,schedule-power=0.5 ;polyak");
  REQUIRE(rules.size() == 3);
  CHECK(rules[0].rule == "gd");
  CHECK(rules[0].options.at("step-size") == 20.0);
  CHECK(rules[1].options.at("schedule-power") == 0.5);
  CHECK(rules[2].options.empty());
  CHECK(parse_rule("polyak:cap=inf").options.at("cap") == std::numeric_limits<double>::infinity());
  for (const char* bad : {"", ";", "nosuch", "gd:", "ngd:step-size", "ngd:step-size=x", "ngd:step-size=1x",
                          "ngd:step-size=", "ngd:step-size=-1", "ngd:step-size=nan", "ngd:step-size=0",
                          "ngd:cap=1", "ngd:step-size=1,step-size=2"}) {
    INFO(bad);
    if (std::string(bad) == "gd:")
      CHECK_NOTHROW(parse_rules(bad));
    else
      CHECK_THROWS_AS(parse_rules(bad), InvalidArgument);
  }
  try {
    parse_rule("adamw");
    FAIL("accepted");
  } catch (const InvalidArgument& e) {
    CHECK(std::string(e.what()).find("gd, ngd, polyak") != std::string::npos);
  }
}
