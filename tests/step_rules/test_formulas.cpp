// Each rule against its formula, written out in plain numbers.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "softstep/error.h"
#include "softstep/step_rules.h"

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
