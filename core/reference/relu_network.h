#pragma once

// A network with one hidden layer from its definition, on points and over Gaussian clusters, in plain numbers
// of any type with range and digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/small_arguments.h"

namespace softstep::reference {

template <class Number>
struct ReluNetwork {
  Number loss{0};
  std::vector<Number> weights_gradient{}, outer_gradient{};
  /// What the loss and each gradient are made of, in absolute values.
  Number loss_size{0}, weights_size{0}, outer_size{0};
  Number output_size{0};        ///< the largest sum of sizes that an f is made of
  Number closest_to_kink{1e9};  ///< the least |w_k^T x_i| over the sizes that it is made of
};

/// Logistic loss, or the correlation loss -m, on n points x [n, dim] with the labels y; w [m, dim], a [m].
template <class Number>
ReluNetwork<Number> relu_network(const std::vector<double>& x, const std::vector<double>& y, std::size_t dim,
                                 bool logistic, const std::vector<Number>& w, const std::vector<Number>& a) {
  using std::exp;
  using std::fabs;
  using std::sqrt;
  const std::size_t n = y.size(), m = a.size();
  ReluNetwork<Number> out;
  out.weights_gradient.assign(m * dim, Number(0));
  out.outer_gradient.assign(m, Number(0));
  Number outer_norm(0);
  for (const Number& a_k : a) outer_norm += a_k * a_k;
  outer_norm = sqrt(outer_norm);
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<Number> z(m, Number(0));
    Number f(0), size(0), point(0), largest(0);
    for (std::size_t j = 0; j < dim; ++j) point += Number(x[i * dim + j]) * Number(x[i * dim + j]);
    for (std::size_t k = 0; k < m; ++k) {
      Number of_z(0);
      for (std::size_t j = 0; j < dim; ++j) {
        const Number term = w[k * dim + j] * Number(x[i * dim + j]);
        z[k] += term;
        of_z += fabs(term);
      }
      if (of_z > 0 && fabs(z[k]) / of_z < out.closest_to_kink) out.closest_to_kink = fabs(z[k]) / of_z;
      size += fabs(a[k]) * of_z;
      largest += of_z * of_z;
      if (z[k] > 0) f += a[k] * z[k];
    }
    if (size > out.output_size) out.output_size = size;
    const Number margin = Number(y[i]) * f, e = exp(Number(-fabs(margin)));
    // log(1 + e^-m) and its slope 1 / (1 + e^m), from the end that does not cancel
    const Number value =
        logistic ? Number(log_one_plus(e) + (margin < 0 ? Number(-margin) : Number(0))) : Number(-margin);
    const Number slope =
        logistic ? Number(margin > 0 ? Number(e / (1 + e)) : Number(1 / (1 + e))) : Number(1);
    out.loss += value / Number(n);
    out.loss_size += (logistic ? value : size) / Number(n);
    out.weights_size += slope * outer_norm * sqrt(point) / Number(n);
    out.outer_size += slope * sqrt(largest) / Number(n);
    for (std::size_t k = 0; k < m; ++k) {
      const Number factor = -slope * Number(y[i]) / Number(n);
      if (z[k] > 0) out.outer_gradient[k] += factor * z[k];
      if (!(z[k] < 0))
        for (std::size_t j = 0; j < dim; ++j)
          out.weights_gradient[k * dim + j] += factor * a[k] * Number(x[i * dim + j]);
    }
  }
  return out;
}

/// Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / 15 + ...). For x < 0 it cancels: the digits must cover e^(-x^2
/// / 2).
template <class Number>
Number normal_distribution(const Number& x) {
  using std::acos;
  using std::exp;
  using std::fabs;
  using std::sqrt;
  const Number density = exp(Number(-x * x / 2)) / sqrt(Number(2 * acos(Number(-1))));
  Number term = x, sum = x;
  for (int k = 1;; ++k) {
    term *= x * x / (2 * k + 1);
    const Number next = sum + term;
    if (next == sum && k > fabs(x)) return Number(1) / 2 + density * sum;
    sum = next;
  }
}

/// The expected correlation loss over `clusters` (dim, means, probabilities, labels, sigma).
template <class Number, class Clusters>
ReluNetwork<Number> relu_population(const Clusters& clusters, const std::vector<Number>& w,
                                    const std::vector<Number>& a) {
  using std::acos;
  using std::exp;
  using std::fabs;
  using std::sqrt;
  const std::size_t dim = clusters.dim, m = a.size();
  const Number sigma(clusters.sigma), at_0 = 1 / sqrt(Number(2 * acos(Number(-1))));
  ReluNetwork<Number> out;
  out.weights_gradient.assign(m * dim, Number(0));
  out.outer_gradient.assign(m, Number(0));
  for (std::size_t k = 0; k < m; ++k) {
    Number norm(0);
    for (std::size_t j = 0; j < dim; ++j) norm += w[k * dim + j] * w[k * dim + j];
    norm = sqrt(norm);
    for (std::size_t c = 0; c < clusters.labels.size(); ++c) {
      const Number share = Number(clusters.probabilities[c]) * Number(clusters.labels[c]);
      Number along(0), length(0);
      for (std::size_t j = 0; j < dim; ++j) {
        const Number mean(clusters.means[c * dim + j]);
        if (norm > 0) along += w[k * dim + j] / norm * mean;
        length += mean * mean;
      }
      length = sqrt(length);
      Number probability(along < 0 ? 0 : 1), density(0);
      if (sigma > 0 && norm > 0) {
        probability = normal_distribution(Number(along / sigma));
        density = at_0 * exp(Number(-(along / sigma) * (along / sigma) / 2));
      }
      const Number part = norm * (along * probability + sigma * density);
      const Number part_size = norm * (length * probability + sigma * density);
      out.loss -= share * a[k] * part;
      out.loss_size += fabs(Number(share * a[k])) * part_size;
      out.outer_gradient[k] -= share * part;
      out.outer_size += fabs(share) * part_size;
      out.weights_size += fabs(Number(share * a[k])) * (length * probability + sigma * density);
      for (std::size_t j = 0; j < dim; ++j)
        out.weights_gradient[k * dim + j] -=
            share * a[k] *
            (probability * Number(clusters.means[c * dim + j]) +
             (norm > 0 ? Number(sigma * density * w[k * dim + j] / norm) : Number(0)));
    }
  }
  return out;
}

}  // namespace softstep::reference
