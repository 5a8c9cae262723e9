// Softmax cross entropy with several classes: loss and gradient against 520 digits, from W = 0 to gradients
// of 1e-400 and with points on the wrong side, runs put down and taken up, the certificate, and bad data.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "core/reference/multiclass.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "softstep/gradient_check.h"
#include "softstep/max_margin.h"
#include "softstep/multiclass.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// W towards the class means, or away from them: sizes 1 are logits of some ten.
std::vector<double> toward_means(const MulticlassData& data, double size) {
  std::vector<double> w(data.n_classes * data.dim, 0.0);
  for (std::size_t i = 0; i < data.n_samples(); ++i)
    for (std::size_t j = 0; j < data.dim; ++j)
      w[data.classes[i] * data.dim + j] += size * data.features[i * data.dim + j];
  return w;
}

template <class T>
void check(const MulticlassData& data, const std::vector<double>& weights) {
  const auto model = make_multiclass_model<T>(data);
  std::vector<T> w(weights.begin(), weights.end());
  Evaluation<T> out;
  model->evaluate(std::span<const T>(w), out);
  const auto exact = reference::multiclass<Exact>(data, std::vector<Exact>(w.begin(), w.end()));
  // Two logits of d terms and their difference; exp turns its absolute error into a relative one.
  const double logits = static_cast<double>(exact.logit_size);
  const double bound = 0x1p-53 * (2.0 * (static_cast<double>(data.dim) + 2.0) * logits + 64.0);
  const auto relative = [](Scaled found, const Exact& wanted) {
    return static_cast<double>(abs(Exact(Exact(found.mantissa) * exp(Exact(found.exponent)) / wanted - 1)));
  };
  CAPTURE(logits, out.loss_scaled.log10());
  REQUIRE(relative(out.loss_scaled, exact.loss) <= bound);
  REQUIRE(relative(out.loss_gap, exact.loss) <= bound);
  // Relative to the norm of a gradient whose terms partly cancel: its weight times the size of a point.
  Exact norm(0), error(0), longest(0);
  for (std::size_t i = 0; i < data.n_samples(); ++i) {
    Exact squared(0);
    for (std::size_t j = 0; j < data.dim; ++j)
      squared += Exact(data.features[i * data.dim + j]) * Exact(data.features[i * data.dim + j]);
    if (squared > longest) longest = squared;
  }
  const Exact size = 2 * exact.weight * sqrt(longest);
  const std::span<const T> mantissa = out.gradients[0].mantissa();
  for (std::size_t k = 0; k < mantissa.size(); ++k) {
    const Exact found = Exact(static_cast<double>(mantissa[k])) * exp(Exact(out.gradients[0].exponent));
    error += (found - exact.gradient[k]) * (found - exact.gradient[k]);
    norm += exact.gradient[k] * exact.gradient[k];
  }
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  REQUIRE(static_cast<double>(Exact(sqrt(error) / size)) <=
          bound + unit * (sizeof(T) == 4 ? 1.0 : 0.0) +
              0x1p-53 * (static_cast<double>(data.n_samples()) + std::fabs(out.gradients[0].exponent)));
  REQUIRE(relative(out.gradients[0].norm_scaled(), Exact(sqrt(norm))) <=
          static_cast<double>(Exact(size / sqrt(norm))) *
              (bound + 4.0 * unit * static_cast<double>(mantissa.size()) +
               0x1p-53 * (static_cast<double>(data.n_samples()) + std::fabs(out.gradients[0].exponent))));
}

}  // namespace

TEMPLATE_TEST_CASE("loss and gradient have their digits from W = 0 to gradients of 1e-400", "[models]", float,
                   double) {
  for (const std::uint64_t seed : {0u, 1u}) {
    const MulticlassData data = class_clouds(4, 6, 3, 0.1, seed);
    // At seeds 0 and 1 the classes can be told apart by their means; size 100 is a loss of 1e-300 to 1e-1000.
    for (const double size : {0.0, 1e-3, 0.1, 1.0, 10.0, 100.0, -0.1, -10.0}) {
      CAPTURE(seed, size);
      check<TestType>(data, toward_means(data, size));
      check<TestType>(data, normal_values(24, std::fabs(size), seed + 7));
    }
  }
  const MulticlassData data = class_clouds(4, 6, 3, 0.1, 0);
  const auto model = make_multiclass_model<double>(data);
  Evaluation<double> out;
  std::vector<double> w = normal_values(24, 0.0, 1);
  auto state = initial_state(*model);
  train(*model, state, model_options("ngd:step-size=1", 3000));
  model->evaluate(state.blocks, out);
  INFO(out.loss_scaled.log10());
  REQUIRE(out.loss_scaled.log10() <= -400.0);
  REQUIRE(out.gradients[0].norm_scaled().log10() <= -400.0);
  REQUIRE(out.accuracy == 1.0);
  check<double>(data, state.blocks[0]);
}

TEST_CASE("the gradient of the multiclass loss is its slope; some samples are a problem of their own",
          "[models]") {
  const MulticlassData data = class_clouds(3, 4, 4, 0.5, 2);
  const auto model = make_multiclass_model<double>(data);
  const std::vector<double> w = normal_values(12, 0.7, 3);
  Evaluation<double> out, part;
  model->evaluate(std::span<const double>(w), out);
  for (std::size_t k = 0; k < 12; ++k) {
    std::vector<double> up = w, down = w;
    up[k] += 1e-5;
    down[k] -= 1e-5;
    model->evaluate(std::span<const double>(up), part, want_loss);
    const double above = part.loss;
    model->evaluate(std::span<const double>(down), part, want_loss);
    const double slope = out.gradients[0].values[k] * std::exp(out.gradients[0].exponent);
    // h^2 and rounding over h
    REQUIRE(std::fabs((above - part.loss) / 2e-5 - slope) <= 1e-9);
  }
  const std::vector<std::size_t> some = {3, 0, 7}, rest = {1, 2, 4, 5, 6, 8, 9, 10, 11};
  double loss = 0.0;
  for (const auto& samples : {some, rest}) {
    model->evaluate(std::span<const double>(w), part, want_all, SampleSet{samples});
    loss += part.loss * static_cast<double>(samples.size()) / 12.0;
  }
  REQUIRE(std::fabs(loss - out.loss) <= 1e-14);
}

TEMPLATE_TEST_CASE("a multiclass run put down and taken up has the same bits", "[models]", float, double) {
  using T = TestType;
  const MulticlassData data = class_clouds(4, 6, 3, 0.1, 0);
  const auto model = make_multiclass_model<T>(data);
  const auto other = make_multiclass_model<T>(class_clouds(4, 6, 3, 0.1, 1));
  check_put_down_and_taken_up(*model, *other, initial_state(*model),
                              {"ngd", "muon_exact", "signum", "nmd", "adam"});
}

TEST_CASE("the multiclass certificate bounds the margin and comes down to the max-margin solver's",
          "[models]") {
  const MulticlassData data = class_clouds(4, 6, 3, 0.1, 0);
  std::vector<std::vector<std::size_t>> supports;
  for (const std::size_t y : data.classes) supports.push_back({y});
  const MaxMarginResult solved = solve_next_token_max_margin(data.features, 6, 4, supports).solution;
  REQUIRE(solved.status == MaxMarginStatus::optimal);
  REQUIRE(std::fabs(multiclass_margin(data, solved.weights, MatrixNorm::frobenius) / solved.margin - 1.0) <=
          1e-12);
  for (const double size : {0.0, 1.0, 100.0, 1e5}) {
    MarginCertificate certificate(4, 6);
    add_multiclass_gradient(certificate, data, normal_values(24, size, 5));
    REQUIRE(certificate.bound(MatrixNorm::frobenius) >= solved.margin * (1.0 - 1e-12));
  }
  const auto model = make_multiclass_model<double>(data);
  auto state = initial_state(*model);
  MarginCertificate certificate(4, 6);
  TrainerOptions options = model_options("ngd:step-size=1", 10000);
  options.trace_rows_per_decade = 200;
  options.trace = [&](const TraceRecord& row) {
    if (row.step >= 1000) add_multiclass_gradient(certificate, data, state.blocks[0]);
    return true;
  };
  train(*model, state, options);
  const double share = solved.margin / certificate.bound(MatrixNorm::frobenius);
  INFO(share);
  REQUIRE(share <= 1.0 + 1e-12);
  REQUIRE(share >= 0.99);
}

// A logit of infinity - infinity, in front of one that is a number; another sample comes after it.
TEST_CASE("a logit that is no number is passed over nowhere", "[models]") {
  MulticlassData data;
  data.n_classes = 3;
  data.dim = 2;
  data.features = {1e200, 1e200, 1.0, 0.0};
  data.classes = {0, 0};
  const std::vector<double> w = {0.0, 0.0, 1e200, -1e200, -1e-200, 0.0};
  CHECK(std::isnan(multiclass_margin(data, w, MatrixNorm::frobenius)));
  MarginCertificate certificate(3, 2);
  require_refused("weights", {"a logit of sample 0 is not finite"},
                  [&] { add_multiclass_gradient(certificate, data, w); });
  const auto model = make_multiclass_model<double>(data);
  Evaluation<double> out;
  model->evaluate(std::span<const double>(w), out);
  CHECK(std::isnan(out.loss));
  CHECK(out.accuracy == 0.0);  // the second sample has a logit of 1e200 at class 1
}

TEST_CASE("bad classes are refused by name", "[models]") {
  const MulticlassData good = class_clouds(3, 2, 2, 0.1, 0);
  const auto spoil = [&](const char* argument, const std::string& word, auto change) {
    MulticlassData bad = good;
    change(bad);
    require_refused(argument, {word}, [&] { make_multiclass_model<double>(bad); });
  };
  spoil("n_classes", "1", [](MulticlassData& x) { x.n_classes = 1; });
  spoil("dim", "0", [](MulticlassData& x) { x.dim = 0; });
  spoil("features", "11", [](MulticlassData& x) { x.features.pop_back(); });
  spoil("features", "sample 1 is not finite", [](MulticlassData& x) { x.features[3] = NAN; });
  spoil("classes", "sample 2: 3 (need 0 to 2)", [](MulticlassData& x) { x.classes[2] = 3; });
  spoil("classes", "no entries", [](MulticlassData& x) { x.classes.clear(); });
  require_refused("n_classes", {"1"}, [] { class_clouds(1, 2, 2, 0.1, 0); });
  require_refused("dim", {"0"}, [] { class_clouds(2, 0, 2, 0.1, 0); });
  require_refused("points_per_class", {"0"}, [] { class_clouds(2, 2, 0, 0.1, 0); });
  require_refused("noise", {"-1"}, [] { class_clouds(2, 2, 2, -1.0, 0); });
  require_refused("noise", {"1e+308"}, [] { class_clouds(2, 2, 20, 1e308, 0); });  // times 1.8: too large
  require_refused("weights", {"5"},
                  [&] { multiclass_margin(good, std::vector<double>(5), MatrixNorm::max); });
  MarginCertificate certificate(3, 2);
  require_refused("weights", {"not finite"},
                  [&] { add_multiclass_gradient(certificate, good, std::vector<double>(6, NAN)); });
}
