#pragma once

// Next-token prediction in a number type of the caller's choice, from its definition. A context's logits are
// given as log p_v + x_v + constant on its support and freely outside. With q the softmax within the support,
// R = (mass outside) / (mass inside), o the softmax outside:
//   CE - H = sum_j pi_j (sum_v p_v log(p_v / q_v) + log(1 + R))
//   softmax - p = (q - p) + R/(1+R) (o - q)

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/small_arguments.h"

namespace softstep::reference {

template <class Number>
struct NextTokenContext {
  Number probability;                      ///< pi_j
  std::vector<Number> h;                   ///< h_j
  std::vector<std::size_t> support;        ///< S_j
  std::vector<Number> labels, deviations;  ///< p_v, x_v on the support
  Number constant;
  std::vector<Number> logits;  ///< by token; not looked at on the support
};

template <class Number>
struct NextTokenValue {
  Number gap;  ///< CE - H
  std::vector<Number> within,
      across;  ///< sum_j pi_j (q - p) h^T and sum_j pi_j R/(1+R) (o - q) h^T, vocabulary x dim
};

template <class Number>
NextTokenValue<Number> next_token_value(const std::vector<NextTokenContext<Number>>& contexts,
                                        std::size_t vocabulary, std::size_t dim) {
  using std::exp;
  using std::log;
  NextTokenValue<Number> out;
  out.gap = Number(0);
  out.within.assign(vocabulary * dim, Number(0));
  out.across.assign(vocabulary * dim, Number(0));
  for (const NextTokenContext<Number>& context : contexts) {
    std::vector<char> inside(vocabulary, 0);
    Number sum(0), outside(0);
    for (std::size_t k = 0; k < context.support.size(); ++k) {
      inside[context.support[k]] = 1;
      sum += context.labels[k] * exp(context.deviations[k]);
    }
    const Number log_mass = log(sum) + context.constant;
    for (std::size_t v = 0; v < vocabulary; ++v)
      if (inside[v] == 0) outside += exp(Number(context.logits[v] - log_mass));
    const Number rho = outside / (1 + outside);
    const auto add = [&](std::vector<Number>& m, std::size_t v, const Number& factor) {
      for (std::size_t c = 0; c < dim; ++c) m[v * dim + c] += context.probability * factor * context.h[c];
    };
    for (std::size_t k = 0; k < context.support.size(); ++k) {
      const Number p = context.labels[k], q = p * exp(context.deviations[k]) / sum;
      out.gap += context.probability * p * (log(sum) - context.deviations[k]);
      add(out.within, context.support[k], Number(q - p));
      add(out.across, context.support[k], Number(-rho * q));
    }
    out.gap += context.probability * log_one_plus(outside);
    for (std::size_t v = 0; v < vocabulary; ++v)
      if (inside[v] == 0)
        add(out.across, v, Number(exp(Number(context.logits[v] - log_mass)) / (1 + outside)));
  }
  return out;
}

}  // namespace softstep::reference
