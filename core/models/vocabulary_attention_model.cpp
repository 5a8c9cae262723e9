// Attention of the last token with a vocabulary head.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/digest.h"
#include "core/data/extremes.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/losses/loss_terms.h"
#include "core/models/double_gradient.h"
#include "core/models/next_odds.h"
#include "softstep/error.h"
#include "softstep/vocabulary_attention.h"

namespace softstep {

const char* to_string(TokenMixing mixing) { return mixing == TokenMixing::softmax ? "softmax" : "linear"; }
const char* to_string(SentenceInfimum infimum) {
  return infimum == SentenceInfimum::entropy ? "entropy" : "best token";
}

void VocabularyAttentionOptions::validate() const {
  const auto require_finite = [](const char* name, const std::vector<double>& given) {
    for (std::size_t k = 0; k < given.size(); ++k)
      if (!std::isfinite(given[k]))
        throw InvalidArgument(name, "entry " + std::to_string(k) + ": " + data::number_text(given[k]) +
                                        " (need a finite number)");
  };
  require_finite("directions", directions);
  require_finite("values", values);
  require_finite("feed_forward", feed_forward);
  if (!has_feed_forward && !feed_forward.empty())
    throw InvalidArgument("feed_forward",
                          std::to_string(feed_forward.size()) + " entries (has_feed_forward is false)");
  if (infimum == SentenceInfimum::best_token &&
      (mixing != TokenMixing::softmax || values.empty() || (has_feed_forward && feed_forward.empty())))
    throw InvalidArgument("infimum",
                          "best token (needs softmax, and the values and the feed-forward layer given)");
}

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

using data::larger;
using data::smaller;

template <class T>
class VocabularyAttentionModel final : public Model<T> {
 public:
  VocabularyAttentionModel(const SentenceData& data, const VocabularyAttentionOptions& options)
      : data_(validated(data)), options_(options), isa_(resolve_isa(options.isa)) {
    options_.validate();
    const std::size_t d = data_.dim, head = size_of("vocabulary", data_.vocabulary, d);
    const std::size_t matrix = size_of("dim", d, d);
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): validated() refuses a dimension of 0
    if (options_.directions.size() % matrix != 0)
      throw InvalidArgument("directions",
                            std::to_string(options_.directions.size()) +
                                " entries (need a multiple of dim * dim = " + std::to_string(matrix) + ")");
    require_head("values", options_.values, head);
    require_head("feed_forward", options_.feed_forward, head);
    if (options_.directions.empty())
      blocks_ = {{"weights", d, d}};
    else
      blocks_ = {{"scales", options_.directions.size() / matrix, 1}};
    if (options_.values.empty()) blocks_.push_back({"values", data_.vocabulary, d});
    if (trains_feed_forward()) blocks_.push_back({"feed_forward", data_.vocabulary, d});
    const double all = std::accumulate(data_.probabilities.begin(), data_.probabilities.end(), 0.0);
    for (std::size_t i = 0; i < n_samples(); ++i) {
      data_.probabilities[i] /= all;
      const std::size_t begin = data_.first_next[i], end = data_.first_next[i + 1];
      const double sum = std::accumulate(data_.labels.begin() + static_cast<std::ptrdiff_t>(begin),
                                         data_.labels.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
      double floor = 0.0;
      for (std::size_t k = begin; k < end; ++k) {
        data_.labels[k] /= sum;
        floor -= data_.labels[k] * std::log(data_.labels[k]);
      }
      floors_.push_back(floor);
    }
    if (options_.infimum == SentenceInfimum::best_token) find_best_tokens();
    for (std::size_t i = 0; i < n_samples(); ++i) optimal_loss_ += data_.probabilities[i] * floors_[i];
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.n_sentences(); }
  double optimal_loss() const override { return optimal_loss_; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    for (const auto* values : {&data_.tokens, &data_.probabilities, &data_.labels, &options_.directions,
                               &options_.values, &options_.feed_forward}) {
      digest.add(values->size());
      digest.add(values->data(), values->size());
    }
    for (const auto* values : {&data_.first, &data_.first_next, &data_.next})
      digest.add(values->data(), values->size());
    return std::string("attention with a vocabulary head, ") + to_string(options_.mixing) +
           (options_.has_feed_forward ? ", feed-forward" : "") + ", L* " + to_string(options_.infimum) +
           ", data " + std::to_string(n_samples()) + " x " + std::to_string(data_.vocabulary) + " x " +
           std::to_string(data_.dim) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    set_matrices(at, space);
    const std::size_t n = samples.size(n_samples()), d = data_.dim;
    space.sentences.resize(n);
    space.terms.assign(2 * n, Scaled{});
    double share = 0.0, floor = 0.0, least_attention = infinity, most_elsewhere = -infinity;
    for (std::size_t row = 0; row < n; ++row) share += data_.probabilities[samples[row]];
    std::size_t n_right = 0;
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t i = samples[row];
      Sentence& sentence = space.sentences[row];
      sentence.probability = samples.is_all() ? data_.probabilities[i] : data_.probabilities[i] / share;
      attend(i, space, sentence);
      logits(space, sentence.mean.data(), token(i, length(i) - 1), space.logits);
      next_odds(data_, i, space.logits, sentence.odds);
      n_right += is_right(i, space.logits) ? 1 : 0;
      floor += sentence.probability * floors_[i];
      Scaled *within = &space.terms[2 * row], *beyond = within + 1;
      if (options_.infimum == SentenceInfimum::best_token) {
        *within = from_best(i, space, sentence);
        most_elsewhere = larger(most_elsewhere, sentence.elsewhere.log10());
        // By itself: where it is small, 1 less the rest has none of its digits.
        least_attention = smaller(least_attention, std::exp(sentence.log_attention[best_[i]]));
      } else {
        *within = sentence.odds.support.divergence;
        *beyond = sentence.odds.outside.mantissa == 0.0 ? Scaled{} : log_one_plus(sentence.odds.outside);
      }
      within->mantissa *= sentence.probability;
      beyond->mantissa *= sentence.probability;
      if ((want & want_gradient) != 0) slope(i, space, sentence);
    }
    if ((want & (want_loss_gap | want_loss)) != 0) {
      out.loss_gap = sum_scaled(space.terms.data(), space.terms.size());
      out.optimal_loss = floor;
      out.loss = floor + out.loss_gap.value();
      out.loss_scaled = {out.loss, 0.0};
      if (floor == 0.0 || !std::isfinite(out.loss)) out.loss_scaled = out.loss_gap;
      out.accuracy = static_cast<double>(n_right) / static_cast<double>(n);
    }
    if ((want & want_attention) != 0) {
      const bool knows = options_.infimum == SentenceInfimum::best_token;
      const double none = std::numeric_limits<double>::quiet_NaN();
      out.min_optimal_attention = knows ? least_attention : none;
      out.log10_one_minus_optimal_attention = knows ? most_elsewhere : none;
    }
    if ((want & want_gradient) == 0) return;
    out.gradients.resize(blocks_.size());
    double top = -infinity, top_error = -infinity;
    for (const Sentence& sentence : space.sentences) {
      top = larger(top, sentence.row_exponent);
      top_error = larger(top_error, sentence.odds.exponent);
    }
    // dL/dW, then the parts that are trained
    space.sum.assign(d * d, 0.0);
    for (std::size_t row = 0; row < n; ++row) {
      const Sentence& sentence = space.sentences[row];
      if (sentence.row_exponent == -infinity) continue;
      const double* z = token(samples[row], length(samples[row]) - 1);
      const double factor = sentence.probability * std::exp(sentence.row_exponent - top);
      for (std::size_t j = 0; j < d; ++j)
        if (sentence.row[j] != 0.0) isa_.f64->axpy(d, factor * sentence.row[j], z, space.sum.data() + j * d);
    }
    if (!options_.directions.empty()) {
      space.scales.resize(blocks_[0].size());
      for (std::size_t k = 0; k < space.scales.size(); ++k)
        space.scales[k] = isa_.f64->dot(d * d, options_.directions.data() + k * d * d, space.sum.data());
      space.sum.swap(space.scales);
    }
    write(space.sum, top, out.gradients[0]);
    for (std::size_t b = 1; b < blocks_.size(); ++b) {
      const bool is_values = b == 1 && options_.values.empty();
      space.sum.assign(data_.vocabulary * d, 0.0);
      for (std::size_t row = 0; row < n; ++row) {
        const Sentence& sentence = space.sentences[row];
        if (sentence.odds.exponent == -infinity) continue;
        space.input = sentence.mean;
        if (!is_values)
          isa_.f64->axpy(d, 1.0, token(samples[row], length(samples[row]) - 1), space.input.data());
        const double factor = sentence.probability * std::exp(sentence.odds.exponent - top_error);
        for (std::size_t v = 0; v < data_.vocabulary; ++v)
          if (sentence.odds.error[v] != 0.0)
            isa_.f64->axpy(d, factor * sentence.odds.error[v], space.input.data(), space.sum.data() + v * d);
      }
      write(space.sum, top_error, out.gradients[b]);
    }
  }

 private:
  struct Sentence {
    double probability = 0.0;
    std::vector<double> log_attention;  // log a_t of a softmax, or a_t
    std::vector<double> mean;           // h
    NextOdds odds;                      // e
    std::vector<double> row;            // sum_t c_t x_t, times e^row_exponent, the largest entry 1 in size
    double row_exponent = -infinity;
    Scaled elsewhere;  // attention of all but the best token
  };
  struct Space final : Workspace {
    std::vector<double> weights, values, feed_forward, head;  // W, W_ov, F, W_ov + F
    std::vector<double> projected, logits, input, pulled, sum, scales, shift;
    std::vector<Sentence> sentences;
    std::vector<Scaled> terms;
  };

  static const SentenceData& validated(const SentenceData& data) {
    data.validate();
    return data;
  }
  static std::size_t size_of(const char* name, std::size_t rows, std::size_t cols) {
    std::size_t size = 0;
    if (!data::multiply(rows, cols, data::max_bytes / sizeof(double), size))
      throw InvalidArgument(name, std::to_string(rows) + " (blocks do not fit in memory)");
    return size;
  }
  void require_head(const char* name, const std::vector<double>& given, std::size_t size) const {
    if (!given.empty() && given.size() != size)
      throw InvalidArgument(name, std::to_string(given.size()) + " entries (need vocabulary * dim = " +
                                      std::to_string(size) + ", or none)");
  }
  bool trains_feed_forward() const { return options_.has_feed_forward && options_.feed_forward.empty(); }
  std::size_t length(std::size_t i) const { return data_.first[i + 1] - data_.first[i]; }
  const double* token(std::size_t i, std::size_t t) const {
    return data_.tokens.data() + (data_.first[i] + t) * data_.dim;
  }
  void write(const std::vector<double>& sum, double exponent, BlockGradient<T>& out) const {
    // Nothing at all has no exponent to count from.
    write_gradient(1.0, sum, exponent == -infinity ? 0.0 : exponent, isa_.template kernels<T>(), out);
  }

  void set_matrices(Point<T> at, Space& space) const {
    const std::size_t d = data_.dim;
    if (options_.directions.empty()) {
      space.weights.assign(at[0].begin(), at[0].end());
    } else {
      space.weights.assign(d * d, 0.0);
      for (std::size_t k = 0; k < at[0].size(); ++k)
        isa_.f64->axpy(d * d, static_cast<double>(at[0][k]), options_.directions.data() + k * d * d,
                       space.weights.data());
    }
    std::size_t block = 1;
    const auto set = [&](const std::vector<double>& given, std::vector<double>& out) {
      if (given.empty())
        out.assign(at[block].begin(), at[block].end()), ++block;
      else
        out = given;
    };
    set(options_.values, space.values);
    space.head = space.values;
    if (!options_.has_feed_forward) return;
    set(options_.feed_forward, space.feed_forward);
    isa_.f64->axpy(space.head.size(), 1.0, space.feed_forward.data(), space.head.data());
  }

  // W_ov h + F (z + h)
  void logits(const Space& space, const double* mean, const double* query, std::vector<double>& out) const {
    out.resize(data_.vocabulary);
    for (std::size_t v = 0; v < data_.vocabulary; ++v) {
      out[v] = isa_.f64->dot(data_.dim, space.head.data() + v * data_.dim, mean);
      if (options_.has_feed_forward)
        out[v] += isa_.f64->dot(data_.dim, space.feed_forward.data() + v * data_.dim, query);
    }
  }

  void attend(std::size_t i, Space& space, Sentence& out) const {
    const std::size_t n = length(i), d = data_.dim;
    const double* z = token(i, n - 1);
    space.projected.resize(d);
    for (std::size_t j = 0; j < d; ++j)
      space.projected[j] = isa_.f64->dot(d, space.weights.data() + j * d, z);
    std::vector<double>& a = out.log_attention;
    a.resize(n);
    double top = -infinity, sum = 0.0;
    for (std::size_t t = 0; t < n; ++t) {
      a[t] = isa_.f64->dot(d, token(i, t), space.projected.data());
      top = larger(top, a[t]);
    }
    out.mean.assign(d, 0.0);
    if (options_.mixing == TokenMixing::linear) {
      for (std::size_t t = 0; t < n; ++t)
        if (a[t] != 0.0) isa_.f64->axpy(d, a[t], token(i, t), out.mean.data());
      return;
    }
    for (const double s : a) sum += std::exp(s - top);
    for (std::size_t t = 0; t < n; ++t) {
      a[t] -= top + std::log(sum);
      isa_.f64->axpy(d, std::exp(a[t]), token(i, t), out.mean.data());
    }
  }

  // log of the largest attention but that of one token; -infinity if there is no other.
  double largest_other(const std::vector<double>& log_attention, std::size_t but) const {
    double top = -infinity;
    for (std::size_t t = 0; t < log_attention.size(); ++t)
      if (t != but) top = larger(top, log_attention[t]);
    return top;
  }

  // sum_t c_t x_t. Of a softmax c adds up to 0: c_o x_o is taken to the others, and c_o never formed.
  void slope(std::size_t i, Space& space, Sentence& sentence) const {
    const std::size_t n = length(i), d = data_.dim;
    sentence.row.assign(d, 0.0);
    sentence.row_exponent = -infinity;
    if (sentence.odds.exponent == -infinity) return;
    std::vector<double>& u = space.pulled;  // (W_ov + F)^T e
    u.assign(d, 0.0);
    for (std::size_t v = 0; v < data_.vocabulary; ++v)
      if (sentence.odds.error[v] != 0.0)
        isa_.f64->axpy(d, sentence.odds.error[v], space.head.data() + v * d, u.data());
    double exponent = sentence.odds.exponent;
    if (options_.mixing == TokenMixing::linear) {
      for (std::size_t t = 0; t < n; ++t)
        isa_.f64->axpy(d, isa_.f64->dot(d, u.data(), token(i, t)), token(i, t), sentence.row.data());
    } else {
      const std::vector<double>& a = sentence.log_attention;
      const auto pivot = static_cast<std::size_t>(std::max_element(a.begin(), a.end()) - a.begin());
      const double other = largest_other(a, pivot);
      if (other == -infinity) return;
      exponent += other;
      std::vector<double>& g = space.shift;  // g_t - g_pivot
      g.assign(n, 0.0);
      double mean = 0.0;
      for (std::size_t t = 0; t < n; ++t) {
        if (t == pivot) continue;
        for (std::size_t j = 0; j < d; ++j) g[t] += u[j] * (token(i, t)[j] - token(i, pivot)[j]);
        mean += std::exp(a[t] - other) * g[t];
      }
      mean *= std::exp(other);
      for (std::size_t t = 0; t < n; ++t) {
        if (t == pivot) continue;
        const double c = std::exp(a[t] - other) * (g[t] - mean);
        for (std::size_t j = 0; j < d; ++j) sentence.row[j] += c * (token(i, t)[j] - token(i, pivot)[j]);
      }
    }
    double largest = 0.0;
    for (const double x : sentence.row) largest = larger(largest, std::fabs(x));
    if (largest == 0.0) return;
    for (double& x : sentence.row) x /= largest;
    sentence.row_exponent = exponent + std::log(largest);
  }

  bool is_right(std::size_t i, const std::vector<double>& logit) const {
    const auto begin = data_.labels.begin() + static_cast<std::ptrdiff_t>(data_.first_next[i]);
    const auto end = data_.labels.begin() + static_cast<std::ptrdiff_t>(data_.first_next[i + 1]);
    const std::size_t best =
        data_.next[data_.first_next[i] + static_cast<std::size_t>(std::max_element(begin, end) - begin)];
    for (std::size_t v = 0; v < logit.size(); ++v)
      if (v != best && !(logit[v] < logit[best])) return false;
    return true;
  }

  // The best token of each sentence, the cross entropy there (in place of the floor), and the logarithms of
  // the shares there.
  void find_best_tokens() {
    Space space;
    space.head = options_.values;
    space.feed_forward = options_.feed_forward;
    if (options_.has_feed_forward)
      isa_.f64->axpy(space.head.size(), 1.0, space.feed_forward.data(), space.head.data());
    NextOdds odds;
    for (std::size_t i = 0; i < n_samples(); ++i) {
      double least = infinity;
      best_.push_back(0);
      for (std::size_t t = 0; t < length(i); ++t) {
        logits(space, token(i, t), token(i, length(i) - 1), space.logits);
        next_odds(data_, i, space.logits, odds);
        const double above = odds.support.divergence.value() +
                             (odds.outside.mantissa == 0.0 ? 0.0 : log_one_plus(odds.outside).value());
        if (!(above < least)) continue;
        least = above;
        best_.back() = t;
      }
      if (least == infinity)
        throw InvalidArgument("values", "logits of sentence " + std::to_string(i) + " are not finite");
      floors_[i] += least;
      logits(space, token(i, best_.back()), token(i, length(i) - 1), space.logits);
      const double top = *std::max_element(space.logits.begin(), space.logits.end());
      double sum = 0.0;
      for (const double x : space.logits) sum += std::exp(x - top);
      for (const double x : space.logits) best_log_shares_.push_back(x - top - std::log(sum));
    }
  }

  // CE - CE at the best token: log sum_v p_v e^(delta_v - delta), p the shares there, delta_v what the other
  // tokens' attention moves logit v by, delta its mean over what follows.
  Scaled from_best(std::size_t i, Space& space, Sentence& sentence) const {
    const std::size_t n = length(i), d = data_.dim, best = best_[i];
    const std::vector<double>& a = sentence.log_attention;
    const double other = largest_other(a, best);
    sentence.elsewhere = {};
    if (other == -infinity) return {};
    std::vector<double>&moved = space.input, &delta = space.shift;
    moved.assign(d, 0.0);
    double weight = 0.0;
    for (std::size_t t = 0; t < n; ++t) {
      if (t == best) continue;
      const double factor = std::exp(a[t] - other);
      weight += factor;
      for (std::size_t j = 0; j < d; ++j) moved[j] += factor * (token(i, t)[j] - token(i, best)[j]);
    }
    sentence.elsewhere = {weight, other};
    delta.resize(data_.vocabulary);
    double mean = 0.0;
    for (std::size_t v = 0; v < data_.vocabulary; ++v)
      delta[v] = isa_.f64->dot(d, space.head.data() + v * d, moved.data());
    for (std::size_t k = data_.first_next[i]; k < data_.first_next[i + 1]; ++k)
      mean += data_.labels[k] * delta[data_.next[k]];
    // Of one next token its own delta is taken off exactly.
    std::vector<double>& logs = space.logits;
    logs.resize(data_.vocabulary);
    const double* log_share = best_log_shares_.data() + i * data_.vocabulary;
    double top = -infinity, whole_top = -infinity;
    for (std::size_t v = 0; v < data_.vocabulary; ++v) {
      delta[v] -= mean;
      const double x = delta[v] * std::exp(other);
      // log |expm1(delta e^other)|: to first order where it is small, without the 1 where it is large
      const double grown = std::fabs(x) < 1e-17 ? std::log(std::fabs(delta[v])) + other
                           : x > 30.0           ? x
                                                : std::log(std::fabs(std::expm1(x)));
      logs[v] = log_share[v] + grown;
      top = larger(top, logs[v]);
      whole_top = larger(whole_top, log_share[v] + x);
    }
    if (top == -infinity) return {};
    Scaled sum{0.0, top};
    for (std::size_t v = 0; v < data_.vocabulary; ++v)
      sum.mantissa += std::copysign(std::exp(logs[v] - top), delta[v]);
    if (sum.value() > -0.5 && !(top > 30.0)) return log_one_plus(sum);
    double whole = 0.0;
    for (std::size_t v = 0; v < data_.vocabulary; ++v)
      whole += std::exp(log_share[v] + delta[v] * std::exp(other) - whole_top);
    return {whole_top + std::log(whole), 0.0};
  }

  SentenceData data_;  // normalised
  const VocabularyAttentionOptions options_;
  const simd::Isa& isa_;
  std::vector<BlockShape> blocks_;
  std::vector<double> floors_;  // of each sentence, what its loss is measured from
  std::vector<std::size_t> best_;
  std::vector<double> best_log_shares_;
  double optimal_loss_ = 0.0;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_vocabulary_attention_model(const SentenceData& data,
                                                          const VocabularyAttentionOptions& options) {
  return std::make_unique<VocabularyAttentionModel<T>>(data, options);
}

template std::unique_ptr<Model<float>> make_vocabulary_attention_model(const SentenceData&,
                                                                       const VocabularyAttentionOptions&);
template std::unique_ptr<Model<double>> make_vocabulary_attention_model(const SentenceData&,
                                                                        const VocabularyAttentionOptions&);

}  // namespace softstep
