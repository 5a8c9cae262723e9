#include "core/max_margin/constraints/constraint_rows.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/max_margin/constraints/range.h"
#include "core/threads/team.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

// Fewer multiply-adds than this do not repay a parallel region, which costs microseconds, and far more on a
// busy machine.
constexpr double parallel_from = 3e6;

double product_of(std::size_t a, std::size_t b, std::size_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

}  // namespace

template <class T>
ConstraintRows<T>::ConstraintRows(const BatchView<T>& batch, const TokenScores& scores,
                                  const simd::Kernels<double>& kernels, int n_threads, Ranks* ranks)
    : batch_(batch),
      all_(ranks, batch_.size(), scores.gaps.size()),
      scores_(scores),
      kernels_(kernels),
      n_threads_(n_threads) {
  const std::size_t n = batch_.size(), d = batch.dim, n_tokens = scores.gaps.size();
  row_threads_ = product_of(n_tokens, d) < parallel_from ? 1 : n_threads;
  scratch_.resize(d * static_cast<std::size_t>(n_threads));
  scales_.assign(n_tokens, 1.0);
  inverse_norms_.assign(n_tokens, 0.0);
  sizes_.assign(all_.n_rows(), 0.0);
  std::size_t zero = n_tokens;

  std::vector<double> unit_queries(n * d), products(n_tokens, 0.0);
  std::vector<int> exponents(n_tokens, 0);  // ||A_k|| = products_k 2^exponents_k
  for (std::size_t i = 0; i < n; ++i) {
    const ScaledNorm query = unit_query(i, unit_queries.data() + i * d);
    for (std::size_t t = 0; t < batch_.tokens_of(i); ++t) {
      if (t == scores.optimal[i]) continue;
      const std::size_t k = scores.first[i] + t;
      const int scale = choose_scale(i, t, scratch_.data());
      const double norm = frobenius_norm({scratch_.data(), d});
      inverse_norms_[k] = 1.0 / norm;
      if (!(norm > 0.0) || !(query.norm > 0.0)) {
        if (zero == n_tokens) zero = k;
        continue;
      }
      const int exponent = std::ilogb(norm);
      products[k] = std::ldexp(norm, -exponent) * query.norm;
      exponents[k] = exponent - scale + query.exponent;
    }
  }
  zero_row_ = all_.first_of_all(zero);
  if (zero_row_ != all_.n_rows()) return;
  take_sizes(all_.of_all(std::move(products)), all_.of_all(std::move(exponents)), sizes_, exponent_);
  basis_ = basis_of_ranks(all_, std::move(unit_queries), d, kernels);
  product_threads_ = product_of(n, d, basis_.rank) < parallel_from ? 1 : n_threads;
  sums_.resize(n * d);
  projected_.resize(n * d);
}

// z_i / ||z_i||, from z_i times a power of two, for which no entry leaves the range of numbers that counts.
template <class T>
typename ConstraintRows<T>::ScaledNorm ConstraintRows<T>::unit_query(std::size_t i, double* z) const {
  const std::size_t d = batch_.dim;
  std::copy_n(batch_.query(i), d, z);
  const int scale = scale_towards_one(z, d);
  const double norm = frobenius_norm({z, d});
  if (!(norm > 0.0)) return {0.0, 0};
  for (std::size_t j = 0; j < d; ++j) z[j] /= norm;
  const int exponent = std::ilogb(norm);
  return {std::ldexp(norm, -exponent), exponent - scale};
}

// The exponent of the scale; leaves the scaled difference in `row`.
template <class T>
int ConstraintRows<T>::choose_scale(std::size_t i, std::size_t t, double* row) {
  difference(i, t, row);
  const int scale = scale_towards_one(row, batch_.dim);
  if (scale == 0) return 0;
  scales_[scores_.first[i] + t] = std::ldexp(1.0, scale);
  difference(i, t, row);
  return scale;
}

template <class T>
void ConstraintRows<T>::difference(std::size_t i, std::size_t t, double* out) const {
  const T *best = batch_.token(i, scores_.optimal[i]), *other = batch_.token(i, t);
  const double scale = scales_[scores_.first[i] + t];
  if (scale < 1.0) {  // before the difference, which may overflow
    for (std::size_t j = 0; j < batch_.dim; ++j)
      out[j] = scale * static_cast<double>(best[j]) - scale * static_cast<double>(other[j]);
    return;
  }
  for (std::size_t j = 0; j < batch_.dim; ++j)
    out[j] = static_cast<double>(best[j]) - static_cast<double>(other[j]);
  if (scale > 1.0)  // after the difference: the tokens themselves may be large
    for (std::size_t j = 0; j < batch_.dim; ++j) out[j] *= scale;
}

template <class T>
void ConstraintRows<T>::unit_row(std::size_t k, double* span) const {
  const std::size_t d = batch_.dim, r = basis_.rank;
  all_.from_owner(k, std::span<double>(span, d * r), [&](std::size_t own) {
    const auto after = std::upper_bound(scores_.first.begin(), scores_.first.end(), own);
    const auto i = static_cast<std::size_t>(after - scores_.first.begin()) - 1;
    std::vector<double> row(d);
    difference(i, own - scores_.first[i], row.data());
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t c = 0; c < r; ++c)
        span[j * r + c] = row[j] * inverse_norms_[own] * basis_.coordinates[i * basis_.stride + c];
  });
}

template <class T>
double ConstraintRows<T>::product_cost() const {
  return product_of(2, n_rows(), batch_.dim) + product_of(2 * all_.n_queries(), batch_.dim, basis_.rank);
}

template <class T>
void ConstraintRows<T>::adjoint(const double* multipliers, double* span) {
  const std::size_t d = batch_.dim, n = batch_.size();
  multipliers += all_.first_row();
  for_each_index(n, row_threads_, [&](std::size_t i, std::size_t thread) {
    double* row = scratch_.data() + d * thread;
    double* sum = sums_.data() + i * d;
    std::fill_n(sum, d, 0.0);
    for (std::size_t t = 0; t < batch_.tokens_of(i); ++t) {
      const std::size_t k = scores_.first[i] + t;
      const double factor = multipliers[k] * inverse_norms_[k];
      if (factor == 0.0) continue;
      difference(i, t, row);
      kernels_.axpy(d, factor, row, sum);
    }
  });
  // W = sum_i b_i z_i^T
  if (all_.are_several()) {
    with_team(product_threads_, [&](const Team& team) {
      product_(team, all_.ranks(), kernels_, d, basis_.rank, n, sums_.data(), d, basis_.coordinates.data(),
               basis_.stride, span);
    });
    return;
  }
  for_each_block(d, basis_.rank, product_threads_, [&](Block block) {
    kernels_.product_tn({block.n_rows, block.n_cols, n, sums_.data() + block.row, d,
                         basis_.coordinates.data() + block.col, basis_.stride,
                         span + block.row * basis_.rank + block.col, basis_.rank});
  });
}

template <class T>
void ConstraintRows<T>::apply(const double* span, double* values) {
  const std::size_t d = batch_.dim;
  for_each_block(batch_.size(), d, product_threads_, [&](Block block) {
    kernels_.product_nt({block.n_rows, block.n_cols, basis_.rank,
                         basis_.coordinates.data() + block.row * basis_.stride, basis_.stride,
                         span + block.col * basis_.rank, basis_.rank,
                         projected_.data() + block.row * d + block.col, d});
  });
  score_rows(values);
}

// values_k = D_k . v_i / ||D_k||; then those of the other ranks
template <class T>
void ConstraintRows<T>::score_rows(double* values) {
  const std::size_t d = batch_.dim;
  for_each_index(batch_.size(), row_threads_, [&](std::size_t i, std::size_t thread) {
    double* row = scratch_.data() + d * thread;
    for (std::size_t t = 0; t < batch_.tokens_of(i); ++t) {
      const std::size_t k = scores_.first[i] + t;
      double& value = values[all_.first_row() + k] = 0.0;
      if (t == scores_.optimal[i]) continue;
      difference(i, t, row);
      value = kernels_.dot(d, row, projected_.data() + i * d) * inverse_norms_[k];
    }
  });
  all_.share(values);
}

// Tokens of one query; no more than d together, so that the blocks take no more room than the tokens.
template <class T>
std::vector<std::pair<std::size_t, std::size_t>> ConstraintRows<T>::blocks() const {
  const std::size_t most = std::clamp<std::size_t>(batch_.dim, 8, 64);
  std::vector<std::pair<std::size_t, std::size_t>> out;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const std::size_t n_tokens = batch_.tokens_of(i), parts = (n_tokens + most - 1) / most;
    for (std::size_t b = 0; b < parts; ++b) {
      const std::size_t begin = n_tokens * b / parts, end = n_tokens * (b + 1) / parts;
      out.emplace_back(all_.first_row() + scores_.first[i] + begin, end - begin);
    }
  }
  return out;
}

template <class T>
void ConstraintRows<T>::block_gram(std::size_t first, std::size_t count, double* gram) {
  const std::size_t d = batch_.dim;
  first -= all_.first_row();
  const auto after = std::upper_bound(scores_.first.begin(), scores_.first.end(), first);
  const auto i = static_cast<std::size_t>(after - scores_.first.begin()) - 1;
  std::vector<double> rows(count * d);
  unit_differences(i, first - scores_.first[i], count, rows.data());
  kernels_.product_nt({count, count, d, rows.data(), d, rows.data(), d, gram, count});
}

// D_it / ||D_it|| of tokens of a query, one below the other.
template <class T>
void ConstraintRows<T>::unit_differences(std::size_t i, std::size_t first_token, std::size_t count,
                                         double* out) const {
  for (std::size_t t = first_token; t < first_token + count; ++t, out += batch_.dim) {
    difference(i, t, out);
    for (std::size_t j = 0; j < batch_.dim; ++j) out[j] *= inverse_norms_[scores_.first[i] + t];
  }
}

// <D_k, D_l> <z_i, z_j> of unit vectors. Of several ranks each gets the rows and queries of all, which are
// few.
template <class T>
std::vector<double> ConstraintRows<T>::gram() {
  const std::size_t n_rows = this->n_rows(), n = all_.n_queries(), d = batch_.dim;
  std::vector<double> differences(all_.n_own_rows() * d), queries(n * n), out(n_rows * n_rows);
  std::vector<int> query(all_.n_own_rows());  // of each row
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    unit_differences(i, 0, batch_.tokens_of(i), differences.data() + scores_.first[i] * d);
    std::fill_n(query.begin() + static_cast<std::ptrdiff_t>(scores_.first[i]), batch_.tokens_of(i),
                static_cast<int>(all_.first_query() + i));
  }
  differences = all_.rows_of_all(std::move(differences), d);
  query = all_.of_all(std::move(query));
  kernels_.product_nt({n_rows, n_rows, d, differences.data(), d, differences.data(), d, out.data(), n_rows});
  const std::vector<double> coordinates = all_.queries_of_all(basis_.coordinates, basis_.stride);
  kernels_.product_nt({n, n, basis_.rank, coordinates.data(), basis_.stride, coordinates.data(),
                       basis_.stride, queries.data(), n});
  for (std::size_t k = 0; k < n_rows; ++k)
    for (std::size_t l = 0; l < n_rows; ++l)
      out[k * n_rows + l] *=
          queries[static_cast<std::size_t>(query[k]) * n + static_cast<std::size_t>(query[l])];
  return out;
}

template <class T>
std::vector<double> ConstraintRows<T>::matrix(const double* span) const {
  const std::size_t d = batch_.dim, r = basis_.rank;
  if (basis_.basis.empty()) return std::vector<double>(span, span + d * d);
  std::vector<double> transposed(r * d), out(d * d);
  for (std::size_t j = 0; j < d; ++j)
    for (std::size_t c = 0; c < r; ++c) transposed[c * d + j] = span[j * r + c];
  for_each_block(d, d, product_of(d, d, r) < parallel_from ? 1 : n_threads_, [&](Block block) {
    kernels_.product_tn({block.n_rows, block.n_cols, r, transposed.data() + block.row, d,
                         basis_.basis.data() + block.col, d, out.data() + block.row * d + block.col, d});
  });
  return out;
}

template <class T>
void ConstraintRows<T>::apply_matrix(const double* matrix, double* values) {
  // From the queries themselves: nothing that the solver derived from them takes part.
  const std::size_t d = batch_.dim, n = batch_.size();
  for (std::size_t i = 0; i < n; ++i) unit_query(i, sums_.data() + i * d);
  for_each_block(n, d, product_of(n, d, d) < parallel_from ? 1 : n_threads_, [&](Block block) {
    kernels_.product_nt({block.n_rows, block.n_cols, d, sums_.data() + block.row * d, d,
                         matrix + block.col * d, d, projected_.data() + block.row * d + block.col, d});
  });
  score_rows(values);
}

template class ConstraintRows<float>;
template class ConstraintRows<double>;

}  // namespace softstep
