#pragma once

// What a model says of the next token against what follows: softmax(logits) - p as odds of the tokens that do
// not follow and as how far those that may are off, so that nothing cancels.

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/losses/loss_terms.h"
#include "core/models/support_softmax.h"
#include "softstep/vocabulary_attention.h"

namespace softstep {

struct NextOdds {
  SupportSoftmax support;     // KL of p against the softmax within what may follow
  Scaled outside;             // R, mass of what may not follow over that of what may
  std::vector<double> error;  // mantissas of softmax(logits) - p, by token
  double exponent = -std::numeric_limits<double>::infinity();  // of the error; -infinity: it is zero
  std::vector<double> deviation;                               // room
};

/// Of sentence i, whose labels add up to 1. The cross entropy is that of p plus the divergence plus log(1 +
/// R).
inline void next_odds(const SentenceData& data, std::size_t i, const std::vector<double>& logits,
                      NextOdds& out) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::size_t first = data.first_next[i], n = data.first_next[i + 1] - first;
  out.error.assign(data.vocabulary, 0.0);
  out.deviation.resize(n);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t v = data.next[first + k];
    out.deviation[k] = logits[v] - std::log(data.labels[first + k]);
    out.error[v] = -1.0;  // marks what may follow
  }
  within_support(data.labels.data() + first, out.deviation, out.support);
  double top = -infinity, sum = 0.0;
  for (std::size_t v = 0; v < data.vocabulary; ++v)
    if (out.error[v] == 0.0) {
      const double odds = logits[v] - out.support.log_sum;
      top = odds <= top ? top : odds;  // NaN stays
    }
  out.outside = {};
  double log_rho = -infinity;
  if (top != -infinity) {
    for (std::size_t v = 0; v < data.vocabulary; ++v)
      if (out.error[v] == 0.0) sum += out.error[v] = std::exp(logits[v] - out.support.log_sum - top);
    out.outside = {sum, top};
    log_rho = top + std::log(sum) - log_one_plus(out.outside).value();
  }
  // rho (o - q) + (q - p)
  out.exponent = log_rho <= out.support.exponent ? out.support.exponent : log_rho;
  if (out.exponent == -infinity) {
    out.error.assign(data.vocabulary, 0.0);
    return;
  }
  const double rho = log_rho == -infinity ? 0.0 : std::exp(log_rho - out.exponent);
  const double unit = out.support.exponent == -infinity ? 0.0 : std::exp(out.support.exponent - out.exponent);
  for (std::size_t v = 0; v < data.vocabulary; ++v)
    out.error[v] = out.error[v] < 0.0 ? 0.0 : rho * (out.error[v] / sum);
  for (std::size_t k = 0; k < n; ++k)
    out.error[data.next[first + k]] = unit * out.support.difference[k] - rho * out.support.share[k];
}

}  // namespace softstep
