#include "core/models/attention/attention_hessian.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/token_rows.h"
#include "core/layer/gradient_size.h"
#include "core/layer/units.h"
#include "softstep/error.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double log_two = std::log(2.0);

}  // namespace

template <class T>
void AttentionHessian<T>::Rows::normalise(std::size_t i) {
  T* values_of_row = row(i);
  const T largest = largest_of(values_of_row, width);
  if (largest == T(0)) {
    exponent[i] = std::isnan(exponent[i]) ? exponent[i] : -infinity;
  } else if (!std::isfinite(largest)) {
    exponent[i] = std::numeric_limits<double>::quiet_NaN();
  } else {
    const int power = std::ilogb(largest);
    if (power == 0) return;
    for (std::size_t j = 0; j < width; ++j) values_of_row[j] = std::scalbn(values_of_row[j], -power);
    exponent[i] += power * log_two;
  }
}

template <class T>
void AttentionHessian<T>::Rows::add(std::size_t i, Rows& others) {
  double &mine = exponent[i], other = others.exponent[i];
  if (std::isnan(mine) || std::isnan(other)) {
    mine = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  const double top = std::max(mine, other);
  if (top == -infinity) return;
  // Multiples of log 2; a row of zeros has any.
  const auto power = [top](double of) {
    return of == -infinity ? 0 : static_cast<int>(std::round((of - top) / log_two));
  };
  for (std::size_t j = 0; j < width; ++j)
    row(i)[j] = std::scalbn(row(i)[j], power(mine)) + std::scalbn(others.row(i)[j], power(other));
  mine = top;
  normalise(i);
}

template <class T>
AttentionHessian<T>::AttentionHessian(const AttentionData<T>& data)
    : data_(data), d_(data.batch.dim), r_(data.options.rank) {}

// The largest entry of each block near 1, in units of its own: a small block counts where it meets large
// weights. The unit of the largest is common to all.
template <class T>
void AttentionHessian<T>::scale_direction(Point<T> direction) {
  direction_.resize(direction.size());
  powers_.assign(direction.size(), 0);
  double poison = 0.0;
  int common = std::numeric_limits<int>::min();
  for (std::size_t k = 0; k < direction.size(); ++k) {
    const auto largest = static_cast<double>(largest_of(direction[k].data(), direction[k].size()));
    const int power = powers_[k] = power_of(largest);
    if (largest > 0.0) common = std::max(common, power);
    poison += largest * 0.0;
    direction_[k].resize(direction[k].size());
    std::transform(direction[k].begin(), direction[k].end(), direction_[k].begin(),
                   [power](T x) { return std::scalbn(x, -power); });
  }
  if (common == std::numeric_limits<int>::min()) common = 0;
  for (int& power : powers_) power -= common;
  log_unit_ = common * log_two + poison;
}

template <class T>
void AttentionHessian<T>::resize(std::size_t n) {
  n_ = n;
  for (Rows* rows : {&queries_, &projected_, &moved_, &change_}) rows->resize(n, d_);
  if (data_.options.train_decoder) decoder_.resize(n, d_);
  if (data_.options.key_query == KeyQuery::factored) {
    for (Rows* rows : {&gradient_, &moved_by_queries_}) rows->resize(n, d_);
    for (Rows* rows : {&query_factor_, &query_change_, &key_change_, &key_gradient_}) rows->resize(n, r_);
  }
}

// V = Z W^T and its derivative, and with factors what they are made of.
template <class T>
void AttentionHessian<T>::project(std::size_t begin, std::size_t end, const AttentionSpace<T>& layer,
                                  Point<T> at) {
  const std::size_t m = end - begin;
  if (m == 0) return;
  const simd::Kernels<T>& kernels = data_.kernels;
  for (std::size_t row = begin; row < end; ++row) {
    std::copy_n(layer.queries() + row * data_.stride, d_, queries_.row(row));
    queries_.normalise(row);
  }
  const T* z = queries_.row(begin);
  switch (data_.options.key_query) {
    case KeyQuery::combined:
      // The scores are those of an evaluation, from the queries as they are.
      kernels.product_nt({m, d_, d_, layer.queries() + begin * data_.stride, data_.stride, at[0].data(), d_,
                          projected_.row(begin), d_});
      kernels.product_nt({m, d_, d_, z, d_, direction_[0].data(), d_, moved_.row(begin), d_});
      break;
    case KeyQuery::factored: {
      const T* keys = at[0].data();
      T *p = query_factor_.row(begin), *dp = query_change_.row(begin);
      kernels.product_nn({m, r_, d_, z, d_, at[1].data(), r_, p, r_});
      kernels.product_nn({m, r_, d_, z, d_, direction_[1].data(), r_, dp, r_});
      kernels.product_nt({m, d_, r_, p, r_, keys, r_, projected_.row(begin), d_});
      kernels.product_nt({m, d_, r_, p, r_, direction_[0].data(), r_, moved_.row(begin), d_});
      kernels.product_nt({m, d_, r_, dp, r_, keys, r_, moved_by_queries_.row(begin), d_});
      break;
    }
    case KeyQuery::prompt:
      for (std::size_t row = begin; row < end; ++row) {
        std::copy_n(at[0].data(), d_, projected_.row(row));
        std::copy_n(direction_[0].data(), d_, moved_.row(row));
      }
  }
  for (std::size_t row = begin; row < end; ++row) {
    const double unit = data_.options.key_query == KeyQuery::prompt ? 0.0 : queries_.exponent[row];
    moved_.exponent[row] = unit + powers_[0] * log_two;
    moved_.normalise(row);
    projected_.exponent[row] = data_.options.key_query == KeyQuery::factored ? unit : 0.0;
    if (data_.options.key_query != KeyQuery::factored) continue;
    query_factor_.exponent[row] = unit;
    query_change_.exponent[row] = moved_by_queries_.exponent[row] = unit + powers_[1] * log_two;
    for (Rows* rows : {&query_factor_, &query_change_, &moved_by_queries_}) rows->normalise(row);
    moved_.add(row, moved_by_queries_);
  }
}

template <class T>
void AttentionHessian<T>::make_row(const TokenWeights& weights, const T* tokens, std::size_t stride,
                                   double sign, Rows& rows, std::size_t row) {
  T* out = rows.row(row);
  std::fill_n(out, d_, T(0));
  rows.exponent[row] = weights.exponent;
  if (std::isfinite(weights.exponent))
    for (std::size_t t = 0; t < weights.values.size(); ++t)
      if (weights.values[t] != 0.0)
        data_.kernels.axpy(d_, static_cast<T>(sign * weights.values[t]), tokens + t * stride, out);
  rows.normalise(row);
}

template <class T>
typename AttentionHessian<T>::Tokens AttentionHessian<T>::tokens_of(std::size_t sample,
                                                                    std::vector<T>& decoded) const {
  if (data_.storage() == StoredType::working) return {data_.batch.sample(sample), data_.batch.row_stride()};
  const std::size_t n_tokens = data_.batch.tokens_of(sample);
  decoded.resize(n_tokens * d_);
  for (std::size_t t = 0; t < n_tokens; ++t)
    for (std::size_t j = 0; j < d_; ++j)
      decoded[t * d_ + j] = static_cast<T>(
          data::decode(data_.half_sample(sample)[t * data_.half_stride() + j], data_.storage()));
  return {decoded.data(), d_};
}

template <class T>
void AttentionHessian<T>::score(std::size_t row, std::size_t sample, const AttentionSpace<T>& layer,
                                Tokens tokens, HessianWeights& weights) {
  // Powers of two, so that the product with them is exact.
  const double score_unit =
      projected_.exponent[row] == -infinity ? 0.0 : std::round(projected_.exponent[row] / log_two);
  const bool moves = moved_.exponent[row] != -infinity;
  weights.sigma_power = moves && std::isfinite(moved_.exponent[row])
                            ? static_cast<int>(std::round(moved_.exponent[row] / log_two))
                            : 0;
  weights.tau_power = powers_.back();
  for (std::size_t t = 0; t < data_.batch.tokens_of(sample); ++t) {
    const T* x = tokens.first + t * tokens.stride;
    weights.scores[t] =
        std::ldexp(data_.kernels.dot(d_, x, projected_.row(row)), static_cast<int>(score_unit));
    weights.sigma[t] = data_.kernels.dot(d_, x, moved_.row(row));
    weights.gaps[t] = layer.scoring.gap(sample, t);
    if (data_.options.train_decoder)
      weights.tau[t] = data_.batch.sign(sample) *
                       data_.kernels.dot(d_, direction_.back().data(),
                                         data_.batch.sample(sample) + t * data_.batch.row_stride());
  }
}

// Of a sample, from what its queries add to its margin by their weights.
template <class T>
HessianWeights::Slopes AttentionHessian<T>::slopes_of(std::size_t sample, double pivot_score,
                                                      const std::vector<HessianWeights::Margin>& margins,
                                                      double poison) const {
  std::vector<Scaled> shifts, changes;
  for (const HessianWeights::Margin& margin : margins) {
    shifts.push_back(margin.shift);
    changes.push_back(margin.change);
  }
  const double target = data_.batch.target(sample);
  const Scaled shift = sum_scaled(shifts.data(), shifts.size());
  const double margin = pivot_score + shift.value();
  const Scaled curvature = data_.loss.curvature(margin, target);
  HessianWeights::Slopes out;
  out.has_curvature = !(std::isfinite(margin) && std::isnan(curvature.mantissa));
  out.slope = -data_.loss.slope_near(pivot_score, shift, target);  // l'
  out.curved_change = curvature * sum_scaled(changes.data(), changes.size());
  out.are_numbers = (poison + margin) * 0.0 == 0.0;
  return out;
}

template <class T>
bool AttentionHessian<T>::do_sample(std::size_t k, const AttentionSpace<T>& layer, HessianWeights& weights,
                                    std::vector<T>& decoded) {
  const PassRows& rows = layer.pass_rows();
  const std::size_t i = rows.samples()[k], first = rows.first(k), m = data_.query_rows.of(i);
  const bool train_decoder = data_.options.train_decoder;
  const auto weight = [&](std::size_t q) { return data_.query_rows.weight(rows.first_of_batch(k) + q); };
  const Tokens tokens = tokens_of(i, decoded);
  const HessianWeights::Sample sample{data_.batch.tokens_of(i), layer.scoring.gap_unit(i), train_decoder};
  std::vector<HessianWeights::Margin> margins(m);
  double poison = 0.0, pivot_gap = 0.0;
  for (std::size_t q = 0; q < m; ++q) {
    score(first + q, i, layer, tokens, weights);
    margins[q] = weights.open(sample);
    margins[q].shift.mantissa *= weight(q);
    margins[q].change.mantissa *= weight(q);
    pivot_gap += weight(q) * margins[q].pivot_gap;
    poison += margins[q].poison;
  }
  const double pivot_score = data_.query_rows.total_weight(i) * layer.scoring.optimal_score(i) - pivot_gap;
  const HessianWeights::Slopes slopes = slopes_of(i, pivot_score, margins, poison);
  const double sign = data_.batch.sign(i);
  for (std::size_t q = 0; q < m; ++q) {
    const std::size_t row = first + q;
    if (m > 1) {  // else it is open still
      score(row, i, layer, tokens, weights);
      weights.open(sample);
    }
    HessianWeights::Slopes of_query = slopes;
    of_query.slope.mantissa *= weight(q);
    of_query.curved_change.mantissa *= weight(q);
    weights.close(sample, of_query);
    make_row(weights.change, tokens.first, tokens.stride, 1.0, change_, row);
    if (data_.options.key_query == KeyQuery::factored)
      make_row(weights.gradient, tokens.first, tokens.stride, 1.0, gradient_, row);
    if (train_decoder) make_row(weights.decoder, tokens.first, tokens.stride, sign, decoder_, row);
  }
  return slopes.has_curvature;
}

template <class T>
void AttentionHessian<T>::through_factors(std::size_t begin, std::size_t end, Point<T> at) {
  const std::size_t m = end - begin;
  if (m == 0) return;
  data_.kernels.product_nn({m, r_, d_, change_.row(begin), d_, at[0].data(), r_, key_change_.row(begin), r_});
  data_.kernels.product_nn(
      {m, r_, d_, gradient_.row(begin), d_, direction_[0].data(), r_, key_gradient_.row(begin), r_});
  for (std::size_t row = begin; row < end; ++row) {
    key_change_.exponent[row] = change_.exponent[row];
    key_gradient_.exponent[row] = gradient_.exponent[row] + powers_[0] * log_two;
    key_change_.normalise(row);
    key_gradient_.normalise(row);
  }
}

template <class T>
void AttentionHessian<T>::sum(std::span<const Product> products, int n_threads, BlockGradient<T>& out,
                              std::size_t size) {
  double top = -infinity, poison = log_unit_ * 0.0;
  const auto exponent = [](const Product& product, std::size_t row) {
    return product.left->exponent[row] + (product.right == nullptr ? 0.0 : product.right->exponent[row]);
  };
  for (const Product& product : products)
    for (std::size_t row = 0; row < n_; ++row) {
      const double of_row = exponent(product, row);
      if (std::isnan(of_row)) poison = of_row;
      top = std::max(top, of_row);
    }
  out.exponent = top + log_unit_ + poison;
  const std::span<T> mantissa = out.room(size);
  if (!has_rows(out.exponent)) return fill_without_rows(out, mantissa);
  const auto n = static_cast<double>(n_samples_);
  bool first = true;
  total_.assign(size, 0.0);
  for (const Product& product : products) {
    const std::size_t width = product.left->width;
    if (product.right == nullptr) {
      for (std::size_t row = 0; row < n_; ++row) {
        const double factor = std::exp(exponent(product, row) - top) / n;
        for (std::size_t j = 0; j < width; ++j)
          total_[j] += factor * static_cast<double>(product.left->row(row)[j]);
      }
      std::transform(total_.begin(), total_.end(), mantissa.begin(),
                     [](double x) { return static_cast<T>(x); });
      continue;
    }
    scaled_.resize(n_ * width);
    for (std::size_t row = 0; row < n_; ++row) {
      const double factor = std::exp(exponent(product, row) - top) / n;
      for (std::size_t j = 0; j < width; ++j)
        scaled_[row * width + j] = static_cast<T>(factor * static_cast<double>(product.left->row(row)[j]));
    }
    const std::size_t n_cols = product.right->width;
    for_each_block(width, n_cols, n_threads, [&](Block block) {
      data_.kernels.product_tn({block.n_rows, block.n_cols, n_, scaled_.data() + block.row, width,
                                product.right->values.data() + block.col, n_cols,
                                mantissa.data() + block.row * n_cols + block.col, n_cols, !first, T(1)});
    });
    first = false;
  }
  set_norm(data_.kernels, mantissa, out);
}

template <class T>
void AttentionHessian<T>::product(AttentionSpace<T>& layer, std::span<const BlockShape> shapes, Point<T> at,
                                  Point<T> direction, std::vector<BlockGradient<T>>& out, int n_threads) {
  const bool factored = data_.options.key_query == KeyQuery::factored;
  scale_direction(direction);
  resize(layer.n_rows());
  n_samples_ = layer.n_samples();
  while (weights_.size() < static_cast<std::size_t>(n_threads)) weights_.emplace_back(data_.longest);
  tokens_.resize(weights_.size());
  std::atomic<bool> has_curvature = true;
  with_team(n_threads, [&](const Team& team) {
    if (data_.options.train_decoder) layer.score(team, at.back().data());
    const auto [begin, end] = layer.pass_rows().share(team);
    const auto [first, last] = layer.pass_rows().share_of_samples(team);
    project(begin, end, layer, at);
    for (std::size_t k = first; k < last; ++k)
      if (!do_sample(k, layer, weights_[team.rank], tokens_[team.rank])) has_curvature = false;
    if (factored) through_factors(begin, end, at);
  });
  if (!has_curvature)
    throw NotSupported("hessian_product", "the loss " + data_.loss.name() + " has no second derivative");

  out.resize(shapes.size());
  if (factored) {
    const Product keys[] = {{&change_, &query_factor_}, {&gradient_, &query_change_}},
                  queries[] = {{&queries_, &key_change_}, {&queries_, &key_gradient_}};
    sum(keys, n_threads, out[0], shapes[0].size());
    sum(queries, n_threads, out[1], shapes[1].size());
  } else {
    const Product weights[] = {{&change_, data_.options.key_query == KeyQuery::prompt ? nullptr : &queries_}};
    sum(weights, n_threads, out[0], shapes[0].size());
  }
  if (!data_.options.train_decoder) return;
  const Product decoder[] = {{&decoder_, nullptr}};
  sum(decoder, n_threads, out.back(), shapes.back().size());
}

template class AttentionHessian<float>;
template class AttentionHessian<double>;

}  // namespace softstep
