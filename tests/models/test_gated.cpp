// Gated linear attention on the moments of regression from several tasks: loss, gap and gradients against 520
// digits, from tiny blocks and shut gates to the optimum; the best weights; the operator with gates, and
// sampled prompts; runs put down and taken up, and bad input.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <deque>
#include <limits>
#include <vector>

#include "core/reference/gated.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "models/powers_of_two.h"
#include "softstep/gated.h"
#include "softstep/gradient_check.h"
#include "softstep/linear_attention.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;
const MultitaskRegression three = {{0.3, 1.0, 1.7}, {2, 3, 2}, {0.2, -0.5, 0.9}, 0.1};
const MultitaskRegression rising = {{0.4, 1.6}, {3, 3}, {0.3, 0.8}, 0.0};

GatedOptions with(ExampleWeights weights, std::vector<double> gates = {}) {
  return {weights, std::move(gates), ""};
}

Exact exact_of(Scaled x) { return Exact(x.mantissa) * exp(Exact(x.exponent)); }

// By the reference, once for each of the data sets.
const Exact& least_loss(const MultitaskRegression& data) {
  static std::deque<std::pair<std::vector<double>, Exact>> known;
  for (const auto& [spectrum, loss] : known)
    if (spectrum == data.spectrum) return loss;
  const auto best =
      reference::best_weights<Exact>(data.spectrum, data.n_examples, data.correlations, data.noise, 150);
  return known.emplace_back(data.spectrum, best.loss).second;
}

template <class T>
void check(const MultitaskRegression& data, const GatedOptions& options,
           const std::vector<std::vector<T>>& blocks) {
  const auto model = make_gated_model<T>(data, options);
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const std::size_t n = data.n_all_examples(), n_tasks = data.n_tasks(), d = data.spectrum.size();
  // weights and their derivatives by block 1
  std::vector<Exact> p(blocks[0].begin(), blocks[0].end()), w, gates, shut;
  if (options.weights == ExampleWeights::free) {
    w.assign(blocks[1].begin(), blocks[1].end());
  } else {
    std::vector<Exact> of_task(n_tasks, Exact(1));
    for (std::size_t k = 0; k + 1 < n_tasks; ++k) {
      const Exact odds =
          options.weights == ExampleWeights::gated ? Exact(static_cast<double>(blocks[1][k])) : Exact(0);
      gates.push_back(options.weights == ExampleWeights::gated ? Exact(1 / (1 + exp(Exact(-odds))))
                                                               : Exact(options.gates[k]));
      shut.push_back(1 / (1 + exp(odds)));
    }
    for (std::size_t k = n_tasks - 1; k-- > 0;) of_task[k] = of_task[k + 1] * gates[k];
    for (std::size_t k = 0; k < n_tasks; ++k) w.insert(w.end(), data.n_examples[k], of_task[k]);
  }
  const auto wanted =
      reference::gated<Exact>(data.spectrum, data.n_examples, data.correlations, data.noise, p, w);
  const Exact& best_loss = least_loss(data);
  // w* comes from at most 2000 rounds that end where h no longer moves by more than 4 units: h is right to 4
  // units over one less the contraction, which is below 1/2 on these data. L* is stationary in h.
  const auto counted = static_cast<double>(n + d);
  REQUIRE(out.optimal_loss == model->optimal_loss());
  REQUIRE(abs(Exact(out.optimal_loss - best_loss)) <= Exact(unit * (6.0 * counted + 32.0)) * best_loss);
  // The gap: P and w are taken less their optima, each right to `off` of what is subtracted, and then
  // squared. With g the gap, s its scale (the loss without context plus that of P alone), |sqrt(g + e) -
  // sqrt(g)| <= off sqrt(s) for each of the two.
  Exact scale(data.noise);
  for (const double s : data.spectrum) scale += Exact(s);
  const Exact gap = wanted.loss - best_loss;
  const double off =
      unit * (16.0 * counted + 64.0) *
      (options.weights == ExampleWeights::free ? 1.0 : 1.0 + 2.0 * static_cast<double>(n_tasks) * 40.0);
  const Exact root = sqrt(scale + gap) * Exact(off);
  REQUIRE(out.loss_gap.mantissa >= 0.0);
  REQUIRE(abs(Exact(exact_of(out.loss_gap) - gap)) <=
          2 * sqrt(abs(gap)) * root + root * root + Exact(unit * (8.0 * counted + 32.0)) * gap);
  REQUIRE(abs(Exact(out.loss - wanted.loss)) <=
          2 * sqrt(abs(gap)) * root + root * root + Exact(unit * (8.0 * counted + 64.0)) * wanted.loss);

  std::vector<std::vector<Exact>> gradients = {wanted.matrix_gradient};
  std::vector<Exact> sizes = {wanted.matrix_size};
  if (options.weights == ExampleWeights::free) {
    gradients.push_back(wanted.weight_gradient);
    sizes.push_back(wanted.weight_size);
  } else if (options.weights == ExampleWeights::gated) {
    gradients.emplace_back();
    Exact size(0);
    for (std::size_t j = 0; j + 1 < n_tasks; ++j) {
      Exact sum(0), part(0);
      std::size_t at = 0;
      for (std::size_t k = 0; k <= j; ++k)
        for (std::size_t i = 0; i < data.n_examples[k]; ++i, ++at) {
          sum += w[at] * wanted.weight_gradient[at];
          part += w[at] * wanted.weight_size;
        }
      gradients.back().push_back(shut[j] * sum);
      size += shut[j] * shut[j] * part * part;
    }
    sizes.push_back(sqrt(size));
  }
  REQUIRE(out.gradients.size() == gradients.size());
  for (std::size_t b = 0; b < gradients.size(); ++b) {
    CAPTURE(b, out.gradients[b].exponent);
    const std::span<const T> mantissa = out.gradients[b].mantissa();
    REQUIRE(mantissa.size() == gradients[b].size());
    Exact error(0), norm(0);
    for (std::size_t k = 0; k < mantissa.size(); ++k) {
      const Exact found = Exact(static_cast<double>(mantissa[k])) * exp(Exact(out.gradients[b].exponent));
      error += (found - gradients[b][k]) * (found - gradients[b][k]);
      norm += gradients[b][k] * gradients[b][k];
    }
    const double rounding = static_cast<double>(std::numeric_limits<T>::epsilon()) +
                            unit * (4.0 + 4.0 * std::fabs(out.gradients[b].exponent));
    REQUIRE(sqrt(error) <= Exact(off) * sizes[b] + Exact(rounding) * (sqrt(norm) + Exact(unit) * sizes[b]));
  }
}

template <class T>
std::vector<std::vector<T>> random_blocks(const MultitaskRegression& data, const GatedOptions& options,
                                          double size, double odds, std::uint64_t seed) {
  std::vector<std::vector<T>> out;
  const auto model = make_gated_model<T>(data, options);
  for (const auto& block : normal_state(*model, 1.0, seed).blocks) {
    const double factor = out.empty() || options.weights == ExampleWeights::free ? size : odds;
    out.emplace_back();
    for (const T x : block) out.back().push_back(static_cast<T>(static_cast<double>(x) * factor));
  }
  return out;
}

const GatedOptions all_options[] = {with(ExampleWeights::free), with(ExampleWeights::gated)};

}  // namespace

TEMPLATE_TEST_CASE("gated linear attention on moments has its digits, from tiny blocks and shut gates on",
                   "[models]", float, double) {
  using T = TestType;
  for (const double size : {sizeof(T) == 8 ? 1e-200 : 1e-30, 1e-6, 0.3, 1.0, 20.0})
    for (const double odds : {0.1, 2.0, 30.0}) {
      CAPTURE(size, odds);
      for (const MultitaskRegression& data : {three, rising}) {
        for (const GatedOptions& options : all_options)
          check(data, options, random_blocks<T>(data, options, size, odds, 1));
        const GatedOptions given =
            with(ExampleWeights::constant, std::vector<double>(data.n_tasks() - 1, 1.0 / (1.0 + odds)));
        check(data, given, random_blocks<T>(data, given, size, odds, 2));
      }
    }
  // A gate that is all but open or shut: gradients of 1e-400 with double.
  for (const double odds : {-900.0, 900.0}) {
    const std::vector<std::vector<T>> blocks = {{T(0.5), T(0.25), T(-0.125), T(0.75)},
                                                {static_cast<T>(odds)}};
    check(rising, with(ExampleWeights::gated), blocks);
    Evaluation<T> out;
    make_gated_model<T>(rising, with(ExampleWeights::gated))->evaluate(blocks, out);
    REQUIRE(out.gradients[1].norm_scaled().log10() < -380.0);
  }
}

TEST_CASE("runs of gated linear attention come to the best weights, and the gap keeps digits on the way",
          "[models]") {
  for (const GatedOptions& options : all_options) {
    const auto model = make_gated_model<double>(rising, options);
    auto state = normal_state(*model, 0.3, 3);
    for (int leg = 0; leg < 4; ++leg) {
      train(*model, state, model_options("gd:step-size=0.01", 20000));
      check(rising, options, state.blocks);
    }
    Evaluation<double> out;
    model->evaluate(state.blocks, out);
    REQUIRE(out.loss_gap.value() <= 1e-9);
    const std::vector<double> map = observe(*model, state, 0), best = multitask_weights(rising);
    REQUIRE(best[1] == 1.0);
    REQUIRE(std::fabs(map[0] / map[5 * 4] - best[0]) <= 1e-3);
    REQUIRE(check_gradient(*model, random_blocks<double>(rising, options, 0.5, 0.5, 4)).passed);
  }
  // With S = I the best weights are (R + (d + 1 + noise) I)^-1 r in closed form; here one example a task and
  // independent tasks but for the query: w_k = rho_k / (1 - rho_k^2 + h) up to a factor.
  const MultitaskRegression white = {{1.0, 1.0, 1.0}, {1, 1}, {0.25, 0.5}, 0.5};
  const double h = 4.5;
  const double first = 0.25 / (1.0 - 0.0625 + h), second = 0.5 / (1.0 - 0.25 + h);
  REQUIRE(std::fabs(multitask_weights(white)[0] - first / second) <= 1e-14);
  const auto model = make_gated_model<double>(white, with(ExampleWeights::free));
  REQUIRE(std::fabs(multitask_loss(white, {first, second}) - model->optimal_loss()) <= 1e-14);
  // any factor, and weights that nothing is learned with
  REQUIRE(std::fabs(multitask_loss(white, {1e200 * first, 1e200 * second}) - model->optimal_loss()) <= 1e-14);
  REQUIRE(std::fabs(multitask_loss(white, {0.0, 0.0}) - 3.5) <= 1e-14);
}

TEST_CASE("the operator of linear attention with gates predicts by the model's map, at the expected loss",
          "[models]") {
  const GatedOptions options = with(ExampleWeights::gated);
  const auto model = make_gated_model<double>(rising, options);
  const std::vector<std::vector<double>> blocks = {{0.2, 0.1, -0.05, 0.3}, {0.4}};
  const std::vector<double> map = model->observe(views_of(blocks), 0);
  Evaluation<double> out;
  model->evaluate(views_of(blocks), out, *model->make_workspace());
  const std::size_t d = 2, n = 6, n_prompts = 40000, each = d * (3 + n + 1);
  const std::vector<double> normal = normal_values(n_prompts * each, 1.0, 5);
  double mean = 0.0, square = 0.0, largest = 0.0, largest_size = 0.0;
  for (std::size_t k = 0; k < n_prompts; ++k) {
    const double* z = normal.data() + k * each;
    std::vector<double> keys(n * d), values(n), query(d), log_gates(n, 0.0);
    double target = 0.0, prediction = 0.0;
    for (std::size_t j = 0; j < d; ++j) {
      query[j] = std::sqrt(rising.spectrum[j]) * z[3 * d + n * d + j];
      target += z[j] * query[j];
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t task = i / 3;
      const double rho = rising.correlations[task];
      for (std::size_t j = 0; j < d; ++j) {
        keys[i * d + j] = std::sqrt(rising.spectrum[j]) * z[3 * d + i * d + j];
        values[i] += keys[i * d + j] * (rho * z[j] + std::sqrt(1.0 - rho * rho) * z[(1 + task) * d + j]);
      }
      for (std::size_t a = 0; a < d; ++a)
        for (std::size_t b = 0; b < d; ++b)
          prediction += query[a] * map[i * d * d + a * d + b] * values[i] * keys[i * d + b];
    }
    mean += (target - prediction) * (target - prediction) / n_prompts;
    square += std::pow(target - prediction, 4) / n_prompts;
    if (k >= 20) continue;
    // q = P^T x; the gate of the delimiter stands beside the first key of the second task
    std::vector<double> asked(d, 0.0), answer(n);
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) asked[b] += blocks[0][a * d + b] * query[a];
    std::vector<double> queries;
    for (std::size_t i = 0; i < n; ++i) queries.insert(queries.end(), asked.begin(), asked.end());
    log_gates[3] = -std::log1p(std::exp(-0.4));
    LinearAttentionInputs<double> inputs;
    inputs.shape = {.n_queries = n, .n_keys = n, .dim = d, .value_dim = 1};
    inputs.queries = {queries};
    inputs.keys = {keys};
    inputs.values = {values};
    inputs.gates = HeadGates::scalar;
    inputs.log_gates = {log_gates};
    LinearAttentionOptions how;
    how.mask.causal = true;
    linear_attention_forward(inputs, HeadsSpan<double>{answer}, how);
    largest = std::fmax(largest, std::fabs(answer[n - 1] - prediction));
    largest_size = std::fmax(largest_size, std::fabs(prediction));
  }
  // Five standard errors.
  REQUIRE(std::fabs(mean - out.loss) <= 5.0 * std::sqrt((square - mean * mean) / n_prompts));
  REQUIRE(largest_size > 0.1);
  REQUIRE(largest <= 1e-12);
}

TEMPLATE_TEST_CASE("a run of gated linear attention put down and taken up has the same bits", "[models]",
                   float, double) {
  using T = TestType;
  MultitaskRegression others = three;
  others.correlations[1] = 0.5;
  for (const GatedOptions& options : all_options) {
    const auto model = make_gated_model<T>(three, options);
    const auto other = make_gated_model<T>(others, options);
    check_put_down_and_taken_up(*model, *other, normal_state(*model, 0.3, 7),
                                {"gd:step-size=0.01", "ngd", "polyak", "adam", "muon"});
  }
}

// With spectrum and noise times 2^k and the matrix over 2^k, L and its gradient in the weights are 2^k times
// those of before, and that in the matrix is 2^(2 k) times that of before.
TEST_CASE("tasks of a spectrum whose cubes are no numbers have the loss and gradients of its size",
          "[models]") {
  const auto at = [](int power) {
    MultitaskRegression data;
    data.spectrum = {std::ldexp(1.0, power), std::ldexp(0.5, power)};
    data.n_examples = {3, 2};
    data.correlations = {0.5, 0.9};
    data.noise = std::ldexp(0.125, power);
    GatedOptions options;
    options.weights = ExampleWeights::free;
    std::vector<std::vector<double>> blocks = {{0.0625, 0.0, 0.03125, 0.125}, {1.0, 0.5, 1.0, 2.0, 1.0}};
    for (double& x : blocks[0]) x = std::ldexp(x, -power);
    Evaluation<double> out;
    make_gated_model<double>(data, options)->evaluate(blocks, out);
    return out;
  };
  const Evaluation<double> plain = at(0);
  for (const int power : {-900, -400, 400, 900}) {
    INFO("2^" << power);
    const Evaluation<double> out = at(power);
    const double one = power * std::log(2.0);
    check_moved(out.loss_gap.log(), plain.loss_gap.log(), one);
    check_moved(out.gradients[0].norm_scaled().log(), plain.gradients[0].norm_scaled().log(), 2.0 * one);
    check_moved(out.gradients[1].norm_scaled().log(), plain.gradients[1].norm_scaled().log(), one);
  }
}

// One eigenvalue s and the best weights: the gap is c (P - P*)^2 and its slope 2 c (P - P*), so that P* is
// known. Near it the gap is 2^-50 of s and less, which a plain number does not hold of an s of 2^-1000.
TEST_CASE("a small gap of a small spectrum keeps its digits", "[models]") {
  MultitaskRegression data;
  data.n_examples = {3, 2};
  data.correlations = {0.5, 0.9};
  const auto gap_at = [&](int power, double p, double* slope) {
    data.spectrum = {std::ldexp(1.0, power)};
    data.noise = std::ldexp(0.125, power);
    GatedOptions options;
    options.weights = ExampleWeights::free;
    const std::vector<double> best = multitask_weights(data);
    Evaluation<double> out;
    make_gated_model<double>(data, options)
        ->evaluate(
            std::vector<std::vector<double>>{{std::ldexp(p, -power)}, {best[0], best[0], best[0], 1.0, 1.0}},
            out);
    if (slope != nullptr) *slope = out.gradients[0].mantissa()[0] * std::exp(out.gradients[0].exponent);
    return out.loss_gap;
  };
  double slope = 0.0;
  const double of_one = gap_at(0, 1.0, &slope).value(), optimum = 1.0 - 2.0 * of_one / slope;
  const double near = optimum * (1.0 + 0x1p-25);
  const Scaled plain = gap_at(0, near, nullptr);
  REQUIRE(plain.value() > 0.0);
  REQUIRE(plain.value() < 0x1p-45);
  for (const int power : {-1000, -400, 400, 900}) {
    INFO("2^" << power);
    check_moved(gap_at(power, near, nullptr).log(), plain.log(), power * std::log(2.0));
  }
}

TEST_CASE("bad tasks and gates are refused by name", "[models]") {
  const auto refuse = [](const char* argument, const char* word, auto change) {
    MultitaskRegression data = three;
    GatedOptions options = with(ExampleWeights::constant, {0.5, 1.0});
    change(data, options);
    require_refused(argument, {word}, [&] { make_gated_model<double>(data, options); });
  };
  using Data = MultitaskRegression;
  using Options = GatedOptions;
  refuse("spectrum", "no entries", [](Data& data, Options&) { data.spectrum.clear(); });
  refuse("spectrum", "entry 1: nan", [](Data& data, Options&) { data.spectrum[1] = NAN; });
  refuse("n_examples", "no entries", [](Data& data, Options&) { data.n_examples.clear(); });
  refuse("n_examples", "entry 2: 0", [](Data& data, Options&) { data.n_examples[2] = 0; });
  refuse("n_examples", "fit in memory", [](Data& data, Options&) { data.n_examples[2] = SIZE_MAX - 1; });
  refuse("correlations", "2 entries", [](Data& data, Options&) { data.correlations.pop_back(); });
  refuse("correlations", "entry 0: 1.5", [](Data& data, Options&) { data.correlations[0] = 1.5; });
  refuse("correlations", "entry 0: nan", [](Data& data, Options&) { data.correlations[0] = NAN; });
  refuse("correlations", "all 0", [](Data& data, Options&) { data.correlations.assign(3, 0.0); });
  refuse("correlations", "largest in size 1e-100",
         [](Data& data, Options&) { data.correlations.assign(3, -1e-100); });
  refuse("spectrum", "entry 1: 1e-200", [](Data& data, Options&) { data.spectrum[1] = 1e-200; });
  refuse("spectrum", "entry 0: 1e+308", [](Data& data, Options&) { data.spectrum.assign(3, 1e308); });
  // As far as that goes there are numbers.
  MultitaskRegression far = three;
  far.correlations.assign(3, 1e-30);
  far.spectrum[1] = 1e-79 * far.spectrum[0];
  REQUIRE(std::isfinite(multitask_loss(far, {1.0, 2.0, 3.0})));
  for (const double weight : multitask_weights(far)) REQUIRE(std::isfinite(weight));
  refuse("noise", "-1", [](Data& data, Options&) { data.noise = -1.0; });
  refuse("gates", "entry 1: 0 (need", [](Data&, Options& options) { options.gates[1] = 0.0; });
  refuse("gates", "entry 0: 1.25 (need", [](Data&, Options& options) { options.gates[0] = 1.25; });
  refuse("gates", "entry 0: nan (need", [](Data&, Options& options) { options.gates[0] = NAN; });
  refuse("gates", "1 entries (need one less", [](Data&, Options& options) { options.gates.pop_back(); });
  refuse("gates", "only constant", [](Data&, Options& options) { options.weights = ExampleWeights::free; });
  refuse("n_examples", "a gate stands between two", [](Data& data, Options& options) {
    data.n_examples = {3};
    data.correlations = {0.5};
    options = with(ExampleWeights::gated);
  });
  require_refused("weights", {"2 entries"}, [] { multitask_loss(three, {1.0, 1.0}); });
  require_refused("weights", {"entry 1: inf"}, [] { multitask_loss(three, {1.0, INFINITY, 1.0}); });
  const auto model = make_gated_model<double>(three, with(ExampleWeights::gated));
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>{std::vector<double>(9, 1.0), {NAN, 0.0}}, out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}

TEST_CASE("a gated run notes the step at which its map comes near another", "[models]") {
  // A map of n constant weights moves by sqrt(n) times what P does.
  const MultitaskRegression data = {{0.3, 1.0, 1.7}, {60, 40}, {0.4, 0.9}, 0.1};
  const auto model = make_gated_model<double>(data, with(ExampleWeights::constant, {1.0}));
  TrainState<double> end = normal_state(*model, 1e-3, 5);
  train(*model, end, model_options("ngd:step-size=1e-4", 400));
  TrainerOptions options = model_options("ngd:step-size=1e-4", 300);
  options.references = {observe(*model, end, 0)};
  options.thresholds = {0.2, 0.1, 0.05, 0.02};
  options.trace_rows_per_decade = 1000;  // every step
  TrainState<double> state = normal_state(*model, 1e-3, 5);
  const TracedRun run = run_model(*model, state, options);
  REQUIRE(run.trace.size() == 301);
  REQUIRE(run.summary.time_to.size() == options.thresholds.size());
  for (const TrainSummary::Crossing& crossing : run.summary.time_to) {
    INFO(crossing.threshold << " at step " << crossing.step);
    CHECK(run.at(crossing.step).one_minus_cos <= crossing.threshold);
    CHECK(run.at(crossing.step - 1).one_minus_cos > crossing.threshold);
  }
}
