#pragma once

// Softmax cross entropy with several classes from its definition, in plain numbers of any type with range and
// digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/small_arguments.h"

namespace softstep::reference {

template <class Number>
struct Multiclass {
  Number loss{0}, weight{0};       ///< L, and the mean of 1 - S_y
  std::vector<Number> gradient{};  ///< dL/dW, k x d
  Number logit_size{0};            ///< the largest sum of sizes that a logit is made of
};

/// `data` has n_classes, dim, features [n, dim] and classes [n].
template <class Number, class Data>
Multiclass<Number> multiclass(const Data& data, const std::vector<Number>& w) {
  using std::exp;
  using std::fabs;
  const std::size_t k = data.n_classes, d = data.dim, n = data.classes.size();
  Multiclass<Number> out;
  out.gradient.assign(k * d, Number(0));
  for (std::size_t i = 0; i < n; ++i) {
    const double* h = data.features.data() + i * d;
    std::vector<Number> share(k, Number(0));
    for (std::size_t c = 0; c < k; ++c) {
      Number size(0);
      for (std::size_t j = 0; j < d; ++j) {
        share[c] += w[c * d + j] * Number(h[j]);
        size += fabs(Number(w[c * d + j] * Number(h[j])));
      }
      if (size > out.logit_size) out.logit_size = size;
    }
    const std::size_t y = data.classes[i];
    const Number right = share[y];
    Number odds(0);
    for (std::size_t c = 0; c < k; ++c)
      if (c != y) odds += share[c] = exp(Number(share[c] - right));
    out.loss += log_one_plus(odds) / Number(n);
    out.weight += odds / (1 + odds) / Number(n);
    for (Number& x : share) x /= 1 + odds;
    share[y] = -odds / (1 + odds);
    for (std::size_t c = 0; c < k; ++c)
      for (std::size_t j = 0; j < d; ++j) out.gradient[c * d + j] += share[c] * Number(h[j]) / Number(n);
  }
  return out;
}

}  // namespace softstep::reference
