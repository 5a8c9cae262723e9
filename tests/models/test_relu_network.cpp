// Networks with one hidden layer, on samples and over Gaussian clusters: loss and gradients against 520
// digits, from ordinary sizes to gradients of 1e-400, against each other by sampling, runs put down and taken
// up, losses without L*, kinks, and bad input.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/reference/relu_network.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "softstep/relu_network.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;

// Points in T and what looks at them.
template <class T>
struct Points {
  std::vector<T> tokens;
  std::vector<std::int8_t> labels;
  std::vector<double> plain, signs;
  BatchView<T> view;
  Points(std::size_t n, std::size_t dim, std::uint64_t seed) {
    for (const double x : normal_values(n * dim, 1.0, seed)) tokens.push_back(static_cast<T>(x));
    for (std::size_t i = 0; i < n; ++i) labels.push_back(i % 3 == 0 ? -1 : 1);
    plain.assign(tokens.begin(), tokens.end());
    signs.assign(labels.begin(), labels.end());
    view.tokens = tokens.data();
    view.labels = labels.data();
    view.n_samples = n;
    view.n_tokens = 1;
    view.dim = dim;
  }
};

template <class T>
std::vector<std::vector<T>> blocks_of(const std::vector<std::vector<double>>& values) {
  std::vector<std::vector<T>> out;
  for (const auto& block : values) out.emplace_back(block.begin(), block.end());
  return out;
}

template <class Numbers>
std::vector<Exact> exact(const Numbers& values) {
  return {values.begin(), values.end()};
}

// A number against its exact value, the bound relative to `size`.
void check_number(Scaled found, const Exact& wanted, const Exact& size, double bound) {
  const Exact difference = abs(Exact(Exact(found.mantissa) * exp(Exact(found.exponent)) - wanted));
  CAPTURE(found.log10(), static_cast<double>(Exact(difference / size)), bound);
  REQUIRE(difference <= Exact(bound) * size);
}

// A gradient in T: mantissas rounded once, an exponent rounded by u of itself.
template <class T>
void check_gradient_of(const BlockGradient<T>& found, const std::vector<Exact>& wanted, const Exact& size,
                       double bound) {
  Exact error(0), norm(0), norm_of_found(0);
  const std::span<const T> mantissa = found.mantissa();
  REQUIRE(mantissa.size() == wanted.size());
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    const Exact x = Exact(static_cast<double>(mantissa[k])) * exp(Exact(found.exponent));
    error += (x - wanted[k]) * (x - wanted[k]);
    norm += wanted[k] * wanted[k];
    norm_of_found += x * x;
  }
  const bool is_zero = found.exponent == -std::numeric_limits<double>::infinity();
  const double of_exponent = unit * (4.0 + (is_zero ? 0.0 : 2.0 * std::fabs(found.exponent)));
  const double rounding = static_cast<double>(std::numeric_limits<T>::epsilon()) + of_exponent;
  CAPTURE(found.exponent, static_cast<double>(Exact(sqrt(error) / size)), bound, rounding);
  REQUIRE(sqrt(error) <= Exact(bound) * size + Exact(rounding) * sqrt(norm));
  // The kernel's sum of squares.
  REQUIRE(abs(Exact(Exact(found.norm) * exp(Exact(found.exponent)) - sqrt(norm_of_found))) <=
          Exact(static_cast<double>(wanted.size()) * static_cast<double>(std::numeric_limits<T>::epsilon()) +
                of_exponent) *
              sqrt(norm_of_found));
}

template <class T>
void check_on_points(std::size_t n, std::size_t dim, std::size_t m, double size, bool logistic,
                     bool train_outer, std::uint64_t seed) {
  CAPTURE(n, dim, m, size, logistic, train_outer, seed);
  const Points<T> points(n, dim, seed);
  ReluOptions options;
  options.n_neurons = m;
  if (!logistic) options.own_loss = make_correlation_loss();
  std::vector<double> outer = normal_values(m, 1.0, seed + 1);
  if (!train_outer) options.outer = outer;
  const auto model = make_relu_model(points.view, options);
  std::vector<std::vector<double>> values = {normal_values(m * dim, size, seed + 2)};
  if (train_outer) values.push_back(outer);
  const auto blocks = blocks_of<T>(values);
  if (train_outer) outer.assign(blocks[1].begin(), blocks[1].end());
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const auto wanted = reference::relu_network<Exact>(points.plain, points.signs, dim, logistic,
                                                     exact(blocks[0]), exact(outer));
  // z is a sum of dim products and f one of m; exp turns its absolute error into a relative one.
  const double d = static_cast<double>(dim), neurons = static_cast<double>(m);
  REQUIRE(wanted.closest_to_kink > Exact((d + 2.0) * unit));
  const double in_output = (d + neurons + 4.0) * unit * static_cast<double>(wanted.output_size);
  const double bound = in_output + unit * (static_cast<double>(n) + d + neurons + 64.0);
  check_number(out.loss_scaled, wanted.loss, wanted.loss_size, bound);
  if (logistic) {
    check_number(out.loss_gap, wanted.loss, wanted.loss_size, bound);
    REQUIRE(out.optimal_loss == 0.0);
  } else {
    REQUIRE(out.optimal_loss == -std::numeric_limits<double>::infinity());
    REQUIRE(model->optimal_loss() == out.optimal_loss);
  }
  check_gradient_of(out.gradients[0], wanted.weights_gradient, wanted.weights_size, bound);
  if (train_outer) check_gradient_of(out.gradients[1], wanted.outer_gradient, wanted.outer_size, bound);
}

const GaussianClusters plane = {
    2, {0.225, 0.3, 0.225, -0.3, -0.375, 0.0}, {0.25, 0.25, 0.5}, {1, 1, -1}, 0.1};

template <class T>
Evaluation<T> check_population(const GaussianClusters& clusters, const std::vector<double>& weights,
                               bool train_outer, std::uint64_t seed) {
  const std::size_t m = weights.size() / clusters.dim;
  CAPTURE(clusters.sigma, m, train_outer, seed);
  std::vector<double> outer = normal_values(m, 1.0, seed);
  const auto model = make_relu_population_model<T>(clusters, m, train_outer ? std::vector<double>{} : outer);
  std::vector<std::vector<double>> values = {weights};
  if (train_outer) values.push_back(outer);
  const auto blocks = blocks_of<T>(values);
  if (train_outer) outer.assign(blocks[1].begin(), blocks[1].end());
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const auto wanted = reference::relu_population<Exact>(clusters, exact(blocks[0]), exact(outer));
  // w' has d + 4 roundings, m = w'^T mu / sigma as many more; Phi and phi are off by |m| + 1 times that, and
  // by what x^2 / 2 of the exponent loses.
  double farthest = 0.0;
  for (std::size_t c = 0; c < clusters.n_clusters(); ++c) {
    double squared = 0.0;
    for (std::size_t j = 0; j < clusters.dim; ++j)
      squared += clusters.means[c * clusters.dim + j] * clusters.means[c * clusters.dim + j];
    farthest = std::fmax(farthest, std::sqrt(squared));
  }
  const double d = static_cast<double>(clusters.dim);
  const double reach = clusters.sigma > 0.0 ? farthest / clusters.sigma : 0.0;
  const double bound = unit * ((2.0 * d + 8.0) * (1.0 + reach) * reach + 2.0 * reach * reach + 32.0 +
                               static_cast<double>(m) + d);
  check_number(out.loss_scaled, wanted.loss, wanted.loss_size, bound);
  check_gradient_of(out.gradients[0], wanted.weights_gradient, wanted.weights_size, bound);
  if (train_outer) check_gradient_of(out.gradients[1], wanted.outer_gradient, wanted.outer_size, bound);
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("a relu network on points has its digits, to gradients of 1e-400 and beyond", "[models]",
                   float, double) {
  for (const bool train_outer : {false, true})
    for (const bool logistic : {false, true})
      for (const double size : {1e-3, 1.0, 30.0}) {
        check_on_points<TestType>(7, 3, 5, size, logistic, train_outer, 1);
        check_on_points<TestType>(1, 1, 1, size, logistic, train_outer, 2);
        check_on_points<TestType>(12, 9, 17, size, logistic, train_outer, 3);
      }
  // Two points told apart by two neurons: margins of w.
  Points<TestType> points(2, 1, 0);
  points.tokens = {TestType(1), TestType(-1)};
  points.labels = {1, -1};
  points.plain = {1.0, -1.0};
  points.signs = {1.0, -1.0};
  ReluOptions options;
  options.n_neurons = 2;
  options.outer = {1.0, -1.0};
  const auto model = make_relu_model(points.view, options);
  for (const double w : {40.0, 1000.0, 1100.0}) {
    const auto blocks = blocks_of<TestType>({{w, -1.25 * w}});
    Evaluation<TestType> out;
    model->evaluate(blocks, out);
    const auto wanted = reference::relu_network<Exact>(points.plain, points.signs, 1, true, exact(blocks[0]),
                                                       exact(options.outer));
    REQUIRE(out.accuracy == 1.0);
    if (w >= 1000.0) REQUIRE(out.gradients[0].norm_scaled().log10() < -400.0);
    const double bound = unit * (8.0 * 2.0 * w + 64.0);
    check_number(out.loss_scaled, wanted.loss, wanted.loss_size, bound);
    check_gradient_of(out.gradients[0], wanted.weights_gradient, wanted.weights_size, bound);
  }
}

TEMPLATE_TEST_CASE("the population loss of a relu network has its digits, to gradients of 1e-400 and beyond",
                   "[models]", float, double) {
  using T = TestType;
  for (const bool train_outer : {false, true}) {
    for (const double size : {1e-30, 1e-3, 1.0, 1e6}) {
      check_population<T>(plane, normal_values(10, size, 4), train_outer, 5);
      GaussianClusters points = plane;
      points.sigma = 0.0;
      check_population<T>(points, normal_values(10, size, 6), train_outer, 7);
      GaussianClusters wide = plane;
      wide.sigma = 3.0;
      check_population<T>(wide, normal_values(10, size, 8), train_outer, 9);
    }
    // Every neuron turns away from every cluster, by 5, 20, 40 and 45 sigma.
    for (const double sigma : {0.2, 0.05, 0.025, 1.0 / 45.0}) {
      const GaussianClusters ahead = {2, {1.0, 0.125, 1.0, -0.25}, {0.5, 0.5}, {1, -1}, sigma};
      const Evaluation<T> out = check_population<T>(ahead, {-1.0, 0.0, -2.0, 0.0625}, train_outer, 10);
      if (sigma < 0.024) REQUIRE(out.gradients[0].norm_scaled().log10() < -400.0);
    }
    // A neuron at 0 sees every cluster.
    check_population<T>(plane, {0.0, 0.0, 1.0, 0.5}, train_outer, 11);
  }
}

// phi(m) + m Phi(m) is phi(m) / m^2 (1 - 3 / m^2 + 15 / m^4 - ...): the two terms cancel all but that.
TEMPLATE_TEST_CASE("a neuron that turns far away from its cluster keeps the digits of what is left",
                   "[models]", float, double) {
  using T = TestType;
  for (const double m : {1e3, 1e4, 1e6, 1e8}) {
    INFO(m << " sigma away");
    const GaussianClusters cluster = {1, {-m}, {1.0}, {1}, 1.0};
    const auto model = make_relu_population_model<T>(cluster, 1);
    const std::vector<std::vector<T>> blocks = {{T(1)}, {T(1)}};
    Evaluation<T> out;
    model->evaluate(blocks, out);
    const double step = 1.0 / (m * m),
                 wanted = step * (1.0 - 3.0 * step + 15.0 * step * step) / std::sqrt(2.0 * M_PI);
    // What the series leaves out is 105 / m^6, below 2^-53; every operation rounds once.
    const double u = 0x1p-53;
    CHECK(out.loss_scaled.exponent == -0.5 * m * m);
    CHECK(std::fabs(-out.loss_scaled.mantissa / wanted - 1.0) <= 32.0 * u);
    for (const BlockGradient<T>& gradient : out.gradients) {
      CHECK(gradient.mantissa()[0] < T(0));
      const double found = std::log(gradient.norm) + (gradient.exponent + 0.5 * m * m);
      // The exponents are rounded at their own size.
      const double bound =
          2.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) + 32.0 * u + u * m * m;
      CHECK(std::fabs(found - std::log(wanted)) <= bound + 4.0 * u * std::fabs(std::log(wanted)));
    }
  }
}

TEST_CASE("a neuron that turns away by some sigma keeps the digits of what is left", "[models]") {
  for (const double m : {6.5, 8.0, 12.0, 20.0, 36.0, 37.5}) {
    INFO(m << " sigma away");
    const GaussianClusters cluster = {1, {-m}, {1.0}, {1}, 1.0};
    Evaluation<double> out;
    make_relu_population_model<double>(cluster, 1)
        ->evaluate(std::vector<std::vector<double>>{{1.0}, {1.0}}, out);
    const Exact x = m, density = exp(-x * x / 2) / sqrt(2 * boost::math::constants::pi<Exact>());
    const Exact wanted = log(density - x * erfc(x / sqrt(Exact(2))) / 2);
    // 24 terms of the fraction have two roundings each, of which each term passes on less than half; the
    // exponent is rounded at its own size, and so are the two logarithms here.
    const double u = 0x1p-53, bound = 16.0 * u + 4.0 * u * m * m;
    const double of_loss = std::log(-out.loss_scaled.mantissa) + out.loss_scaled.exponent;
    CHECK(std::fabs(of_loss - static_cast<double>(wanted)) <= bound);
    for (const BlockGradient<double>& gradient : out.gradients)
      CHECK(std::fabs(std::log(gradient.norm) + gradient.exponent - static_cast<double>(wanted)) <= bound);
  }
}

TEST_CASE("points drawn from the clusters have the population's loss and gradient", "[models]") {
  // 2e5 draws: the mean of n bounded terms is off by 5 / sqrt(n) of their size with probability 1e-6.
  const std::size_t n = 200000, m = 4;
  const std::vector<double> noise = normal_values(2 * n, plane.sigma, 21);
  std::vector<double> tokens;
  std::vector<std::int8_t> labels;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t c = i % 4 < 2 ? i % 4 : 2;
    for (std::size_t j = 0; j < 2; ++j) tokens.push_back(plane.means[2 * c + j] + noise[2 * i + j]);
    labels.push_back(plane.labels[c]);
  }
  BatchView<double> batch;
  batch.tokens = tokens.data();
  batch.labels = labels.data();
  batch.n_samples = n;
  batch.n_tokens = 1;
  batch.dim = 2;
  ReluOptions options;
  options.n_neurons = m;
  options.outer = {1.0, -1.0, 0.5, 2.0};
  options.own_loss = make_correlation_loss();
  const auto sampled = make_relu_model(batch, options);
  const auto population = make_relu_population_model<double>(plane, m, options.outer);
  const std::vector<double> w = normal_values(2 * m, 1.0, 22);
  Evaluation<double> a, b;
  sampled->evaluate(std::span<const double>(w), a);
  population->evaluate(std::span<const double>(w), b);
  const double error = 5.0 / std::sqrt(static_cast<double>(n));
  // |f| <= sum |a| |w| |x|, |x| about 0.5
  REQUIRE(std::fabs(a.loss - b.loss) <= error * 4.5 * 2.0 * 0.5);
  for (std::size_t k = 0; k < w.size(); ++k) {
    const double found = a.gradients[0].values[k] * std::exp(a.gradients[0].exponent);
    const double wanted = b.gradients[0].values[k] * std::exp(b.gradients[0].exponent);
    REQUIRE(std::fabs(found - wanted) <= error * 2.0 * 0.5);
  }
}

TEST_CASE("the mean over some clusters or samples is a problem of its own", "[models]") {
  const auto population = make_relu_population_model<double>(plane, 3);
  const Points<double> points(3, 2, 5);
  ReluOptions options;
  options.n_neurons = 3;
  const auto sampled = make_relu_model(points.view, options);
  for (Model<double>* model : {population.get(), sampled.get()}) {
    const auto state = normal_state(*model, 1.0, 3);
    Evaluation<double> whole, part;
    model->evaluate(state.blocks, whole);
    double loss = 0.0, outer = 0.0;
    for (const std::vector<std::size_t>& some : {std::vector<std::size_t>{2, 0}, {1}}) {
      model->evaluate(state.blocks, part, want_all, SampleSet{some});
      const double share = static_cast<double>(some.size()) / 3.0;
      loss += share * part.loss;
      outer += share * part.gradients[1].values[0] * std::exp(part.gradients[1].exponent);
    }
    REQUIRE(std::fabs(loss - whole.loss) <= 1e-14);
    REQUIRE(std::fabs(outer - whole.gradients[1].values[0] * std::exp(whole.gradients[1].exponent)) <= 1e-14);
  }
}

TEMPLATE_TEST_CASE("a run of a relu network put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  const Points<T> points(6, 3, 1), others(6, 3, 2);
  ReluOptions options;
  options.n_neurons = 4;
  GaussianClusters moved = plane;
  moved.means[0] += 1e-9;
  const auto check = [](const Model<T>& model, const Model<T>& other) {
    check_put_down_and_taken_up(model, other, normal_state(model, 0.5, 7),
                                {"gd:step-size=0.1", "sign", "adam", "signum"});
  };
  check(*make_relu_model(points.view, options), *make_relu_model(others.view, options));
  check(*make_relu_population_model<T>(plane, 4), *make_relu_population_model<T>(moved, 4));
}

// Outer weights that are trained are an empty array, whose address is null: the fuzz target c_calls found
// that the digest took no bytes from there, which UBSan sees.
TEST_CASE("a relu network's identity tells of its data and its outer weights, also where it has none",
          "[models]") {
  const Points<double> points(3, 2, 5), others(3, 2, 6);
  ReluOptions trained, fixed, turned;
  trained.n_neurons = fixed.n_neurons = turned.n_neurons = 2;
  fixed.outer = {1.0, -1.0};
  turned.outer = {-1.0, 1.0};
  const auto identity = [](const Points<double>& data, const ReluOptions& options) {
    return make_relu_model(data.view, options)->identity();
  };
  CHECK(identity(points, trained) == identity(points, trained));
  CHECK(identity(points, trained) != identity(others, trained));
  CHECK(identity(points, trained) != identity(points, fixed));
  CHECK(identity(points, fixed) != identity(points, turned));
}

TEST_CASE("numbers that are none stay so, zero slopes are a zero gradient, and a kink has the slope 1",
          "[models]") {
  const Points<double> points(3, 2, 5);
  ReluOptions options;
  options.n_neurons = 2;
  options.outer = {1.0, -1.0};
  const auto sampled = make_relu_model(points.view, options);
  const auto population = make_relu_population_model<double>(plane, 2, options.outer);
  Evaluation<double> out;
  for (Model<double>* model : {sampled.get(), population.get()}) {
    model->evaluate(std::vector<std::vector<double>>{{1.0, NAN, 0.5, 2.0}}, out);
    REQUIRE(std::isnan(out.loss));
    REQUIRE(std::isnan(out.gradients[0].norm));
  }
  population->evaluate(std::vector<std::vector<double>>{{1.0, HUGE_VAL, 0.5, 2.0}}, out);
  REQUIRE(std::isnan(out.gradients[0].norm));
  // From w = 0 every neuron sees every point: -dL/dw_k = (1/n) sum_i y_i a_k x_i / 2.
  sampled->evaluate(std::vector<std::vector<double>>{{0.0, 0.0, 0.0, 0.0}}, out);
  for (std::size_t k = 0; k < 2; ++k)
    for (std::size_t j = 0; j < 2; ++j) {
      double wanted = 0.0;
      for (std::size_t i = 0; i < 3; ++i)
        wanted -= points.signs[i] * options.outer[k] * points.plain[2 * i + j] / 6.0;
      const double found = out.gradients[0].values[2 * k + j] * std::exp(out.gradients[0].exponent);
      REQUIRE(std::fabs(found - wanted) <= 64.0 * unit);  // entries below 1, an exponent of a few
    }
  // A squared loss that is 0: w = 0 and targets 0.
  BatchView<double> batch = points.view;
  const std::vector<double> targets(3, 0.0);
  batch.targets = targets.data();
  options.loss = Loss::squared;
  const auto squared = make_relu_model(batch, options);
  squared->evaluate(std::vector<std::vector<double>>{{0.0, 0.0, 0.0, 0.0}}, out);
  REQUIRE(out.loss == 0.0);
  REQUIRE(std::isnan(out.accuracy));
  REQUIRE(out.gradients[0].norm == 0.0);
  REQUIRE(out.gradients[0].exponent == -std::numeric_limits<double>::infinity());
}

TEST_CASE("rules that need L* are refused where a loss has none, and bad networks by name", "[models]") {
  const Points<double> points(3, 2, 5);
  ReluOptions options;
  options.n_neurons = 2;
  options.own_loss = make_correlation_loss();
  const auto unbounded = make_relu_model(points.view, options);
  const auto population = make_relu_population_model<double>(plane, 2);
  for (const Model<double>* model : {unbounded.get(), population.get()}) {
    auto state = normal_state(*model, 1.0, 1);
    for (const char* rule : {"polyak", "momentum", "sps", "alig"})
      require_refused("rules", {rule, "unbounded below"},
                      [&] { train(*model, state, model_options(rule, 1)); });
    REQUIRE(train(*model, state, model_options("adam", 3)).status == TrainStatus::max_iterations);
  }
  // With an L* that the caller knows they run.
  options.optimal_loss = OptimalLoss::value;
  options.optimal_loss_value = -100.0;
  const auto known = make_relu_model(points.view, options);
  auto state = normal_state(*known, 1.0, 1);
  REQUIRE(train(*known, state, model_options("polyak", 1)).status == TrainStatus::max_iterations);

  const auto refuse = [&](const char* argument, const std::string& word, auto change) {
    ReluOptions bad;
    bad.n_neurons = 2;
    change(bad);
    require_refused(argument, {word}, [&] { make_relu_model(points.view, bad); });
  };
  refuse("n_neurons", "0", [](ReluOptions& x) { x.n_neurons = 0; });
  refuse("n_neurons", "memory", [](ReluOptions& x) { x.n_neurons = std::size_t{1} << 60; });
  refuse("outer", "3 entries (need n_neurons = 2", [](ReluOptions& x) { x.outer = {1.0, 1.0, 1.0}; });
  refuse("outer", "entry 1", [](ReluOptions& x) { x.outer = {1.0, NAN}; });
  refuse("optimal_loss", "selected", [](ReluOptions& x) { x.optimal_loss = OptimalLoss::selected; });
  refuse("optimal_loss_value", "inf", [](ReluOptions& x) { x.optimal_loss_value = HUGE_VAL; });

  const auto spoil = [&](const char* argument, const std::string& word, auto change) {
    GaussianClusters bad = plane;
    change(bad);
    require_refused(argument, {word}, [&] { make_relu_population_model<double>(bad, 2); });
  };
  spoil("dim", "0", [](GaussianClusters& x) { x.dim = 0; });
  spoil("labels", "no entries", [](GaussianClusters& x) { x.labels.clear(); });
  spoil("labels", "cluster 2: 0", [](GaussianClusters& x) { x.labels[2] = 0; });
  spoil("means", "5 entries", [](GaussianClusters& x) { x.means.pop_back(); });
  spoil("means", "cluster 1 is not finite", [](GaussianClusters& x) { x.means[3] = NAN; });
  spoil("probabilities", "2 entries", [](GaussianClusters& x) { x.probabilities.pop_back(); });
  spoil("probabilities", "cluster 0: 0", [](GaussianClusters& x) { x.probabilities[0] = 0.0; });
  spoil("probabilities", "add up to 0.75", [](GaussianClusters& x) { x.probabilities[2] = 0.25; });
  spoil("sigma", "-1", [](GaussianClusters& x) { x.sigma = -1.0; });
  require_refused("n_neurons", {"0"}, [] { make_relu_population_model<double>(plane, 0); });
  require_refused("n_neurons", {"memory"},
                  [] { make_relu_population_model<double>(plane, std::size_t{1} << 60); });
  require_refused("outer", {"1 entries"}, [] { make_relu_population_model<double>(plane, 2, {1.0}); });
}
