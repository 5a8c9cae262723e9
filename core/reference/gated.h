#pragma once

// Weighted preconditioned gradient descent on the moments of in-context regression from several tasks, from
// its definition with whole matrices, in plain numbers of any type with range and digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct Gated {
  Number loss{0};
  std::vector<Number> matrix_gradient{}, weight_gradient{};  ///< dL/dP, dL/dw
  Number matrix_size{0}, weight_size{0};  ///< norms of the sums of sizes that each is made of
};

/// The covariance R of the examples' tasks: rows of n.
inline std::vector<double> task_covariance(const std::vector<std::size_t>& n_examples,
                                           const std::vector<double>& correlations) {
  std::vector<std::size_t> task;
  for (std::size_t k = 0; k < n_examples.size(); ++k) task.insert(task.end(), n_examples[k], k);
  std::vector<double> r;
  for (const std::size_t a : task)
    for (const std::size_t b : task) r.push_back(a == b ? 1.0 : correlations[a] * correlations[b]);
  return r;
}

/// tr S + noise - 2 (r.w) tr(SPS) + (w'Rw) tr(S P S^2 P') + |w|^2 tr(S P B P') and its derivatives; S is
/// diagonal, B = S^2 + (tr S + noise) S.
template <class Number>
Gated<Number> gated(const std::vector<double>& spectrum, const std::vector<std::size_t>& n_examples,
                    const std::vector<double>& correlations, double noise, const std::vector<Number>& p,
                    const std::vector<Number>& w) {
  using std::fabs;
  using std::sqrt;
  const std::size_t d = spectrum.size(), n = w.size();
  std::vector<Number> rho;
  for (std::size_t k = 0; k < n_examples.size(); ++k)
    rho.insert(rho.end(), n_examples[k], Number(correlations[k]));
  // products of two correlations in Number, 1 within a task
  std::vector<std::size_t> task;
  for (std::size_t k = 0; k < n_examples.size(); ++k) task.insert(task.end(), n_examples[k], k);
  const auto covariance = [&](std::size_t i, std::size_t j) {
    return task[i] == task[j] ? Number(1) : Number(rho[i] * rho[j]);
  };
  Number floor = Number(noise);
  for (const double s : spectrum) floor += Number(s);
  const auto b = [&](std::size_t j) {
    return Number(Number(spectrum[j]) * spectrum[j] + floor * spectrum[j]);
  };
  Number along(0), seen(0), squared(0), along_size(0), seen_size(0);
  for (std::size_t i = 0; i < n; ++i) {
    along += rho[i] * w[i];
    along_size += fabs(Number(rho[i] * w[i]));
    squared += w[i] * w[i];
    for (std::size_t j = 0; j < n; ++j) {
      seen += w[i] * covariance(i, j) * w[j];
      seen_size += fabs(Number(w[i] * covariance(i, j) * w[j]));
    }
  }
  Gated<Number> out;
  Number first(0), second(0), third(0), first_size(0);
  Number size(0);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      const Number s(spectrum[i]), t(spectrum[j]), entry = p[i * d + j];
      if (i == j) {
        first += s * entry * s;
        first_size += fabs(Number(s * entry * s));
      }
      second += s * entry * t * t * entry;
      third += s * entry * b(j) * entry;
      const Number step = 2 * s * entry * (seen * t * t + squared * b(j));
      const Number step_size = 2 * s * fabs(entry) * (seen_size * t * t + squared * b(j));
      out.matrix_gradient.push_back(i == j ? Number(step - 2 * along * s * s) : step);
      const Number whole = step_size + (i == j ? Number(2 * along_size * s * s) : Number(0));
      size += whole * whole;
    }
  out.matrix_size = sqrt(size);
  out.loss = floor - 2 * along * first + seen * second + squared * third;
  size = Number(0);
  for (std::size_t i = 0; i < n; ++i) {
    Number row(0), row_size(0);
    for (std::size_t j = 0; j < n; ++j) {
      row += covariance(i, j) * w[j];
      row_size += fabs(Number(covariance(i, j) * w[j]));
    }
    out.weight_gradient.push_back(-2 * first * rho[i] + 2 * second * row + 2 * third * w[i]);
    const Number whole = 2 * first_size * fabs(rho[i]) + 2 * second * row_size + 2 * third * fabs(w[i]);
    size += whole * whole;
  }
  out.weight_size = sqrt(size);
  return out;
}

/// The best weights, over their last one, and the least loss, by the fixed point w = (R + h I)^-1 r, h =
/// tr(S P B P) / tr(S P S^2 P), P = (r.w) ((w'Rw) S^2 + |w|^2 B)^-1 S.
template <class Number>
struct BestWeights {
  std::vector<Number> weights{};
  Number loss{0};
};
template <class Number>
BestWeights<Number> best_weights(const std::vector<double>& spectrum,
                                 const std::vector<std::size_t>& n_examples,
                                 const std::vector<double>& correlations, double noise, int rounds) {
  std::vector<std::size_t> task;
  for (std::size_t k = 0; k < n_examples.size(); ++k) task.insert(task.end(), n_examples[k], k);
  const std::size_t n = task.size();
  Number floor = Number(noise);
  for (const double s : spectrum) floor += Number(s);
  BestWeights<Number> out;
  Number h(1);
  for (int round = 0; round < rounds; ++round) {
    // Gaussian elimination; R + h I is positive definite
    std::vector<std::vector<Number>> a(n, std::vector<Number>(n + 1));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j)
        a[i][j] =
            (task[i] == task[j] ? Number(1) : Number(Number(correlations[task[i]]) * correlations[task[j]])) +
            (i == j ? h : Number(0));
      a[i][n] = Number(correlations[task[i]]);
    }
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t i = k + 1; i < n; ++i) {
        const Number factor = a[i][k] / a[k][k];
        for (std::size_t j = k; j <= n; ++j) a[i][j] -= factor * a[k][j];
      }
    std::vector<Number>& w = out.weights;
    w.assign(n, Number(0));
    for (std::size_t k = n; k-- > 0;) {
      w[k] = a[k][n];
      for (std::size_t j = k + 1; j < n; ++j) w[k] -= a[k][j] * w[j];
      w[k] /= a[k][k];
    }
    Number along(0), seen(0), squared(0);
    for (std::size_t i = 0; i < n; ++i) {
      along += Number(correlations[task[i]]) * w[i];
      squared += w[i] * w[i];
      for (std::size_t j = 0; j < n; ++j)
        seen +=
            w[i] * w[j] *
            (task[i] == task[j] ? Number(1) : Number(Number(correlations[task[i]]) * correlations[task[j]]));
    }
    Number top(0), bottom(0);
    out.loss = floor;
    for (const double value : spectrum) {
      const Number s(value), b = s * s + floor * s, p = along * s / (seen * s * s + squared * b);
      top += s * p * b * p;
      bottom += s * p * s * s * p;
      out.loss -= along * along * s * s * s / (seen * s * s + squared * b);
    }
    h = top / bottom;
  }
  return out;
}

}  // namespace softstep::reference
