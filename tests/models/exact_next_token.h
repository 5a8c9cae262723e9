#pragma once

// Next-token prediction in 520 digits at given blocks, and its NTP-SVM from an active-set oracle.

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "core/reference/next_token.h"
#include "layer/exact_objective.h"
#include "max_margin/oracle.h"
#include "softstep/metrics.h"
#include "softstep/next_token.h"
#include "support/exact.h"

namespace softstep::test {

using Matrix = std::vector<Exact>;

inline Exact inner(const Matrix& a, const Matrix& b) {
  Exact sum(0);
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

inline std::vector<Matrix> equations(const NextTokenData& data) {
  std::vector<Matrix> rows;
  for (std::size_t j = 0; j < data.n_contexts(); ++j)
    for (std::size_t k = data.first[j] + 1; k < data.first[j + 1]; ++k) {
      rows.emplace_back(data.vocabulary * data.dim, Exact(0));
      for (std::size_t c = 0; c < data.dim; ++c) {
        rows.back()[data.tokens[k] * data.dim + c] += data.contexts[j * data.dim + c];
        rows.back()[data.tokens[data.first[j]] * data.dim + c] -= data.contexts[j * data.dim + c];
      }
    }
  return rows;
}

// Orthonormal by Gram and Schmidt; independent rows only.
inline std::vector<Matrix> orthonormal(std::vector<Matrix> rows) {
  for (std::size_t k = 0; k < rows.size(); ++k) {
    for (std::size_t l = 0; l < k; ++l) {
      const Exact along = inner(rows[k], rows[l]);
      for (std::size_t i = 0; i < rows[k].size(); ++i) rows[k][i] -= along * rows[l][i];
    }
    const Exact length = norm_of(rows[k]);
    for (Exact& x : rows[k]) x /= length;
  }
  return rows;
}

inline void remove_span(const std::vector<Matrix>& basis, Matrix& m) {
  for (const Matrix& row : basis) {
    const Exact along = inner(row, m);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] -= along * row[i];
  }
}

// NTP-SVM: the margins' rows less their part in F, by the active-set oracle.
inline OracleAnswer ntp_svm(const NextTokenData& data) {
  const std::vector<Matrix> basis = orthonormal(equations(data));
  Rows rows;
  for (std::size_t j = 0; j < data.n_contexts(); ++j) {
    const std::set<std::size_t> support(data.tokens.begin() + static_cast<long>(data.first[j]),
                                        data.tokens.begin() + static_cast<long>(data.first[j + 1]));
    for (std::size_t v = 0; v < data.vocabulary; ++v) {
      if (support.count(v) != 0) continue;
      Matrix row(data.vocabulary * data.dim, Exact(0));
      for (std::size_t c = 0; c < data.dim; ++c) {
        row[data.tokens[data.first[j]] * data.dim + c] += data.contexts[j * data.dim + c];
        row[v * data.dim + c] -= data.contexts[j * data.dim + c];
      }
      remove_span(basis, row);
      rows.emplace_back();
      for (const Exact& x : row) rows.back().push_back(static_cast<Real>(x));
    }
  }
  return least_distance(rows);
}

inline double size_of(const std::vector<double>& x) { return frobenius_norm(x); }

template <class T>
std::vector<double> observe_at(const Model<T>& model, const std::vector<std::vector<double>>& blocks,
                               std::size_t k) {
  return model.observe(Point<double>(views_of(blocks)), k);
}

// What the model has at its blocks, as the reference wants it, with U_k = observed(e_k) - observed(0), right
// to some roundings of W_F.
struct Exactly {
  std::vector<Matrix> basis;  // U
  reference::NextTokenValue<Exact> value;
  double logit_size = 0.0;  // sum of |terms| of the largest logit
  Exact support_size{0};    // sum_j pi_j |x_j| |h_j|

  template <class T>
  Exactly(const NextTokenData& data, const Model<T>& model, const std::vector<std::vector<T>>& at) {
    const std::size_t d = data.dim;
    std::vector<double> theta(model.blocks()[0].size(), 0.0), zero(data.vocabulary * d, 0.0);
    const std::vector<double> solution = observe_at(model, {theta, zero}, 1);
    Matrix deviation(zero.size(), Exact(0));
    for (std::size_t k = 0; k < theta.size(); ++k) {
      theta[k] = 1.0;
      const std::vector<double> moved = observe_at(model, {theta, zero}, 1);
      theta[k] = 0.0;
      basis.emplace_back();
      for (std::size_t i = 0; i < moved.size(); ++i) {
        basis[k].push_back(Exact(moved[i]) - Exact(solution[i]));
        if (std::fabs(at[0][k]) >= std::numeric_limits<T>::min())  // as documented
          deviation[i] += Exact(at[0][k]) * basis[k][i];
      }
    }
    const auto logit = [&](const auto& w, std::size_t v, std::size_t j) {
      Exact sum(0);
      for (std::size_t c = 0; c < d; ++c) sum += Exact(w[v * d + c]) * Exact(data.contexts[j * d + c]);
      return sum;
    };
    std::vector<reference::NextTokenContext<Exact>> contexts;
    const Exact all = std::accumulate(data.probabilities.begin(), data.probabilities.end(), Exact(0));
    for (std::size_t j = 0; j < data.n_contexts(); ++j) {
      reference::NextTokenContext<Exact> context{};
      context.probability = Exact(data.probabilities[j]) / all;
      for (std::size_t c = 0; c < d; ++c) context.h.push_back(Exact(data.contexts[j * d + c]));
      Exact sum(0), largest(0);
      for (std::size_t k = data.first[j]; k < data.first[j + 1]; ++k) sum += Exact(data.labels[k]);
      const Exact n(data.first[j + 1] - data.first[j]);
      context.constant = Exact(0);
      for (std::size_t k = data.first[j]; k < data.first[j + 1]; ++k) {
        const std::size_t v = data.tokens[k];
        context.support.push_back(v);
        context.labels.push_back(Exact(data.labels[k]) / sum);
        context.deviations.push_back(logit(deviation, v, j));
        largest = std::max(largest, Exact(abs(context.deviations.back())));
        context.constant += (logit(solution, v, j) - log(context.labels.back()) + logit(at[1], v, j)) / n;
      }
      support_size += context.probability * largest;
      for (std::size_t v = 0; v < data.vocabulary; ++v) {
        context.logits.push_back(logit(solution, v, j) + logit(deviation, v, j) + logit(at[1], v, j));
        logit_size = std::max(logit_size, std::fabs(static_cast<double>(context.logits.back())));
      }
      contexts.push_back(context);
    }
    for (const T x : at[1]) logit_size = std::max(logit_size, std::fabs(static_cast<double>(x)) * 2.0);
    logit_size += size_of(solution) + 4.0;
    value = reference::next_token_value(contexts, data.vocabulary, d);
  }
};

}  // namespace softstep::test
