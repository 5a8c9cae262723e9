// Linear attention on the moments of in-context regression: loss, gap and gradients against 520 digits, from
// blocks so small that their products underflow to the optimum, against sampled prompts, runs put down and
// taken up, and bad input.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "core/reference/in_context.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "models/powers_of_two.h"
#include "softstep/gradient_check.h"
#include "softstep/in_context.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;
const InContextRegression four = {{0.4, 0.3, 0.2, 0.1}, 31};

template <class T>
void check(const InContextRegression& data, const InContextOptions& options,
           const std::vector<std::vector<T>>& blocks) {
  const auto model = make_in_context_model<T>(data, options);
  Evaluation<T> out;
  model->evaluate(blocks, out);
  std::vector<std::vector<Exact>> exact;
  for (const auto& block : blocks) exact.emplace_back(block.begin(), block.end());
  const auto wanted = reference::in_context<Exact>(data.spectrum, data.n_examples, options.rank, exact);
  const auto d = static_cast<double>(data.spectrum.size());
  const auto terms = static_cast<double>(options.n_heads * options.rank);
  // M: `terms` products of three, then its distance from M*, which has d + 4 roundings of its own.
  const double of_product = unit * (terms + d + 12.0);
  const Exact optimal = wanted.optimal_loss;
  REQUIRE(abs(Exact(out.optimal_loss - optimal)) <= Exact(unit * (3.0 * d + 8.0)) * optimal);
  REQUIRE(out.optimal_loss == model->optimal_loss());
  Exact trace(0), gap_error(0);
  for (const double lambda : data.spectrum) trace += Exact(lambda);
  for (std::size_t i = 0; i < data.spectrum.size(); ++i)
    for (std::size_t j = 0; j < data.spectrum.size(); ++j) {
      const Exact li(data.spectrum[i]), lj(data.spectrum[j]);
      const Exact moment = li * li + (li + trace) * li / Exact(data.n_examples);
      const Exact best = i == j ? Exact(li / moment) : Exact(0);
      const std::size_t at = i * data.spectrum.size() + j;
      const Exact error = Exact(of_product) * (wanted.product_size[at] + best);
      const Exact missing = abs(Exact(best - wanted.product[at]));
      gap_error += moment * lj * (2 * missing * error + error * error);
    }
  const Exact gap = wanted.loss - optimal;
  const double of_sum = unit * (d * d + 2.0 * d + 16.0);
  REQUIRE(out.loss_gap.mantissa >= 0.0);
  REQUIRE(abs(Exact(Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent)) - gap)) <=
          gap_error + Exact(of_sum) * gap);
  REQUIRE(abs(Exact(out.loss_scaled.value() - wanted.loss)) <=
          gap_error + Exact(of_sum + unit * (3.0 * d + 8.0)) * wanted.loss);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    CAPTURE(b, out.gradients[b].exponent);
    const std::span<const T> mantissa = out.gradients[b].mantissa();
    Exact error(0), norm(0);
    for (std::size_t k = 0; k < mantissa.size(); ++k) {
      const Exact found = Exact(static_cast<double>(mantissa[k])) * exp(Exact(out.gradients[b].exponent));
      error += (found - wanted.gradients[b][k]) * (found - wanted.gradients[b][k]);
      norm += wanted.gradients[b][k] * wanted.gradients[b][k];
    }
    const double rounding = static_cast<double>(std::numeric_limits<T>::epsilon()) +
                            unit * (4.0 + 2.0 * std::fabs(out.gradients[b].exponent));
    REQUIRE(sqrt(error) <= Exact(of_product + of_sum) * wanted.sizes[b] + Exact(rounding) * sqrt(norm));
  }
}

// Random blocks of a size.
template <class T>
std::vector<std::vector<T>> random_blocks(const InContextRegression& data, const InContextOptions& options,
                                          double size, std::uint64_t seed) {
  const auto model = make_in_context_model<T>(data, options);
  std::vector<std::vector<T>> out;
  for (const auto& block : normal_state(*model, 1.0, seed).blocks) {
    out.emplace_back();
    for (const T x : block) out.back().push_back(static_cast<T>(static_cast<double>(x) * size));
  }
  return out;
}

const InContextOptions all_options[] = {{HeadForm::merged, 8, 1, ""},
                                        {HeadForm::separate, 4, 1, ""},
                                        {HeadForm::separate, 2, 2, ""},
                                        {HeadForm::separate, 3, 4, ""}};

}  // namespace

TEMPLATE_TEST_CASE("linear attention on moments has its digits, from blocks whose products underflow on",
                   "[models]", float, double) {
  using T = TestType;
  // Gradients of the smallest are 1e-400 with double, and 1e-60 with float, whose products are 0 there.
  for (const double size : {sizeof(T) == 8 ? 1e-200 : 1e-30, 1e-6, 0.3, 1.0, 40.0})
    for (const InContextOptions& options : all_options) {
      CAPTURE(size, options.n_heads, options.rank);
      check(four, options, random_blocks<T>(four, options, size, 1));
      check({{3.0, 1e-3, 20.0}, 1}, options, random_blocks<T>({{3.0, 1e-3, 20.0}, 1}, options, size, 2));
    }
  if constexpr (sizeof(T) == 8) {
    const auto model = make_in_context_model<T>(four, all_options[1]);
    Evaluation<T> out;
    model->evaluate(random_blocks<T>(four, all_options[1], 1e-200, 1), out);
    for (const auto& gradient : out.gradients) REQUIRE(gradient.norm_scaled().log10() < -399.0);
  }
}

TEST_CASE("a run of linear attention comes to the optimum, and its gap keeps digits on the way", "[models]") {
  for (const InContextOptions& options : all_options) {
    CAPTURE(options.n_heads, options.rank);
    const auto model = make_in_context_model<double>(four, options);
    auto state = normal_state(*model, 0.3, 3);
    for (int leg = 0; leg < 4; ++leg) {
      train(*model, state, model_options("gd:step-size=0.5", 2000));
      check(four, options, state.blocks);
    }
    const std::vector<double> product = observe(*model, state, 0), best = in_context_optimum(four);
    double largest = 0.0;
    for (std::size_t k = 0; k < best.size(); ++k)
      largest = std::fmax(largest, std::fabs(product[k] - best[k]));
    REQUIRE(largest <= 1e-6);
    REQUIRE(check_gradient(*model, random_blocks<double>(four, options, 0.5, 4)).passed);
  }
}

TEST_CASE("sampled prompts have the expected loss of linear attention", "[models]") {
  const InContextRegression data = {{1.5, 0.5}, 3};
  const InContextOptions options = {HeadForm::merged, 1, 1, ""};
  const std::vector<std::vector<double>> blocks = {{1.0}, {0.5, 0.25, -0.125, 0.75}};
  const auto model = make_in_context_model<double>(data, options);
  Evaluation<double> out;
  model->evaluate(blocks, out);
  const std::size_t n_prompts = 100000, per_prompt = 2 * (1 + 1 + data.n_examples);
  const std::vector<double> normal = normal_values(n_prompts * per_prompt, 1.0, 5);
  double mean = 0.0, square = 0.0;
  for (std::size_t k = 0; k < n_prompts; ++k) {
    const double* w = normal.data() + k * per_prompt;
    const double scale[] = {std::sqrt(1.5), std::sqrt(0.5)};
    double b[2] = {0.0, 0.0};
    for (std::size_t n = 0; n < data.n_examples; ++n) {
      const double x[] = {scale[0] * w[4 + 2 * n], scale[1] * w[5 + 2 * n]};
      const double y = w[0] * x[0] + w[1] * x[1];
      for (int j = 0; j < 2; ++j) b[j] += y * x[j] / static_cast<double>(data.n_examples);
    }
    const double query[] = {scale[0] * w[2], scale[1] * w[3]};
    double error = w[0] * query[0] + w[1] * query[1];
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) error -= b[i] * blocks[1][static_cast<std::size_t>(2 * i + j)] * query[j];
    mean += error * error / n_prompts;
    square += error * error * error * error / n_prompts;
  }
  // Five standard errors.
  REQUIRE(std::fabs(mean - out.loss) <= 5.0 * std::sqrt((square - mean * mean) / n_prompts));
}

TEMPLATE_TEST_CASE("a run of linear attention put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  for (const InContextOptions& options : {all_options[0], all_options[2]}) {
    const auto model = make_in_context_model<T>(four, options);
    const auto other = make_in_context_model<T>({{0.4, 0.3, 0.2, 0.1}, 30}, options);
    check_put_down_and_taken_up(*model, *other, normal_state(*model, 0.5, 7),
                                {"gd", "ngd", "polyak", "adam", "muon"});
  }
}

// With a spectrum times 2^k, M* and the matrices are those over 2^k, L is 2^k times that of before, and so is
// the gradient of the values; that of the matrices is 2^(2 k) times that of before.
TEST_CASE("a spectrum whose cubes are no numbers has the loss and gradients of its size", "[models]") {
  const auto at = [](int power) {
    InContextRegression data;
    data.spectrum = {std::ldexp(1.0, power), std::ldexp(0.5, power)};
    data.n_examples = 10;
    InContextOptions options;
    options.n_heads = 2;
    options.form = HeadForm::merged;
    Evaluation<double> out;
    std::vector<std::vector<double>> blocks = {{1.0, 0.5}, {0.25, 0.5, -0.125, 1.0, 0.5, 0.25, 0.0, -1.0}};
    for (double& x : blocks[1]) x = std::ldexp(x, -power);
    make_in_context_model<double>(data, options)->evaluate(blocks, out);
    return out;
  };
  const Evaluation<double> plain = at(0);
  for (const int power : {-900, -400, 400, 900}) {
    INFO("2^" << power);
    const Evaluation<double> out = at(power);
    const double one = power * std::log(2.0);
    check_moved(out.loss_gap.log(), plain.loss_gap.log(), one);
    check_moved(std::log(out.loss), std::log(plain.loss), one);
    check_moved(std::log(out.optimal_loss), std::log(plain.optimal_loss), one);
    for (std::size_t k = 0; k < 2; ++k)
      check_moved(out.gradients[k].norm_scaled().log(), plain.gradients[k].norm_scaled().log(),
                  (k == 0 ? 1.0 : 2.0) * one);
  }
}

TEST_CASE("bad spectra and heads are refused by name", "[models]") {
  const auto refuse = [](const char* argument, const char* word, auto change) {
    InContextRegression data = four;
    InContextOptions options = {HeadForm::separate, 4, 1, ""};
    change(data, options);
    require_refused(argument, {word}, [&] { make_in_context_model<double>(data, options); });
  };
  using Data = InContextRegression;
  using Options = InContextOptions;
  refuse("spectrum", "no entries", [](Data& data, Options&) { data.spectrum.clear(); });
  refuse("spectrum", "entry 2: 0", [](Data& data, Options&) { data.spectrum[2] = 0.0; });
  refuse("spectrum", "entry 0: nan", [](Data& data, Options&) { data.spectrum[0] = NAN; });
  refuse("n_examples", "0", [](Data& data, Options&) { data.n_examples = 0; });
  refuse("n_heads", "0", [](Data&, Options& options) { options.n_heads = 0; });
  refuse("rank", "0", [](Data&, Options& options) { options.rank = 0; });
  refuse("rank", "1 times 3 heads (need the dimension 4",
         [](Data&, Options& options) { options.n_heads = 3; });
  refuse("rank", "only separate heads", [](Data&, Options& options) {
    options.form = HeadForm::merged;
    options.rank = 2;
  });
  require_refused("spectrum", {"no entries"}, [] { in_context_optimum({}); });
  const auto model = make_in_context_model<double>(four, {HeadForm::merged, 1, 1, ""});
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>{{1.0}, std::vector<double>(16, NAN)}, out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}
