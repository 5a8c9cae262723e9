#include "core/max_margin/constraints/rank_one_constraints.h"

#include <algorithm>
#include <cmath>

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

template <class T>
RankOneConstraints written_constraints(const BatchView<T>& batch, const TokenScores& chosen) {
  const data::BatchRows<T> rows(batch);
  RankOneConstraints out;
  out.dim = batch.dim;
  out.n_samples = rows.size();
  double largest = 0.0;  // token: a difference of two may overflow
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t)
      for (std::size_t j = 0; j < batch.dim; ++j)
        largest =
            std::max(largest, std::fabs(static_cast<double>(batch.sample(i)[t * batch.row_stride() + j])));
  const int before = std::min(0, exponent_towards_one(largest));
  const auto number = [&](T x) {
    const auto value = static_cast<double>(x);
    return before == 0 ? value : std::ldexp(value, before);
  };
  for (std::size_t row = 0; row < rows.size(); ++row) {
    out.first.push_back(out.size());
    out.queries.insert(out.queries.end(), rows.query(row), rows.query(row) + batch.dim);
    const T* best = rows.token(row, chosen.optimal[row]);
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t, ++out.n_slots) {
      if (t == chosen.optimal[row]) continue;
      const T* other = rows.token(row, t);
      for (std::size_t j = 0; j < batch.dim; ++j)
        out.differences.push_back(number(best[j]) - number(other[j]));
      out.owner.push_back(row);
      out.slot.push_back(out.n_slots);
    }
  }
  out.first.push_back(out.size());
  out.exponent = before + scale_towards_one(out.differences.data(), out.differences.size()) +
                 scale_towards_one(out.queries.data(), out.queries.size());
  return out;
}

template RankOneConstraints written_constraints(const BatchView<float>&, const TokenScores&);
template RankOneConstraints written_constraints(const BatchView<double>&, const TokenScores&);

}  // namespace softstep
