#pragma once

// Attention of the last token with a vocabulary head from its definition, in plain numbers of any type with
// range and digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/small_arguments.h"

namespace softstep::reference {

template <class Number>
struct VocabularyAttention {
  Number loss{0}, entropy{0}, at_best{0};  ///< L, H, and the least L of all attention at one token
  std::vector<Number> weights{}, values{}, feed_forward{};  ///< dL/dW, dL/dW_ov, dL/dF
  /// Norms of the sums of sizes that these are made of.
  Number weights_size{0}, values_size{0}, feed_forward_size{0};
  Number score_size{0}, logit_size{0};  ///< the largest sums of sizes that scores and logits are made of
};

/// `data` has vocabulary, dim, tokens, first, probabilities, first_next, next and labels, the last three up
/// to a factor. W dim x dim; W_ov and F vocabulary x dim, F of zeros where there is none.
template <class Number, class Data>
VocabularyAttention<Number> vocabulary_attention(const Data& data, bool is_linear,
                                                 const std::vector<Number>& w,
                                                 const std::vector<Number>& values,
                                                 const std::vector<Number>& feed_forward) {
  using std::exp;
  using std::fabs;
  using std::log;
  using std::sqrt;
  const std::size_t d = data.dim, vocabulary = data.vocabulary, n = data.probabilities.size();
  VocabularyAttention<Number> out;
  out.weights.assign(d * d, Number(0));
  out.values.assign(vocabulary * d, Number(0));
  out.feed_forward = out.values;
  auto weights_size = out.weights, values_size = out.values, feed_forward_size = out.values;
  Number all(0);
  for (const double pi : data.probabilities) all += Number(pi);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t length = data.first[i + 1] - data.first[i];
    const auto x = [&](std::size_t t, std::size_t j) {
      return Number(data.tokens[(data.first[i] + t) * d + j]);
    };
    const Number pi = Number(data.probabilities[i]) / all;
    std::vector<Number> label(vocabulary, Number(0));
    Number sum(0);
    for (std::size_t k = data.first_next[i]; k < data.first_next[i + 1]; ++k) sum += Number(data.labels[k]);
    for (std::size_t k = data.first_next[i]; k < data.first_next[i + 1]; ++k)
      label[data.next[k]] = Number(data.labels[k]) / sum;
    const bool is_certain = data.first_next[i + 1] - data.first_next[i] == 1;
    std::vector<Number> a(length, Number(0));
    for (std::size_t t = 0; t < length; ++t) {
      Number size(0);
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c) {
          const Number term = x(t, r) * w[r * d + c] * x(length - 1, c);
          a[t] += term;
          size += fabs(term);
        }
      if (size > out.score_size) out.score_size = size;
    }
    if (!is_linear) {
      Number top = a[0], whole(0);
      for (const Number& s : a)
        if (s > top) top = s;
      for (Number& s : a) whole += s = exp(Number(s - top));
      for (Number& s : a) s /= whole;
    }
    // Cross entropy, and the shares, of attention as given.
    const auto head = [&](const std::vector<Number>& attention, std::vector<Number>& share, Number& size) {
      share.assign(vocabulary, Number(0));
      Number top(0), whole(0), loss(0);
      for (std::size_t v = 0; v < vocabulary; ++v) {
        Number terms(0);
        for (std::size_t j = 0; j < d; ++j) {
          const Number through = feed_forward[v * d + j] * x(length - 1, j);
          share[v] += through;
          terms += fabs(through);
          for (std::size_t t = 0; t < length; ++t) {
            const Number term = (values[v * d + j] + feed_forward[v * d + j]) * attention[t] * x(t, j);
            share[v] += term;
            terms += fabs(term);
          }
        }
        if (terms > size) size = terms;
        if (v == 0 || share[v] > top) top = share[v];
      }
      for (const Number& logit : share) whole += exp(Number(logit - top));
      for (std::size_t v = 0; v < vocabulary; ++v) loss += label[v] * (top - share[v]);
      // Of one next token by its odds, which may be far below the digits of a sum with 1.
      Number odds(0);
      for (std::size_t v = 0; v < vocabulary && is_certain; ++v)
        if (label[v] == 0) odds += exp(Number(share[v] - share[data.next[data.first_next[i]]]));
      for (Number& logit : share) logit = exp(Number(logit - top)) / whole;
      return is_certain ? log_one_plus(odds) : Number(loss + log(whole));
    };
    std::vector<Number> q, ignored;
    out.loss += pi * head(a, q, out.logit_size);
    Number best(0), unused(0);
    for (std::size_t t = 0; t < length; ++t) {
      std::vector<Number> one(length, Number(0));
      one[t] = Number(1);
      const Number loss = head(one, ignored, unused);
      if (t == 0 || loss < best) best = loss;
    }
    out.at_best += pi * best;
    std::vector<Number> error(vocabulary), error_size(vocabulary), mean(d, Number(0)),
        mean_size(d, Number(0));
    Number wrong(0);
    for (std::size_t v = 0; v < vocabulary; ++v) {
      if (label[v] > 0) out.entropy -= pi * label[v] * log(label[v]);
      if (label[v] == 0) wrong += q[v];
      error[v] = q[v] - label[v];
      error_size[v] = is_certain ? fabs(error[v]) : Number(q[v] + label[v]);
    }
    for (std::size_t v = 0; v < vocabulary; ++v)
      if (is_certain && label[v] > 0) error[v] = -wrong, error_size[v] = wrong;
    for (std::size_t t = 0; t < length; ++t)
      for (std::size_t j = 0; j < d; ++j) {
        mean[j] += a[t] * x(t, j);
        mean_size[j] += fabs(Number(a[t] * x(t, j)));
      }
    for (std::size_t v = 0; v < vocabulary; ++v)
      for (std::size_t j = 0; j < d; ++j) {
        const Number z = x(length - 1, j);
        out.values[v * d + j] += pi * error[v] * mean[j];
        values_size[v * d + j] += pi * error_size[v] * mean_size[j];
        out.feed_forward[v * d + j] += pi * error[v] * (z + mean[j]);
        feed_forward_size[v * d + j] += pi * error_size[v] * (fabs(z) + mean_size[j]);
      }
    // Pairs of tokens, so that nothing cancels but what cancels in g: sum_t c_t x_t is the sum over t < r of
    // a_t a_r (g_t - g_r) (x_t - x_r); without a softmax sum_t g_t x_t.
    const auto add = [&](const Number& weight, auto difference) {
      Number g(0), g_size(0);
      for (std::size_t v = 0; v < vocabulary; ++v)
        for (std::size_t j = 0; j < d; ++j) {
          const Number term = (values[v * d + j] + feed_forward[v * d + j]) * difference(j);
          g += error[v] * term;
          g_size += error_size[v] * fabs(term);
        }
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c) {
          const Number factor = pi * weight * difference(r) * x(length - 1, c);
          out.weights[r * d + c] += factor * g;
          weights_size[r * d + c] += fabs(factor) * g_size;
        }
    };
    for (std::size_t t = 0; t < length; ++t) {
      if (is_linear) add(Number(1), [&](std::size_t j) { return x(t, j); });
      for (std::size_t r = t + 1; r < length && !is_linear; ++r)
        add(Number(a[t] * a[r]), [&](std::size_t j) { return Number(x(t, j) - x(r, j)); });
    }
  }
  const auto norm = [](const std::vector<Number>& values_of) {
    Number squared(0);
    for (const Number& v : values_of) squared += v * v;
    return Number(sqrt(squared));
  };
  out.weights_size = norm(weights_size);
  out.values_size = norm(values_size);
  out.feed_forward_size = norm(feed_forward_size);
  return out;
}

}  // namespace softstep::reference
