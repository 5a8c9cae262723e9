// The kernels of attention over heads against the scalar reference in long double, each within the bound of
// its header in simd/kernels.

#include <algorithm>
#include <cmath>

#include "core/reference/softmax_blocks.h"
#include "core/self_check/self_check_parts.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

template <class T>
void check_packing(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const std::size_t n = 19, dim = 67;
  Stream stream(1);
  const std::vector<T> x = stream.numbers<T>(n * dim);
  std::vector<T> packed(n * dim), transposed(n * dim);
  const T scale = T(0.3);
  isa.kernels<T>().pack_rows(
      {n, dim, x.data(), dim, StoredType::working, nullptr, scale, packed.data(), dim});
  isa.kernels<T>().transpose({n, dim, x.data(), dim, transposed.data(), n});
  Worst worst;
  double moved_wrong = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Number exact = reference::pack_rows<Number>(scale, x[k]);
    worst.add(static_cast<double>(std::fabs(packed[k] - exact)),
              unit_roundoff<T> * static_cast<double>(std::fabs(exact)));
    if (!(transposed[k] == reference::transpose(k / n, k % n, x.data(), dim))) moved_wrong += 1.0;
  }
  add_row<T>(rows, isa, "pack_rows [u |sx|]", worst.value(), 1.0);
  add_row<T>(rows, isa, "transpose [numbers that are wrong]", moved_wrong, 0.0);
}

template <class T>
void check_passes(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const std::size_t n = 19, dim = 67;
  Stream stream(2);
  const std::vector<T> x = stream.numbers<T>(n * dim), query = stream.numbers<T>(dim);
  std::vector<T> weights = stream.numbers<T>(n), scores(n), sums(dim), x_size(x), query_size(query),
                 weight_size(weights);
  for (std::vector<T>* values : {&x_size, &query_size, &weight_size})
    for (T& value : *values) value = std::fabs(value);
  simd::AttentionArgs<T> args{};
  args.tokens = x.data();
  args.token_stride = args.dim = dim;
  args.n_tokens = n;
  args.projected_query = query.data();
  args.scores = scores.data();
  args.weights = weights.data();
  args.gradient = sums.data();
  isa.kernels<T>().row_scores(args);
  isa.kernels<T>().weighted_rows(args);
  Worst score, sum;
  for (std::size_t t = 0; t < n; ++t)
    score.add(static_cast<double>(
                  std::fabs(scores[t] - reference::row_scores<Number>(t, dim, x.data(), dim, query.data()))),
              unit_roundoff<T> * static_cast<double>(reference::row_scores<Number>(t, dim, x_size.data(), dim,
                                                                                   query_size.data())));
  for (std::size_t j = 0; j < dim; ++j)
    sum.add(static_cast<double>(
                std::fabs(sums[j] - reference::weighted_rows<Number>(j, n, x.data(), dim, weights.data()))),
            unit_roundoff<T> * static_cast<double>(reference::weighted_rows<Number>(j, n, x_size.data(), dim,
                                                                                    weight_size.data())));
  add_row<T>(rows, isa, "row_scores [u sum|xv|]", score.value(), 1.01 * static_cast<double>(dim));
  add_row<T>(rows, isa, "weighted_rows [u sum|rx|]", sum.value(), 1.01 * static_cast<double>(n));
}

template <class T>
void check_panels(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const std::size_t m = 13, columns = isa.kernels<T>().tile_columns, n = columns + 3,
                    n_panels = (n + columns - 1) / columns;
  constexpr std::size_t largest_k = 67;
  Worst worst;
  for (const std::size_t k : {std::size_t{1}, std::size_t{5}, largest_k})
    for (const bool transposed : {false, true}) {
      Stream stream(k);
      const std::vector<T> a = stream.numbers<T>(m * k), b = stream.numbers<T>(n_panels * columns * k);
      std::vector<T> a_size(a), b_size(b), c(m * n);
      for (T& x : a_size) x = std::fabs(x);
      for (T& x : b_size) x = std::fabs(x);
      const std::size_t lda = transposed ? m : k;
      isa.kernels<T>().product_panels({m, n, k, a.data(), lda, transposed, b.data(), k, c.data(), n, false});
      for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          const auto exact = reference::product_panels<Number>(i, j, k, a.data(), lda, transposed, b.data(),
                                                               k, columns),
                     size = reference::product_panels<Number>(i, j, k, a_size.data(), lda, transposed,
                                                              b_size.data(), k, columns);
          worst.add(static_cast<double>(std::fabs(c[i * n + j] - exact)),
                    unit_roundoff<T> * static_cast<double>(size));
        }
    }
  // A chain of k products begun at 0: k roundings.
  add_row<T>(rows, isa, "product_panels [u sum|ab|]", worst.value(), 1.01 * static_cast<double>(largest_k));
}

// The sum E of a row over three blocks of keys, each of which may move pivot and second largest score.
template <class T>
void check_softmax_rows(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  constexpr std::size_t n_rows = 9, block = 37, n_blocks = 3, n_keys = n_blocks * block;
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  Worst worst, of_values;
  const auto value_of = [](std::size_t key) { return Number(1) + Number(key) / Number(n_keys); };
  for (const double size : {0.0, 1.0, 20.0}) {
    Stream stream(5 + static_cast<std::uint64_t>(size));
    const std::vector<T> scores = stream.numbers<T>(n_rows * n_keys, size);
    std::vector<T> weights(n_rows * block), top(n_rows, hidden), second(n_rows, hidden), rest(n_rows, T(0)),
        decay(n_rows), former_weight(n_rows);
    std::vector<std::size_t> pivot(n_rows, simd::no_pivot), former(n_rows);
    std::vector<Number> values(n_rows, Number(0));  // sum_{j != a} e_j value_j, as callers go on with it
    for (std::size_t first = 0; first < n_keys; first += block) {
      for (std::size_t r = 0; r < n_rows; ++r)
        std::copy_n(scores.data() + r * n_keys + first, block, weights.data() + r * block);
      isa.kernels<T>().softmax_rows({n_rows, block, weights.data(), block, nullptr, nullptr, first,
                                     top.data(), second.data(), pivot.data(), rest.data(), decay.data(),
                                     former_weight.data(), former.data()});
      for (std::size_t r = 0; r < n_rows; ++r) {
        values[r] *= Number(decay[r]);
        if (former_weight[r] != T(0)) values[r] += Number(former_weight[r]) * value_of(former[r]);
        for (std::size_t j = 0; j < block; ++j)
          values[r] += Number(weights[r * block + j]) * value_of(first + j);
      }
    }
    const double lanes = static_cast<double>(isa.kernels<T>().vector_width);
    for (std::size_t r = 0; r < n_rows; ++r) {
      const T* row = scores.data() + r * n_keys;
      const auto exact = reference::softmax_rows<Number>(n_keys, row);
      // simd/kernels/softmax_rows.h
      double bound = 0.0, bound_of_values = 0.0;
      Number exact_values = 0;
      for (std::size_t j = 0; j < n_keys; ++j) {
        if (j == exact.pivot) continue;
        const double x = static_cast<double>(exact.second) - static_cast<double>(row[j]);
        const double of_key =
            std::exp(-x) * (x + 3.0 + 6.0 * static_cast<double>(n_blocks) +
                            std::ceil(static_cast<double>(block) / (4.0 * lanes)) + 3.0 + std::log2(lanes));
        bound += of_key;
        // What weights and decay err by is part of what the sum does.
        bound_of_values += of_key * static_cast<double>(value_of(j));
        exact_values += std::exp(Number(row[j]) - Number(exact.second)) * value_of(j);
      }
      of_values.add(static_cast<double>(std::fabs(values[r] - exact_values)),
                    1.01 * unit_roundoff<T> * bound_of_values);
      const bool same_row = pivot[r] == exact.pivot && top[r] == exact.top && second[r] == exact.second;
      worst.add(same_row ? static_cast<double>(std::fabs(rest[r] - exact.rest))
                         : std::numeric_limits<double>::infinity(),
                1.01 * unit_roundoff<T> * bound);
    }
  }
  add_row<T>(rows, isa, "softmax_rows [of bound]", worst.value(), 1.0);
  add_row<T>(rows, isa, "softmax_rows sum of values [of bound]", of_values.value(), 1.0);
}

// Given what is known of each row.
template <class T>
void check_softmax_gradient(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  constexpr std::size_t n_rows = 9, n_keys = 37;
  Stream stream(6);
  const std::vector<T> scores = stream.numbers<T>(n_rows * n_keys, 20.0),
                       slopes = stream.numbers<T>(n_rows * n_keys), delta = stream.numbers<T>(n_rows),
                       attention(n_rows, T(0.75)), rest(n_rows, T(0.125)), of_pivot(n_rows, T(-0.5));
  std::vector<T> gradient = scores, weights = slopes, second(n_rows);
  std::vector<std::size_t> pivot(n_rows);
  for (std::size_t r = 0; r < n_rows; ++r) {
    const auto row = reference::softmax_rows<Number>(n_keys, scores.data() + r * n_keys);
    pivot[r] = row.pivot;
    second[r] = row.second;
  }
  isa.kernels<T>().softmax_gradient({n_rows, n_keys, gradient.data(), weights.data(), n_keys, nullptr,
                                     nullptr, 0, second.data(), pivot.data(), attention.data(), rest.data(),
                                     delta.data(), of_pivot.data()});
  Worst worst;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const std::size_t r = k / n_keys;
    if (k % n_keys == pivot[r]) {
      worst.add(std::fabs(static_cast<double>(gradient[k] - of_pivot[r])) +
                    std::fabs(static_cast<double>(weights[k] - attention[r])),
                0.0);
      continue;
    }
    const Number x = Number(scores[k]) - Number(second[r]), e = std::exp(x),
                 exact = Number(attention[r]) * e * (Number(slopes[k]) - Number(delta[r])),
                 exact_weight = Number(rest[r]) * e;
    const double size = static_cast<double>(-x), u = 1.01 * unit_roundoff<T>;
    worst.add(static_cast<double>(std::fabs(gradient[k] - exact)),
              u * (size + 6.0) * static_cast<double>(std::fabs(exact)));
    worst.add(static_cast<double>(std::fabs(weights[k] - exact_weight)),
              u * (size + 4.0) * static_cast<double>(exact_weight));
  }
  add_row<T>(rows, isa, "softmax_gradient [of bound]", worst.value(), 1.0);
}

template <class T>
void check_soft_cap(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const T cap = T(30);
  Stream stream(7);
  const std::vector<T> x = stream.numbers<T>(5003, 300.0);
  std::vector<T> y = x, derivative(x.size());
  isa.kernels<T>().soft_cap({1, x.size(), cap, y.data(), x.size(), derivative.data()});
  Worst value, slope;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const auto exact = reference::soft_cap<Number>(cap, x[k]);
    const double size = std::fabs(static_cast<double>(x[k])) / static_cast<double>(cap);
    value.add(static_cast<double>(std::fabs(y[k] - exact.value)),
              unit_roundoff<T> * static_cast<double>(std::fabs(exact.value)));
    slope.add(static_cast<double>(std::fabs(derivative[k] - exact.derivative)),
              1.01 * (9.0 + 4.0 * size) * unit_roundoff<T> * static_cast<double>(exact.derivative));
  }
  add_row<T>(rows, isa, "soft_cap [u |y|]", value.value(), 1.01 * 9.0);
  add_row<T>(rows, isa, "soft_cap derivative [of bound]", slope.value(), 1.0);
}

}  // namespace

template <class T>
void check_blocks(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  check_packing<T>(isa, rows);
  check_passes<T>(isa, rows);
  check_panels<T>(isa, rows);
  check_softmax_rows<T>(isa, rows);
  check_softmax_gradient<T>(isa, rows);
  check_soft_cap<T>(isa, rows);
}

template void check_blocks<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_blocks<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
