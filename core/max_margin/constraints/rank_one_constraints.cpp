#include "core/max_margin/constraints/rank_one_constraints.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "core/max_margin/constraints/range.h"
#include "core/metrics/token_products.h"
#include "softstep/metrics.h"

namespace softstep {

std::vector<double> RankOneConstraints::values(const std::vector<double>& weights) const {
  std::vector<double> out(size()), v(dim);
  for (std::size_t i = 0; i < n_samples; ++i) {
    const double* z = query(i);
    for (std::size_t r = 0; r < dim; ++r) {
      const double* row = weights.data() + r * dim;
      v[r] = sum_over(dim, [&](std::size_t c) { return row[c] * z[c]; });
    }
    for (std::size_t k = first[i]; k < first[i + 1]; ++k) {
      const double* d = difference(k);
      out[k] = sum_over(dim, [&](std::size_t j) { return d[j] * v[j]; });
    }
  }
  return out;
}

std::vector<double> RankOneConstraints::lengths() const {
  std::vector<double> out(size());
  for (std::size_t k = 0; k < out.size(); ++k)
    out[k] = frobenius_norm({difference(k), dim}) * frobenius_norm({query(owner[k]), dim});
  return out;
}

std::vector<double> RankOneConstraints::combination(const std::vector<double>& multipliers) const {
  std::vector<double> out(dim * dim, 0.0), sum(dim);
  for (std::size_t i = 0; i < n_samples; ++i) {
    sum.assign(dim, 0.0);
    for (std::size_t k = first[i]; k < first[i + 1]; ++k)
      for (std::size_t j = 0; j < dim; ++j) sum[j] += multipliers[k] * difference(k)[j];
    for (std::size_t r = 0; r < dim; ++r)
      for (std::size_t c = 0; c < dim; ++c) out[r * dim + c] += sum[r] * query(i)[c];
  }
  return out;
}

namespace {

// Where a factor had to be scaled, one power of two for all rows may put the others out of range. So queries
// are brought near 1, each by a power of its own, which its differences make up for. The longest and the
// shortest row then lie as far above 1 as below.
void bring_into_range(RankOneConstraints& rows, const std::vector<int>& of_difference,
                      std::vector<int> of_query) {
  for (std::size_t i = 0; i < rows.n_samples; ++i) {
    const std::span<double> z(rows.queries.data() + i * rows.dim, rows.dim);
    const double norm = frobenius_norm(z);
    if (!(norm > 0.0)) continue;
    const int power = std::ilogb(norm);
    for (double& x : z) x = std::ldexp(x, -power);
    of_query[i] -= power;
  }
  int shortest = std::numeric_limits<int>::max(), longest = std::numeric_limits<int>::min();
  const auto difference = [&](std::size_t k) {
    return std::span<double>(rows.differences.data() + k * rows.dim, rows.dim);
  };
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const double norm = frobenius_norm(difference(k));
    if (!(norm > 0.0)) continue;
    const int length = std::ilogb(norm) - of_difference[k] - of_query[rows.owner[k]];
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  if (shortest > longest) return;
  rows.exponent = -(shortest + (longest - shortest) / 2);
  for (std::size_t k = 0; k < rows.size(); ++k)
    for (double& x : difference(k))
      x = std::ldexp(x, rows.exponent - of_difference[k] - of_query[rows.owner[k]]);
}

}  // namespace

template <class T>
RankOneConstraints written_constraints(const BatchView<T>& batch, const TokenScores& chosen) {
  const data::BatchRows<T> rows(batch);
  RankOneConstraints out;
  out.dim = batch.dim;
  out.n_samples = rows.size();
  std::vector<int> of_difference, of_query;  // rows and queries are those given times 2 to these
  std::vector<double> row(batch.dim);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out.first.push_back(out.size());
    row.assign(rows.query(i), rows.query(i) + batch.dim);
    of_query.push_back(scale_towards_one(row.data(), row.size()));
    out.queries.insert(out.queries.end(), row.begin(), row.end());
    const T* best = rows.token(i, chosen.optimal[i]);
    for (std::size_t t = 0; t < rows.tokens_of(i); ++t, ++out.n_slots) {
      if (t == chosen.optimal[i]) continue;
      of_difference.push_back(scaled_difference(best, rows.token(i, t), row));
      out.differences.insert(out.differences.end(), row.begin(), row.end());
      out.owner.push_back(i);
      out.slot.push_back(out.n_slots);
    }
  }
  out.first.push_back(out.size());
  const auto is_scaled = [](int exponent) { return exponent != 0; };
  if (std::any_of(of_difference.begin(), of_difference.end(), is_scaled) ||
      std::any_of(of_query.begin(), of_query.end(), is_scaled))
    bring_into_range(out, of_difference, std::move(of_query));
  return out;
}

template RankOneConstraints written_constraints(const BatchView<float>&, const TokenScores&);
template RankOneConstraints written_constraints(const BatchView<double>&, const TokenScores&);

}  // namespace softstep
