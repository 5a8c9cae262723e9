// Next-token prediction: loss gap and both blocks' gradients against 520 digits, from moderate to saturated,
// and the laws.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "models/exact_next_token.h"
#include "models/model_runs.h"
#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using namespace softstep::test;

namespace {

template <class T>
void check(const NextTokenData& data, double theta_size, double margin_size) {
  const auto model = make_next_token_model<T>(data);
  const std::size_t n = data.vocabulary * data.dim;
  std::vector<std::vector<T>> at(2);
  for (const double x : normal_values(model->blocks()[0].size(), theta_size, 3))
    at[0].push_back(static_cast<T>(x));
  // Towards the margins and somewhere else, in double's accuracy orthogonal to F.
  std::vector<double> toward = normal_values(n, 0.05, 4);
  const OracleAnswer svm = ntp_svm(data);
  for (std::size_t i = 0; i < n; ++i)
    toward[i] = margin_size * (toward[i] + static_cast<double>(svm.weights[i] / svm.norm));
  const auto split = next_token_blocks(data, toward);
  for (const double x : split[1]) at[1].push_back(static_cast<T>(x));

  const Exactly exact(data, *model, at);
  Evaluation<T> out;
  model->evaluate(at, out);
  // Logits are sums of 3 d + 6 terms in double, each right to their size; each of V + 6 more operations
  // rounds once.
  const double u = 0x1p-53,
               terms = 3.0 * static_cast<double>(data.dim) + 6.0 + static_cast<double>(data.vocabulary);
  double logit_error = 2.0 * u * terms * exact.logit_size;
  // B off F by the rounding to T lifts the tokens of a support unequally, which the model leaves out, the
  // mean the same.
  const Exact gap = Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent));
  INFO("|theta| " << theta_size << " |B| " << margin_size << " gap " << out.loss_gap.log10());
  // KL is of second order in x: twice x's relative error, which is that of a sum with size |theta| |h|.
  const double rank = static_cast<double>(model->blocks()[0].size());
  const double x_error =
      4.0 * u * (terms + rank) *
          size_of(observe_at(*model, {std::vector<double>(at[0].size()), std::vector<double>(n)}, 1)) +
      4.0 * u * (terms + rank);
  double largest_theta = 0.0;
  for (const T x : at[0]) largest_theta = std::hypot(largest_theta, static_cast<double>(x));
  Exact gap_bound = abs(exact.value.gap) * Exact(logit_error + 16.0 * u);
  gap_bound += Exact(2.0 * x_error * largest_theta) * exact.support_size;
  CHECK(abs(Exact(gap - exact.value.gap)) <= gap_bound);
  CHECK(std::fabs(out.loss - static_cast<double>(Exact(Exact(data.entropy()) + exact.value.gap))) <=
        1e3 * u * (1.0 + out.loss) * exact.logit_size);

  const double u_t = unit_roundoff<T>;
  const auto compare = [&](const BlockGradient<T>& gradient, const Matrix& wanted, const Exact& absolute) {
    const Exact norm = norm_of(wanted);
    Matrix difference;
    const Exact scale = exp(Exact(gradient.exponent));
    for (std::size_t k = 0; k < wanted.size(); ++k)
      difference.push_back(Exact(gradient.values[k]) * scale - wanted[k]);
    CHECK(norm_of(difference) <= absolute + Exact(2.0 * u_t) * norm);
    CHECK(abs(Exact(Exact(gradient.norm) * scale - norm)) <= absolute + Exact(32.0 * u_t) * norm);
  };
  Matrix margin = exact.value.across;
  remove_span(orthonormal(equations(data)), margin);
  const Exact across = norm_of(exact.value.across);
  compare(out.gradients[1], margin, across * Exact(3.0 * logit_error + 8.0 * u * (terms + rank)));
  Matrix finite;
  for (const Matrix& row : exact.basis)
    finite.push_back(inner(row, exact.value.within) + inner(row, exact.value.across));
  compare(out.gradients[0], finite,
          across * Exact(3.0 * logit_error + 8.0 * u * (terms + rank) + x_error) +
              Exact(2.0 * x_error * largest_theta) + Exact(x_error) * norm_of(exact.value.within));
}

}  // namespace

TEMPLATE_TEST_CASE("next-token prediction has its gap and both gradients, however saturated", "[models]",
                   float, double) {
  const NextTokenData data = next_token_example(4, 7, 6, 3, 1);
  for (const double theta : {0.0, 1e-30, 1e-12, 1e-3, 1.0, 8.0})
    for (const double margin : {0.0, 1.0, 30.0, 1e3, 1e6}) check<TestType>(data, theta, margin);
  check<double>(data, 1e-200, 1e6);
}

TEST_CASE("the reference's two parts are softmax - p of the logits", "[models]") {
  const NextTokenData data = next_token_example(3, 5, 4, 2, 2);
  const auto model = make_next_token_model<double>(data);
  const auto blocks = next_token_blocks(data, normal_values(20, 1.5, 6));
  const Exactly exact(data, *model, blocks);
  const std::vector<double> finite = observe_at(*model, blocks, 1);
  Matrix wanted(20, Exact(0));
  Exact loss(0);
  for (std::size_t j = 0; j < 3; ++j) {
    std::vector<Exact> s(5, Exact(0));
    Exact sum(0);
    for (std::size_t v = 0; v < 5; ++v) {
      for (std::size_t c = 0; c < 4; ++c)
        s[v] += Exact(finite[v * 4 + c] + blocks[1][v * 4 + c]) * Exact(data.contexts[j * 4 + c]);
      sum += s[v] = exp(s[v]);
    }
    for (std::size_t v = 0; v < 5; ++v) {
      Exact p(0);
      for (std::size_t k = data.first[j]; k < data.first[j + 1]; ++k)
        if (data.tokens[k] == v) p = Exact(data.labels[k]);
      if (p != 0) loss -= Exact(data.probabilities[j]) * p * log(Exact(s[v] / sum));
      for (std::size_t c = 0; c < 4; ++c)
        wanted[v * 4 + c] +=
            Exact(data.probabilities[j]) * (s[v] / sum - p) * Exact(data.contexts[j * 4 + c]);
    }
  }
  // Up to the roundings of W_F, U and the sum of the blocks.
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(static_cast<double>(abs(Exact(wanted[i] - exact.value.within[i] - exact.value.across[i]))) <=
          1e-14);
  CHECK(std::fabs(static_cast<double>(Exact(loss - data.entropy() - exact.value.gap))) <= 1e-14);
}

TEST_CASE("some contexts are a problem of their own", "[models]") {
  const NextTokenData data = next_token_example(5, 6, 7, 2, 3);
  const auto model = make_next_token_model<double>(data);
  const auto blocks = next_token_blocks(data, normal_values(42, 1.0, 7));
  Evaluation<double> out, part;
  // pi-weighted means over {3, 0} and the others give the whole.
  const std::vector<std::size_t> some = {3, 0}, rest = {1, 2, 4};
  double loss = 0.0, gap = 0.0;
  for (const auto& samples : {some, rest}) {
    double weight = 0.0;
    for (const std::size_t j : samples) weight += data.probabilities[j];
    model->evaluate(blocks, part, want_all, SampleSet{samples});
    loss += weight * part.loss;
    gap += weight * part.loss_gap.value();
  }
  model->evaluate(blocks, out);
  CHECK(std::fabs(loss - out.loss) <= 1e-14 * (1.0 + loss));
  CHECK(std::fabs(gap - out.loss_gap.value()) <= 1e-14 * (1.0 + gap));
}

TEST_CASE("descent on both blocks with one step size is descent on W", "[models]") {
  const NextTokenData data = next_token_example(3, 5, 4, 2, 4);
  const auto model = make_next_token_model<double>(data);
  auto state = initial_state<double>(*model, next_token_blocks(data));
  std::vector<double> w(20, 0.0);
  for (int t = 0; t < 200; ++t) {
    std::vector<double> step(20, 0.0);
    for (std::size_t j = 0; j < 3; ++j) {
      std::vector<double> s(5, 0.0);
      double sum = 0.0;
      for (std::size_t v = 0; v < 5; ++v) {
        for (std::size_t c = 0; c < 4; ++c) s[v] += w[v * 4 + c] * data.contexts[j * 4 + c];
        sum += s[v] = std::exp(s[v]);
      }
      for (std::size_t k = data.first[j]; k < data.first[j + 1]; ++k)
        s[data.tokens[k]] -= sum * data.labels[k];
      for (std::size_t v = 0; v < 5; ++v)
        for (std::size_t c = 0; c < 4; ++c)
          step[v * 4 + c] += data.probabilities[j] * s[v] / sum * data.contexts[j * 4 + c];
    }
    for (std::size_t i = 0; i < 20; ++i) w[i] -= 2.0 * step[i];
    train(*model, state, model_options("gd:step-size=2", 1));
  }
  std::vector<double> both = observe(*model, state, 1);
  for (std::size_t i = 0; i < 20; ++i) both[i] += state.blocks[1][i];
  // 200 steps of some ten roundings of steps below 1, not amplified where the loss is convex and 2 is below 2
  // / L.
  for (std::size_t i = 0; i < 20; ++i) CHECK(std::fabs(both[i] - w[i]) <= 200 * 64 * 0x1p-53);
}

TEMPLATE_TEST_CASE("the finite part reaches the log-odds, the other the NTP-SVM, CE - H 1e-300 and below",
                   "[models]", float, double) {
  using T = TestType;
  for (const std::uint64_t seed : {1, 2}) {
    INFO("seed " << seed);
    const NextTokenData data = next_token_example(6, 8, 10, 3, seed);
    const OracleAnswer svm = ntp_svm(data);
    REQUIRE(svm.separable);
    const auto model = make_next_token_model<T>(data);
    auto state = initial_state<T>(*model, next_token_blocks(data));
    TrainerOptions options = model_options("gd:step-size=8;ngd:step-size=1", 20000);
    options.references = {{svm.weights.begin(), svm.weights.end()}};
    const TracedRun run = run_model(*model, state, options);
    REQUIRE(run.summary.status == TrainStatus::max_iterations);
    const TraceRecord &last = run.summary.last, &before = run.at(10000);
    CHECK(last.log10_gap < -300.0);
    CHECK(last.log10_gap < before.log10_gap);
    CHECK(last.one_minus_cos <= 1e-6);
    CHECK(std::fabs(last.angle * last.weight_norm / (before.angle * before.weight_norm) - 1.0) <= 0.1);
    const std::vector<double> finite = observe(*model, state, 1);
    for (std::size_t j = 0; j < data.n_contexts(); ++j)
      for (std::size_t k = data.first[j] + 1; k < data.first[j + 1]; ++k) {
        double odds = 0.0;
        for (std::size_t c = 0; c < data.dim; ++c)
          odds +=
              (finite[data.tokens[k] * data.dim + c] - finite[data.tokens[data.first[j]] * data.dim + c]) *
              data.contexts[j * data.dim + c];
        CHECK(std::fabs(odds - std::log(data.labels[k] / data.labels[data.first[j]])) <=
              0x1p-53 * 16.0 * static_cast<double>(data.dim) * (1.0 + size_of(finite)));
      }
    // With all digits: the exact gap at these very blocks.
    const Exactly exact(data, *model, state.blocks);
    Evaluation<T> out;
    model->evaluate(state.blocks, out, want_loss_gap);
    const Exact error =
        abs(Exact(Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent)) / exact.value.gap - 1));
    CHECK(static_cast<double>(error) <= 64.0 * 0x1p-53 * static_cast<double>(data.dim) * exact.logit_size);
  }
}

TEST_CASE("next-token examples are those of their seed; what does not fit is refused by name", "[models]") {
  const NextTokenData data = next_token_example(4, 7, 6, 3, 5), again = next_token_example(4, 7, 6, 3, 5);
  CHECK(data.contexts == again.contexts);
  CHECK(data.tokens == again.tokens);
  CHECK(data.labels == again.labels);
  CHECK(data.contexts != next_token_example(4, 7, 6, 3, 6).contexts);
  // From a Python program written from the description of the stream.
  CHECK(data.contexts[0] == 0x1.b29cda55b5e4ap-5);
  CHECK(data.probabilities[0] == 0x1.1d4b79788df00p-2);
  CHECK(data.tokens == std::vector<std::size_t>{1, 0, 4, 0, 4, 3, 0, 5, 6, 6, 5, 3});
  CHECK(data.labels[0] == 0x1.b31ca958575ffp-3);
  const auto refuse = [](const std::string& word, auto body) {
    INFO(word);
    CHECK_THROWS_MATCHES(body(), InvalidArgument, MessageMatches(ContainsSubstring(word)));
  };
  refuse("dim: 3", [] { next_token_example(4, 7, 3, 3, 1); });
  refuse("support_size: 8", [] { next_token_example(4, 7, 6, 8, 1); });
  refuse("support_size: 0", [] { next_token_example(4, 7, 6, 0, 1); });
  refuse("n_contexts: 0", [] { next_token_example(0, 7, 6, 2, 1); });
  const auto spoil = [&](const std::string& word, auto change) {
    NextTokenData bad = data;
    change(bad);
    refuse(word, [&] { make_next_token_model<double>(bad); });
  };
  spoil("vocabulary: 1", [](NextTokenData& x) { x.vocabulary = 1; });
  spoil("dim: 0", [](NextTokenData& x) { x.dim = 0; });
  spoil("contexts: 23", [](NextTokenData& x) { x.contexts.pop_back(); });
  spoil("context 1 is not finite", [](NextTokenData& x) { x.contexts[7] = NAN; });
  spoil("context 0 is zero", [](NextTokenData& x) { std::fill_n(x.contexts.begin(), 6, 0.0); });
  spoil("probabilities: entry 2", [](NextTokenData& x) { x.probabilities[2] = 0.0; });
  spoil("labels: entry 0", [](NextTokenData& x) { x.labels[0] = -0.1; });
  spoil("no normal number", [](NextTokenData& x) { x.labels[0] = 1e-30, x.labels[1] = 1e300; });
  spoil("labels: 11", [](NextTokenData& x) { x.labels.pop_back(); });
  spoil("first: 4", [](NextTokenData& x) { x.first.pop_back(); });
  spoil("context 1 has no support", [](NextTokenData& x) { x.first[2] = x.first[1]; });
  spoil("tokens: 7", [](NextTokenData& x) { x.tokens[4] = 7; });
  spoil("twice", [](NextTokenData& x) { x.tokens[1] = x.tokens[0]; });
  spoil("log-odds", [](NextTokenData& x) {  // the same context twice, with other odds
    std::copy_n(x.contexts.begin(), 6, x.contexts.begin() + 6);
    std::copy_n(x.tokens.begin(), 3, x.tokens.begin() + 3);
  });
  spoil("contexts: so small", [](NextTokenData& x) {  // weights of 2^1040
    for (double& h : x.contexts) h = std::ldexp(h, -1040);
  });
  // The same odds: compatible, and F has a smaller dimension.
  NextTokenData twice = data;
  std::copy_n(twice.contexts.begin(), 6, twice.contexts.begin() + 6);
  std::copy_n(twice.tokens.begin(), 3, twice.tokens.begin() + 3);
  std::copy_n(twice.labels.begin(), 3, twice.labels.begin() + 3);
  CHECK(make_next_token_model<double>(twice)->blocks()[0].size() == 6);
  CHECK(make_next_token_model<double>(data)->blocks()[0].size() == 8);
  refuse("weights: 5", [&] { next_token_blocks(data, std::vector<double>(5)); });
}
