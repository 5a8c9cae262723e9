// Attention with a vocabulary head: loss, gap and gradients against 520 digits, softmax and linear, with and
// without a feed-forward layer, from small to saturated attention; runs to gradients of 1e-400, runs put down
// and taken up, and bad input.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "core/reference/vocabulary_attention.h"
#include "data/refused.h"
#include "models/model_runs.h"
#include "softstep/gradient_check.h"
#include "softstep/vocabulary_attention.h"
#include "support/exact.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Sentences of 1 to 4 random tokens; the first is followed by one token, others by one or by `n_next`.
SentenceData sentences(std::size_t n, std::size_t dim, std::size_t vocabulary, std::size_t n_next,
                       std::uint64_t seed) {
  SentenceData out;
  out.vocabulary = vocabulary;
  out.dim = dim;
  out.first = out.first_next = {0};
  const std::vector<double> normal = normal_values(4 * n * dim, 1.0, seed);
  out.tokens = normal;
  for (std::size_t i = 0; i < n; ++i) {
    out.first.push_back(out.first.back() + 1 + (i + 3) % 4);
    out.probabilities.push_back(1.0 + 0.25 * static_cast<double>(i % 3));
    for (std::size_t k = 0; k < (i % 2 == 0 ? 1 : n_next); ++k) {
      out.next.push_back((seed + 2 * i + k) % vocabulary);
      out.labels.push_back(0.5 + static_cast<double>(k));
    }
    out.first_next.push_back(out.next.size());
  }
  out.tokens.resize(out.first.back() * dim);
  return out;
}

template <class T>
using Blocks = std::vector<std::vector<T>>;

template <class T>
void check(const SentenceData& data, const VocabularyAttentionOptions& options, const Blocks<T>& blocks) {
  const auto model = make_vocabulary_attention_model<T>(data, options);
  Evaluation<T> out;
  model->evaluate(blocks, out);
  const std::size_t d = data.dim, head = data.vocabulary * d;
  const auto exact = [](const auto& values) { return std::vector<Exact>(values.begin(), values.end()); };
  std::vector<Exact> w(d * d, Exact(0));
  if (options.directions.empty()) w = exact(blocks[0]);
  for (std::size_t k = 0; k < options.directions.size(); ++k)
    w[k % (d * d)] += Exact(blocks[0][k / (d * d)]) * Exact(options.directions[k]);
  std::size_t block = 1;
  const std::vector<Exact> values = options.values.empty() ? exact(blocks[block++]) : exact(options.values);
  std::vector<Exact> feed_forward(head, Exact(0));
  if (options.has_feed_forward)
    feed_forward = options.feed_forward.empty() ? exact(blocks[block]) : exact(options.feed_forward);
  const bool is_linear = options.mixing == TokenMixing::linear;
  const auto wanted = reference::vocabulary_attention<Exact>(data, is_linear, w, values, feed_forward);
  std::size_t longest = 0;
  for (std::size_t i = 0; i < data.n_sentences(); ++i)
    longest = std::max(longest, data.first[i + 1] - data.first[i]);
  // A score has 2 d + 2 roundings of its terms (one more where W is put together), a logit d + T + 4 and what
  // the attention is off by. A share is off by twice that, relatively; so is the attention; sums have d, V
  // and T terms.
  const double unit = 0x1p-53, terms = static_cast<double>(d + data.vocabulary + longest);
  const double of_scores =
      unit * (2.0 * static_cast<double>(d) + 4.0) * static_cast<double>(wanted.score_size);
  const double of_logits =
      (unit * (terms + 8.0) + (is_linear ? 0.0 : 2.0 * of_scores)) * static_cast<double>(wanted.logit_size);
  const double linear_scores = unit * (2.0 * static_cast<double>(d) + 4.0);
  const double bound =
      2.0 * (of_logits +
             (is_linear ? linear_scores * (1.0 + static_cast<double>(wanted.logit_size)) : of_scores)) +
      unit * (4.0 * terms + 64.0);
  const Exact gap = options.infimum == SentenceInfimum::entropy ? Exact(wanted.loss - wanted.entropy)
                                                                : Exact(wanted.loss - wanted.at_best);
  const auto of = [](Scaled x) { return Exact(Exact(x.mantissa) * exp(Exact(x.exponent))); };
  CAPTURE(out.loss_gap.log10(), out.gradients[0].exponent, bound);
  const bool is_certain = data.next.size() == data.n_sentences();
  // What of the gap is not relative: sentences with several next tokens, where terms cancel; from the best
  // token those of both signs, which the gradient's size bounds.
  const Exact allowed = options.infimum == SentenceInfimum::best_token
                            ? Exact(bound * (abs(gap) + wanted.at_best + wanted.loss))
                        : is_certain ? Exact(bound * gap)
                                     : Exact(bound * (1 + gap));
  REQUIRE(abs(Exact(of(out.loss_gap) - gap)) <= allowed);
  REQUIRE(abs(Exact(of(out.loss_scaled) - wanted.loss)) <=
          Exact(bound) * (wanted.loss + wanted.entropy + gap) + (is_certain ? Exact(0) : Exact(bound)));
  REQUIRE(out.gradients.size() == model->blocks().size());
  for (std::size_t b = 0; b < out.gradients.size(); ++b) {
    std::vector<Exact> slope;
    Exact size;
    const std::string& name = model->blocks()[b].name;
    if (name == "weights") {
      slope = wanted.weights;
      size = wanted.weights_size;
    } else if (name == "scales") {
      slope.assign(blocks[0].size(), Exact(0));
      for (std::size_t k = 0; k < options.directions.size(); ++k)
        slope[k / (d * d)] += Exact(options.directions[k]) * wanted.weights[k % (d * d)];
      size = wanted.weights_size * norm_of(exact(options.directions));
    } else {
      slope = name == "values" ? wanted.values : wanted.feed_forward;
      size = name == "values" ? wanted.values_size : wanted.feed_forward_size;
    }
    const BlockGradient<T>& gradient = out.gradients[b];
    Exact error(0), norm(0);
    for (std::size_t k = 0; k < slope.size(); ++k) {
      const Exact found = gradient.norm == 0.0
                              ? Exact(0)
                              : Exact(Exact(gradient.mantissa()[k]) * exp(Exact(gradient.exponent)));
      error += (found - slope[k]) * (found - slope[k]);
      norm += slope[k] * slope[k];
    }
    const double rounding = gradient.norm == 0.0 ? 0.0
                                                 : static_cast<double>(std::numeric_limits<T>::epsilon()) +
                                                       unit * (4.0 + 2.0 * std::fabs(gradient.exponent));
    INFO(name << " error / size " << static_cast<double>(Exact(sqrt(error) / size)));
    REQUIRE(sqrt(error) <= Exact(bound) * size + Exact(rounding) * sqrt(norm));
  }
}

struct Kind {
  const char* name;
  VocabularyAttentionOptions options;
};

std::vector<Kind> kinds(std::size_t dim, std::size_t vocabulary) {
  const std::vector<double> head = normal_values(vocabulary * dim, 1.0, 21),
                            other = normal_values(vocabulary * dim, 1.0, 22),
                            directions = normal_values(2 * dim * dim, 0.5, 23);
  std::vector<Kind> out;
  out.push_back({"softmax", {}});
  out.push_back({"softmax, W alone, best token", {}});
  out.back().options.values = head;
  out.back().options.infimum = SentenceInfimum::best_token;
  out.push_back({"softmax, F", {}});
  out.back().options.has_feed_forward = true;
  out.push_back({"linear, F", {}});
  out.back().options.mixing = TokenMixing::linear;
  out.back().options.has_feed_forward = true;
  out.push_back({"linear, scales", {TokenMixing::linear, directions, head, true, other}});
  out.push_back({"softmax, scales, F given", {TokenMixing::softmax, directions, {}, true, other}});
  return out;
}

template <class T>
Blocks<T> random_blocks(const Model<T>& model, double size, std::uint64_t seed) {
  Blocks<T> out;
  for (const auto& block : normal_state(model, 1.0, seed).blocks) {
    out.emplace_back();
    for (const T x : block) out.back().push_back(static_cast<T>(static_cast<double>(x) * size));
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("a vocabulary head has its digits from small to saturated attention", "[models]", float,
                   double) {
  using T = TestType;
  for (const std::size_t n_next : {1u, 3u}) {
    const SentenceData data = sentences(6, 3, 5, n_next, 4);
    for (const Kind& kind : kinds(3, 5)) {
      const auto model = make_vocabulary_attention_model<T>(data, kind.options);
      // W and the head grow together: scores up to some hundreds, logits up to some thousands
      for (const double size : {1e-3, 0.3, 1.0, 10.0, 100.0}) {
        CAPTURE(kind.name, size, n_next);
        check(data, kind.options, random_blocks(*model, size, 1));
      }
    }
  }
}

TEST_CASE("runs of a vocabulary head go to gradients of 1e-400 and keep their digits", "[models]") {
  // One next token that each sentence's tokens tell: unit vectors, token v is followed by v.
  SentenceData data;
  data.vocabulary = data.dim = 4;
  data.first = data.first_next = {0};
  const std::vector<std::vector<std::size_t>> said = {{0, 3}, {1, 2, 3}, {2, 1, 0}, {3, 0}};
  const std::size_t answers[] = {0, 1, 2, 3};
  for (std::size_t i = 0; i < said.size(); ++i) {
    for (const std::size_t v : said[i]) {
      data.tokens.resize(data.tokens.size() + 4, 0.0);
      data.tokens[data.tokens.size() - 4 + v] = 1.0;
    }
    data.first.push_back(data.first.back() + said[i].size());
    data.probabilities.push_back(1.0);
    data.next.push_back(answers[i]);
    data.labels.push_back(1.0);
    data.first_next.push_back(i + 1);
  }
  std::vector<double> head(16, 0.0);
  for (std::size_t v = 0; v < 4; ++v) head[5 * v] = 8.0;
  VocabularyAttentionOptions attention_alone;
  attention_alone.values = head;
  attention_alone.infimum = SentenceInfimum::best_token;
  VocabularyAttentionOptions all;
  for (const VocabularyAttentionOptions* options : {&attention_alone, &all}) {
    const auto model = make_vocabulary_attention_model<double>(data, *options);
    auto state = initial_state(*model);
    CAPTURE(state.blocks.size());
    if (options == &all) state.blocks[1] = head;
    train(*model, state, model_options("ngd:step-size=1", 3000));
    Evaluation<double> out;
    model->evaluate(state.blocks, out);
    REQUIRE(out.loss_gap.log10() < -400.0);
    REQUIRE(out.accuracy == 1.0);
    for (const auto& gradient : out.gradients) REQUIRE(gradient.norm_scaled().log10() < -400.0);
    check(data, *options, state.blocks);
    if (options == &attention_alone) {
      REQUIRE(out.min_optimal_attention == 1.0);
      REQUIRE(out.log10_one_minus_optimal_attention < -400.0);
    } else {
      REQUIRE(std::isnan(out.min_optimal_attention));
    }
  }
}

TEST_CASE("gradients of a vocabulary head are slopes; some sentences are a problem of their own",
          "[models]") {
  const SentenceData data = sentences(8, 3, 5, 2, 7);
  REQUIRE(std::fabs(data.entropy() - make_vocabulary_attention_model<double>(data)->optimal_loss()) <= 1e-15);
  for (const Kind& kind : kinds(3, 5)) {
    CAPTURE(kind.name);
    const auto model = make_vocabulary_attention_model<double>(data, kind.options);
    const auto blocks = random_blocks<double>(*model, 0.5, 3);
    REQUIRE(check_gradient(*model, blocks).passed);
    Evaluation<double> out, part;
    model->evaluate(blocks, out);
    const std::vector<std::size_t> some = {5, 0, 2}, rest = {1, 3, 4, 6, 7};
    const double all = std::accumulate(data.probabilities.begin(), data.probabilities.end(), 0.0);
    double loss = 0.0;
    for (const auto& samples : {some, rest}) {
      double share = 0.0;
      for (const std::size_t i : samples) share += data.probabilities[i] / all;
      model->evaluate(blocks, part, want_all, SampleSet{samples});
      loss += part.loss * share;
    }
    REQUIRE(std::fabs(loss - out.loss) <= 1e-13);
  }
}

TEMPLATE_TEST_CASE("a run of a vocabulary head put down and taken up has the same bits", "[models]", float,
                   double) {
  using T = TestType;
  const SentenceData data = sentences(6, 3, 5, 2, 4), others = sentences(6, 3, 5, 2, 5);
  for (const Kind& kind : kinds(3, 5)) {
    CAPTURE(kind.name);
    const auto model = make_vocabulary_attention_model<T>(data, kind.options);
    const auto other = make_vocabulary_attention_model<T>(others, kind.options);
    check_put_down_and_taken_up(*model, *other, normal_state(*model, 0.3, 7), {"gd", "ngd", "adam"});
  }
}

TEST_CASE("bad sentences and heads are refused by name", "[models]") {
  const auto refuse = [](const char* argument, const char* word, auto change) {
    SentenceData data = sentences(4, 3, 5, 2, 1);
    VocabularyAttentionOptions options;
    change(data, options);
    require_refused(argument, {word}, [&] { make_vocabulary_attention_model<double>(data, options); });
  };
  using Data = SentenceData;
  using Options = VocabularyAttentionOptions;
  refuse("vocabulary", "1", [](Data& data, Options&) { data.vocabulary = 1; });
  refuse("vocabulary", "do not fit", [](Data& data, Options&) { data.vocabulary = SIZE_MAX; });
  refuse("dim", "0", [](Data& data, Options&) { data.dim = 0; });
  refuse("probabilities", "no entries", [](Data& data, Options&) { data.probabilities.clear(); });
  refuse("probabilities", "entry 1 is -1", [](Data& data, Options&) { data.probabilities[1] = -1.0; });
  refuse("tokens", "multiple of dim", [](Data& data, Options&) { data.tokens.pop_back(); });
  refuse("tokens", "token 1 is not finite", [](Data& data, Options&) { data.tokens[4] = INFINITY; });
  refuse("first", "4 entries (need n + 1 = 5)", [](Data& data, Options&) { data.first.pop_back(); });
  refuse("first", "sentence 1", [](Data& data, Options&) { data.first[2] = data.first[1]; });
  refuse("first_next", "need 0 to", [](Data& data, Options&) { ++data.first_next.back(); });
  refuse("next", "token 5 (need 0 to 4)", [](Data& data, Options&) { data.next[0] = 5; });
  refuse("next", "twice", [](Data& data, Options&) { data.next[2] = data.next[1]; });
  refuse("labels", "5 entries", [](Data& data, Options&) { data.labels.pop_back(); });
  refuse("labels", "entry 0 is 0", [](Data& data, Options&) { data.labels[0] = 0.0; });
  refuse("labels", "finite sum", [](Data& data, Options&) { data.labels[1] = data.labels[2] = 1e308; });
  refuse("labels", "no normal number",
         [](Data& data, Options&) { data.labels[1] = 1e-30, data.labels[2] = 1e300; });
  refuse("probabilities", "finite sum",
         [](Data& data, Options&) { data.probabilities[0] = data.probabilities[1] = 1e308; });
  refuse("directions", "multiple of dim * dim = 9",
         [](Data&, Options& options) { options.directions.assign(10, 1.0); });
  refuse("values", "need vocabulary * dim = 15",
         [](Data&, Options& options) { options.values.assign(14, 1.0); });
  refuse("values", "entry 3: nan", [](Data&, Options& options) {
    options.values.assign(15, 1.0);
    options.values[3] = NAN;
  });
  refuse("feed_forward", "has_feed_forward is false",
         [](Data&, Options& options) { options.feed_forward.assign(15, 1.0); });
  refuse("infimum", "needs softmax",
         [](Data&, Options& options) { options.infimum = SentenceInfimum::best_token; });
  const auto model = make_vocabulary_attention_model<double>(sentences(4, 3, 5, 2, 1));
  Evaluation<double> out;
  model->evaluate(std::vector<std::vector<double>>{std::vector<double>(9, NAN), std::vector<double>(15, 1.0)},
                  out);
  REQUIRE(std::isnan(out.loss));
  REQUIRE(std::isnan(out.gradients[0].norm));
}

TEST_CASE("attention of the best token has its digits where it is small, and is NaN where a score is",
          "[models]") {
  SentenceData data;
  data.vocabulary = data.dim = 2;
  data.tokens = {1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0};
  data.first = {0, 2, 4};
  data.probabilities = {1.0, 1.0};
  data.first_next = {0, 1, 2};
  data.next = {0, 0};
  data.labels = {1.0, 1.0};
  VocabularyAttentionOptions options;
  options.values = {1.0, 0.0, 0.0, 1.0};
  options.infimum = SentenceInfimum::best_token;
  Evaluation<double> out;
  const auto model = make_vocabulary_attention_model<double>(data, options);
  // s = (-50, 0), and the first is the best: its attention is e^-50 / (1 + e^-50), each of exp, log and the
  // sum rounded once, the argument by half a unit of 50.
  model->evaluate(Blocks<double>{{0.0, -50.0, 0.0, 0.0}}, out);
  const double exact = std::exp(-50.0);
  CHECK(std::fabs(out.min_optimal_attention / exact - 1.0) <= (50.0 + 8.0) * 0x1p-53);
  // Scores of the second sentence overflow to infinity less infinity.
  data.tokens = {1.0, 0.0, 0.0, 1.0, 1e200, 0.0, 1e200, 1e200};
  const auto far = make_vocabulary_attention_model<double>(data, options);
  far->evaluate(Blocks<double>{{1e200, -1e200, 1e200, -1e200}}, out);
  REQUIRE(std::isnan(out.log10_one_minus_optimal_attention));
  CHECK(std::isnan(out.min_optimal_attention));
}
