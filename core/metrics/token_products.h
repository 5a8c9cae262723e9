#pragma once

// Scores of tokens in double, one at a time: for metrics, where right matters more than fast.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/data/batch_rows.h"
#include "core/data/read_ahead.h"
#include "softstep/batch.h"

namespace softstep {

/// sum_k f(k) over four interleaved partial sums in a fixed order: short dependency chains, small error, same
/// bits always.
template <class F>
double sum_over(std::size_t size, F f) {
  double s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0;
  std::size_t k = 0;
  for (; k + 4 <= size; k += 4) {
    s0 += f(k);
    s1 += f(k + 1);
    s2 += f(k + 2);
    s3 += f(k + 3);
  }
  for (; k < size; ++k) s0 += f(k);
  return (s0 + s1) + (s2 + s3);
}

inline void require_size(const char* name, std::size_t size, std::size_t needed, const char* of) {
  if (size != needed)
    throw InvalidArgument(
        name, std::to_string(size) + " entries (need " + of + " = " + std::to_string(needed) + ")");
}

/// W must be dim x dim.
template <class T, class W>
void require_weights(const BatchView<T>& batch, std::span<const W> weights) {
  require_size("weights", weights.size(), batch.dim * batch.dim, "dim * dim");
}

/// The exponent of a power of two that brings numbers of this norm near 1, for what depends on their
/// direction alone; 0 for all of ordinary size, whose products stay in range as they are. The norm may be
/// infinite after an overflow.
inline int power_towards_one(double norm) {
  constexpr int ordinary = 100, after_overflow = -600;
  if (!(norm > 0.0)) return 0;
  if (std::isinf(norm)) return after_overflow;
  const int power = std::ilogb(norm);
  return power < -ordinary || power > ordinary ? -power : 0;
}

/// Numbers times 2^power, in double.
template <class T>
std::vector<double> times_power(std::span<const T> a, int power) {
  std::vector<double> out(a.begin(), a.end());
  for (double& x : out) x = std::ldexp(x, power);
  return out;
}

/// One token for each row, from one for each sample or one for each query.
template <class T>
std::vector<std::size_t> choice_by_row(const data::BatchRows<T>& rows, const std::vector<std::size_t>& chosen,
                                       const char* name = "chosen") {
  const std::size_t n = rows.batch.n_samples;
  if (chosen.size() != n && chosen.size() != rows.size())
    throw InvalidArgument(
        name,
        std::to_string(chosen.size()) + " tokens (need one for each of the " + std::to_string(n) +
            " samples" +
            (rows.size() == n ? std::string() : ", or of the " + std::to_string(rows.size()) + " queries") +
            ")");
  const bool by_sample = chosen.size() == n;
  std::vector<std::size_t> out(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t i = rows.sample_of(row);
    out[row] = chosen[by_sample ? i : row];
    if (out[row] >= rows.tokens_of(row))
      throw InvalidArgument(name, "sample " + std::to_string(i) + ": " + std::to_string(out[row]) +
                                      " (need 0 to " + std::to_string(rows.tokens_of(row) - 1) + ")");
  }
  return out;
}

/// One reader of the tokens of all rows, in order.
template <class T>
class RowsAhead {
 public:
  explicit RowsAhead(const data::BatchRows<T>& rows)
      : rows_(rows), tokens_(rows.batch.tokens), queries_(rows.batch.queries) {}
  /// Before a row is looked at.
  void reading(std::size_t row) {
    const data::BatchRows<T>& rows = rows_;
    tokens_.reading(rows.token(row, 0),
                    ((rows.tokens_of(row) - 1) * rows.batch.row_stride() + rows.dim) * sizeof(T));
    queries_.reading(rows.query(row), rows.dim * sizeof(T));
  }

 private:
  const data::BatchRows<T>& rows_;
  data::ReadAhead tokens_, queries_;
};

/// v = W z of a row
template <class T, class W>
void project(const data::BatchRows<T>& rows, std::size_t row, std::span<const W> weights,
             std::vector<double>& v) {
  const T* z = rows.query(row);
  for (std::size_t r = 0; r < rows.dim; ++r) {
    const W* w = weights.data() + r * rows.dim;
    v[r] = sum_over(rows.dim,
                    [&](std::size_t c) { return static_cast<double>(w[c]) * static_cast<double>(z[c]); });
  }
}

/// s_t = x_t^T v for every token of a row
template <class T>
void score_row(const data::BatchRows<T>& rows, std::size_t row, const std::vector<double>& v,
               std::vector<double>& s) {
  s.resize(rows.tokens_of(row));
  for (std::size_t t = 0; t < s.size(); ++t) {
    const T* x = rows.token(row, t);
    s[t] = sum_over(rows.dim, [&](std::size_t j) { return static_cast<double>(x[j]) * v[j]; });
  }
}

/// -sum_t p_t log p_t of p = softmax(s) = log Z - sum_t p_t z_t with z_t = s_t - s_a and Z = 1 + sum_{t != a}
/// e^z_t: no cancellation.
inline double attention_entropy(const std::vector<double>& s) {
  const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
  double others = 0.0, moment = 0.0;
  for (std::size_t t = 0; t < s.size(); ++t) {
    if (t == pivot) continue;
    const double z = s[t] - s[pivot], e = std::exp(z);
    others += e;
    if (e > 0.0 || std::isnan(e)) moment -= e * z;
  }
  return std::log1p(others) + moment / (1.0 + others);
}

}  // namespace softstep
