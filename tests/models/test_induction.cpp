// The two heads of four numbers: loss and gradients against 520 digits, from tiny scores to saturated ones;
// the data; runs put down and taken up, and bad input.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "core/reference/induction.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "softstep/gradient_check.h"
#include "softstep/induction.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;

template <class T>
Evaluation<T> check(const InductionData& data, const std::vector<double>& numbers,
                    InductionScores scores = InductionScores::product) {
  const auto model = make_induction_model<T>(data, {scores, ""});
  std::vector<std::vector<T>> blocks;
  std::vector<Exact> at;
  for (const double x : numbers) {
    blocks.push_back({static_cast<T>(x)});
    at.emplace_back(static_cast<double>(blocks.back()[0]));
  }
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const bool is_product = scores == InductionScores::product;
  const auto wanted = reference::induction<Exact>(data.length, data.sequences, data.targets, at, is_product);
  double most = 0.0;
  for (const double x : data.sequences) most = std::fmax(most, std::fabs(x));
  const double w = static_cast<double>(blocks[3][0]), beta = std::fabs(is_product ? w * w : w);
  // A share is right to the rounding of its exponent, of beta times a difference of scores, or of p times a
  // place; then sums of L - 2 terms, a residual and a sum over the samples.
  const double of_share = unit * (8.0 + 6.0 * beta * most * most + std::fabs(numbers[1]));
  const double rounding =
      4.0 * of_share + unit * (4.0 * static_cast<double>(data.length + data.n_samples()) + 32.0);
  REQUIRE(abs(Exact(out.loss - wanted.loss)) <= Exact(rounding) * wanted.loss_size +
                                                    Exact(rounding) * Exact(rounding) * wanted.squared_size +
                                                    Exact(rounding) * wanted.loss);
  REQUIRE(out.loss_gap.value() == out.loss);
  REQUIRE(out.gradients.size() == 4);
  for (std::size_t b = 0; b < 4; ++b) {
    CAPTURE(b, out.gradients[b].exponent);
    const Exact found =
        Exact(static_cast<double>(out.gradients[b].mantissa()[0])) * exp(Exact(out.gradients[b].exponent));
    const double of_writing = static_cast<double>(std::numeric_limits<T>::epsilon()) +
                              unit * (4.0 + 4.0 * std::fabs(out.gradients[b].exponent));
    REQUIRE(abs(Exact(found - wanted.gradients[b])) <=
            Exact(rounding) * wanted.sizes[b] + Exact(of_writing) * abs(wanted.gradients[b]));
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("the two heads have their digits, from tiny scores to saturated ones", "[models]", float,
                   double) {
  using T = TestType;
  const double tiny = sizeof(T) == 8 ? 1e-200 : 1e-30;
  const InductionData data = induction_data(4, 7, 1.0, 1.0, 3);
  for (const double p : {-3.0, tiny, 5.0})
    for (const double w : {tiny, -1.5, 12.0})
      for (const double v : {tiny, 0.3}) {
        CAPTURE(p, w, v);
        check<T>(data, {v, p, 0.5, w});
        check<T>(data, {0.7, p, v, w});
        check<T>(data, {0.7, p, v, w}, InductionScores::single);
      }
  // Both heads saturated at every sample: gradients of 1e-400, which no double holds.
  const InductionData far = {6, {3, 1, 2, -1, 0.5, 1, -2, 0.5, 1, 3, 1, -1}, {0.25, -0.5}};
  const auto out = check<T>(far, {0.5, 950.0, 0.25, 32.0});
  REQUIRE(out.gradients[1].norm_scaled().log10() < -400.0);
  REQUIRE(out.gradients[3].norm_scaled().log10() < -400.0);
  check<T>(far, {0.5, -950.0, 0.25, 32.0});
  check<T>(far, {0.5, 950.0, 0.25, -500.0}, InductionScores::single);
}

TEST_CASE("the data of an induction head are those of its definition, and a run fits them", "[models]") {
  const InductionData data = induction_data(50, 8, 1.0, 1.0, 5);
  // The same seed has the same sequences, whatever their number and mixture.
  const InductionData fewer = induction_data(10, 8, 0.5, 2.0, 5);
  REQUIRE(std::equal(fewer.sequences.begin(), fewer.sequences.end(), data.sequences.begin()));
  // The target by the heads themselves: v_1 = v_2 = 1/2, w = w*, and p so large that only the nearest is
  // seen.
  const auto model = make_induction_model<double>(data);
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>{{0.5}, {60.0}, {0.5}, {1.0}}, out);
  REQUIRE(out.loss <= 1e-30);
  const InductionParts parts = induction_parts(data, 1.0, 1.0, {0.5, 60.0, 0.5, 1.0});
  REQUIRE(parts.four_gram <= 1e-30);
  REQUIRE(parts.induction <= 1e-30);
  // With one head silent the loss is what the other misses.
  model->evaluate(std::vector<std::vector<double>>{{0.5}, {60.0}, {0.25}, {0.3}}, out);
  const InductionParts other = induction_parts(data, 1.0, 1.0, {0.5, 60.0, 0.25, 0.3});
  REQUIRE(std::fabs(other.induction - out.loss) <= 1e-14 * out.loss);
  model->evaluate(std::vector<std::vector<double>>{{0.25}, {-0.3}, {0.5}, {1.0}}, out);
  REQUIRE(std::fabs(induction_parts(data, 1.0, 1.0, {0.25, -0.3, 0.5, 1.0}).four_gram - out.loss) <=
          1e-14 * out.loss);
  auto state = initial_state(*model, {{0.1}, {0.1}, {0.1}, {0.1}});
  const TracedRun run = run_model(*model, state, model_options("gd:step-size=0.4", 3000));
  REQUIRE(run.summary.last.log10_loss < -3.0);
  REQUIRE(check_gradient(*model, std::vector<std::vector<double>>{{0.3}, {0.6}, {-0.4}, {0.8}}).passed);
}

TEMPLATE_TEST_CASE("a run of the two heads put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  const auto model = make_induction_model<T>(induction_data(20, 6, 1.0, 1.0, 1));
  const auto other = make_induction_model<T>(induction_data(20, 6, 1.0, 1.0, 2));
  check_put_down_and_taken_up(*model, *other, normal_state(*model, 0.5, 7), {"gd", "ngd", "polyak", "adam"});
}

TEST_CASE("bad sequences of an induction head are refused by name", "[models]") {
  const InductionData good = induction_data(3, 4, 1.0, 1.0, 1);
  const auto refuse = [&](const char* argument, const char* word, auto change) {
    InductionData data = good;
    change(data);
    require_refused(argument, {word}, [&] { make_induction_model<double>(data); });
  };
  refuse("length", "2", [](InductionData& data) { data.length = 2; });
  refuse("targets", "no entries", [](InductionData& data) { data.targets.clear(); });
  refuse("targets", "entry 1: nan", [](InductionData& data) { data.targets[1] = NAN; });
  refuse("sequences", "11 entries", [](InductionData& data) { data.sequences.pop_back(); });
  refuse("sequences", "entry 5: inf", [](InductionData& data) { data.sequences[5] = INFINITY; });
  require_refused("n_samples", {"0"}, [] { induction_data(0, 4, 1.0, 1.0, 1); });
  require_refused("n_samples", {"memory"}, [] { induction_data(SIZE_MAX, 4, 1.0, 1.0, 1); });
  require_refused("length", {"2"}, [] { induction_data(3, 2, 1.0, 1.0, 1); });
  require_refused("a", {"-1"}, [] { induction_data(3, 4, -1.0, 1.0, 1); });
  require_refused("targets", {"nan"}, [] { induction_data(20, 5, 1.0, 1.3e154, 1); });
  require_refused("w_star", {"nan"}, [] { induction_data(3, 4, 1.0, NAN, 1); });
  require_refused("w_star", {"1e+200", "square"}, [] { induction_data(3, 4, 1.0, 1e200, 1); });
  const std::vector<double> ones(4, 1.0);
  require_refused("a", {"-1"}, [&] { induction_parts(good, -1.0, 1.0, ones); });
  require_refused("a", {"nan"}, [&] { induction_parts(good, NAN, 1.0, ones); });
  require_refused("w_star", {"nan"}, [&] { induction_parts(good, 1.0, NAN, ones); });
  require_refused("w_star", {"1e+200"}, [&] { induction_parts(good, 1.0, 1e200, ones); });
  require_refused("blocks", {"3 numbers"}, [&] { induction_parts(good, 1.0, 1.0, {1.0, 1.0, 1.0}); });
  Evaluation<double> out;
  make_induction_model<double>(good)->evaluate(std::vector<std::vector<double>>{{1.0}, {NAN}, {1.0}, {1.0}},
                                               out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}
