// A linear model with drawn weights: loss and gradients against 520 digits, from factors whose squares
// underflow to margins of 1e3; drawn weights have the expected loss; the limit of gradient descent; runs put
// down and taken up, and bad input.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "core/reference/variational.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "softstep/gradient_check.h"
#include "softstep/linear_model.h"
#include "softstep/loss.h"
#include "softstep/variational.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double unit = 0x1p-53;

template <class T>
struct Points {
  std::vector<T> tokens, targets;
  std::vector<std::int8_t> labels;
  std::size_t dim;
  Points(std::size_t n, std::size_t d, bool real, std::uint64_t seed) : dim(d) {
    for (const double x : normal_values(n * d, 1.0, seed)) tokens.push_back(static_cast<T>(x));
    for (const double y : normal_values(n, 1.0, seed + 1)) {
      if (real)
        targets.push_back(static_cast<T>(y));
      else
        labels.push_back(y < 0.0 ? -1 : 1);
    }
  }
  BatchView<T> view() const {
    BatchView<T> batch;
    batch.tokens = tokens.data();
    batch.labels = labels.empty() ? nullptr : labels.data();
    batch.targets = targets.empty() ? nullptr : targets.data();
    batch.n_samples = tokens.size() / dim;
    batch.n_tokens = 1;
    batch.dim = dim;
    return batch;
  }
};

Exact exact_of(Scaled x) { return Exact(x.mantissa) * exp(Exact(x.exponent)); }

template <class T>
Evaluation<T> check(const Points<T>& points, const VariationalOptions& options, double mean_size,
                    double factor_size) {
  const auto model = make_variational_model<T>(points.view(), options);
  std::vector<std::vector<T>> blocks;
  for (const auto& block : normal_state(*model, 1.0, 4).blocks) {
    const double size = blocks.empty() ? mean_size : factor_size;
    blocks.emplace_back();
    for (const T x : block) blocks.back().push_back(static_cast<T>(static_cast<double>(x) * size));
  }
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const std::size_t n = points.tokens.size() / points.dim;
  std::vector<std::vector<double>> rows;
  std::vector<double> y;
  for (std::size_t i = 0; i < n; ++i) {
    const auto from = points.tokens.begin() + static_cast<std::ptrdiff_t>(i * points.dim);
    rows.emplace_back(from, from + static_cast<std::ptrdiff_t>(points.dim));
    y.push_back(points.targets.empty() ? points.labels[i] : static_cast<double>(points.targets[i]));
  }
  const std::vector<Exact> mean(blocks[0].begin(), blocks[0].end()),
      factor(blocks[1].begin(), blocks[1].end());
  const auto wanted = reference::variational<Exact>(rows, y, options.loss == Loss::exponential, mean, factor);
  // Sums over dimensions, columns and samples; an exponent is a number of its own, and so is that of a unit.
  const double rounding = unit * (4.0 * static_cast<double>(points.dim + n) +
                                  2.0 * static_cast<double>(blocks[1].size() / points.dim) + 64.0);
  const auto of_exponent = [](double exponent) { return unit * (4.0 + 4.0 * std::fabs(exponent)); };
  REQUIRE(abs(Exact(exact_of(out.loss_scaled) - wanted.loss)) <=
          Exact(rounding) * wanted.loss_size +
              Exact(of_exponent(out.loss_scaled.exponent) + rounding) * wanted.loss);
  REQUIRE(out.loss_gap.log() == out.loss_scaled.log());
  const std::vector<Exact>* gradients[] = {&wanted.mean_gradient, &wanted.factor_gradient};
  const Exact sizes[] = {wanted.mean_size, wanted.factor_size};
  for (std::size_t b = 0; b < 2; ++b) {
    CAPTURE(b, out.gradients[b].exponent);
    const std::span<const T> mantissa = out.gradients[b].mantissa();
    REQUIRE(mantissa.size() == gradients[b]->size());
    Exact error(0), norm(0);
    for (std::size_t k = 0; k < mantissa.size(); ++k) {
      const Exact found = Exact(static_cast<double>(mantissa[k])) * exp(Exact(out.gradients[b].exponent));
      error += (found - (*gradients[b])[k]) * (found - (*gradients[b])[k]);
      norm += (*gradients[b])[k] * (*gradients[b])[k];
    }
    REQUIRE(sqrt(error) <=
            Exact(rounding) * sizes[b] + Exact(static_cast<double>(std::numeric_limits<T>::epsilon()) +
                                               of_exponent(out.gradients[b].exponent)) *
                                             sqrt(norm));
  }
  return out;
}

VariationalOptions with(Loss loss, std::size_t rank = 0) { return {rank, loss, ""}; }

}  // namespace

TEMPLATE_TEST_CASE("a linear model with drawn weights has its digits, at any size of mean and factor",
                   "[models]", float, double) {
  using T = TestType;
  for (const bool real : {false, true})
    for (const double size : {sizeof(T) == 8 ? 1e-200 : 1e-30, 1e-3, 0.5, 3.0})
      for (const std::size_t rank : {std::size_t{0}, std::size_t{2}}) {
        CAPTURE(real, size, rank);
        const Points<T> points(5, 7, real, 1);
        check(points, with(Loss::squared, rank), 1.0, size);
        check(points, with(Loss::squared, rank), size, 1.0);
        if (!real) check(points, with(Loss::exponential, rank), size, 0.5);
        if (!real) check(points, with(Loss::exponential, rank), 0.5, size);
      }
  // Margins of some 1e3: losses of 1e-400 that no double holds, and their reciprocals.
  Points<T> points(1, 2, false, 3);
  points.labels[0] = 1;
  bool small = false, large = false;
  for (int turn = 0; turn < 2; ++turn) {
    const auto out = check(points, with(Loss::exponential), 2000.0, 1e-3);
    small = small || out.loss_scaled.log10() < -400.0;
    large = large || out.loss_scaled.log10() > 400.0;
    points.labels[0] = -1;
  }
  REQUIRE(small);
  REQUIRE(large);
}

TEST_CASE("drawn weights have the expected loss, and gradient descent goes to the nearest minimum",
          "[models]") {
  const Points<double> points(3, 5, true, 2), labelled(3, 5, false, 2);
  const std::vector<std::vector<double>> blocks = {normal_values(5, 0.3, 5), normal_values(25, 0.2, 6)};
  constexpr std::size_t n_draws = 200000;
  const std::vector<double> draws = normal_values(n_draws * 5, 1.0, 9);
  for (const bool real : {true, false}) {
    const auto& data = real ? points : labelled;
    const auto model =
        make_variational_model<double>(data.view(), with(real ? Loss::squared : Loss::exponential));
    Evaluation<double> out;
    model->evaluate(views_of(blocks), out, *model->make_workspace());
    double mean = 0.0, square = 0.0;
    for (std::size_t k = 0; k < n_draws; ++k) {
      double loss = 0.0;
      for (std::size_t i = 0; i < 3; ++i) {
        double f = 0.0;
        for (std::size_t a = 0; a < 5; ++a) {
          double w = blocks[0][a];
          for (std::size_t b = 0; b < 5; ++b) w += blocks[1][a * 5 + b] * draws[k * 5 + b];
          f += w * data.tokens[i * 5 + a];
        }
        loss += (real ? (f - data.targets[i]) * (f - data.targets[i]) / 2.0 : std::exp(-data.labels[i] * f)) /
                3.0;
      }
      mean += loss / n_draws;
      square += loss * loss / n_draws;
    }
    // Five standard errors.
    REQUIRE(std::fabs(mean - out.loss) <= 5.0 * std::sqrt((square - mean * mean) / n_draws));
    REQUIRE(check_gradient(*model, blocks).passed);
  }
  // All of the loss goes, and mean and factor move in the span of the points alone: a combination of the
  // three plus what was there.
  const auto model = make_variational_model<double>(points.view());
  auto state = initial_state(*model, blocks);
  train(*model, state, model_options("gd:step-size=0.1", 6000));
  Evaluation<double> out;
  model->evaluate(state.blocks, out);
  REQUIRE(out.loss <= 1e-20);
  // a direction that no point has: by Gram-Schmidt on the three
  std::vector<double> normal = normal_values(5, 1.0, 11);
  for (int pass = 0; pass < 40; ++pass)
    for (std::size_t i = 0; i < 3; ++i) {
      double along = 0.0, length = 0.0;
      for (std::size_t a = 0; a < 5; ++a) {
        along += normal[a] * points.tokens[i * 5 + a];
        length += points.tokens[i * 5 + a] * points.tokens[i * 5 + a];
      }
      for (std::size_t a = 0; a < 5; ++a) normal[a] -= along / length * points.tokens[i * 5 + a];
    }
  double left = 0.0;
  for (std::size_t i = 0; i < 3; ++i) {
    double along = 0.0;
    for (std::size_t a = 0; a < 5; ++a) along += normal[a] * points.tokens[i * 5 + a];
    left = std::fmax(left, std::fabs(along));
  }
  double moved = 0.0;
  for (std::size_t a = 0; a < 5; ++a) moved += normal[a] * (state.blocks[0][a] - blocks[0][a]);
  double change = 0.0;
  for (std::size_t a = 0; a < 5; ++a) change += std::fabs(state.blocks[0][a] - blocks[0][a]);
  // The change is a sum of multiples of the points; `left` of each is still along `normal`.
  REQUIRE(std::fabs(moved) <= 1e-10 + 100.0 * left * (1.0 + change));
}

TEMPLATE_TEST_CASE("a run with drawn weights put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  const Points<T> points(4, 3, false, 1), others(4, 3, false, 2);
  for (const Loss loss : {Loss::squared, Loss::exponential}) {
    const auto model = make_variational_model<T>(points.view(), with(loss));
    const auto other = make_variational_model<T>(others.view(), with(loss));
    check_put_down_and_taken_up(*model, *other, normal_state(*model, 0.3, 7),
                                {"gd", "ngd", "polyak", "adam", "muon"});
  }
}

// A residual r whose square is no number of double: L = r^2 / 2 all the same.
TEST_CASE("half the square of a residual may be outside the number range", "[models]") {
  const std::vector<double> token = {1.0}, target = {0.0};
  BatchView<double> batch;
  batch.n_samples = batch.n_tokens = batch.dim = 1;
  batch.tokens = token.data();
  batch.targets = target.data();
  LinearOptions of_linear;
  of_linear.loss = Loss::squared;
  const auto linear = make_linear_model<double>(batch, of_linear);
  const auto drawn = make_variational_model<double>(batch);
  for (const double r : {1e-170, 1e-160, 1e170}) {
    INFO("residual " << r);
    const double wanted = 2.0 * std::log(r) - std::log(2.0);
    // Logarithms and their sums: six roundings at most, of numbers up to the largest.
    const double bound = 6.0 * 0x1p-53 * std::fabs(wanted);
    Evaluation<double> out;
    const std::vector<double> weights = {r};
    linear->evaluate(std::span<const double>(weights), out);
    CHECK(std::fabs(out.loss_gap.log() - wanted) <= bound);
    CHECK(std::fabs(out.loss_scaled.log() - wanted) <= bound);
    const std::vector<std::vector<double>> mean_and_factor = {{r}, {0.0}};
    drawn->evaluate(mean_and_factor, out);
    CHECK(std::fabs(out.loss_gap.log() - wanted) <= bound);
    // l(gamma - delta) - l(gamma) of a gamma at its label
    CHECK(std::fabs(make_loss(Loss::squared)->difference(1.0, {r, 0.0}, 1.0).log() - wanted) <= bound);
  }
  const Scaled far = make_loss(Loss::squared)->difference(1.0, {2.0, -1e6}, 1.0);
  CHECK(far.log() == std::log(2.0) - 2e6);
}

TEST_CASE("losses without a closed form are refused by name", "[models]") {
  const Points<double> real(4, 3, true, 1), labelled(4, 3, false, 1);
  require_refused("loss", {"logistic", "no closed form"},
                  [&] { make_variational_model<double>(labelled.view(), with(Loss::logistic)); });
  require_refused("loss", {"real targets"},
                  [&] { make_variational_model<double>(real.view(), with(Loss::exponential)); });
  require_refused("rank", {"memory"},
                  [&] { make_variational_model<double>(real.view(), with(Loss::squared, SIZE_MAX)); });
  const auto model = make_variational_model<double>(real.view(), with(Loss::squared));
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>{{1.0, NAN, 0.0}, std::vector<double>(9, 1.0)}, out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}
