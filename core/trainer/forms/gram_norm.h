#pragma once

// ||G'||_F of G' = sum_i g_i z_i^T from inner products alone, without G'.

#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "core/layer/attention_data.h"
#include "core/threads/team.h"
#include "core/trainer/forms/query_units.h"

namespace softstep {

/// ||G'||^2 = sum_ij <g_i, g_j> <zu_i, zu_j> with queries z_i = 2^b_i zu_i, two Gram matrices of n x n beside
/// a matrix of d x d.
template <class T>
class GramNorm {
 public:
  explicit GramNorm(const AttentionData<T>& data)
      : data_(data), units_(data), queries_(gram_of(units_.rows())) {}

  const QueryUnits<T>& units() const { return units_; }

  /// The norm, of rows that go with the units; nothing where it is lost to cancellation. Each inner product
  /// errs by at most f u |g_i| |g_j| or f u |z_i| |z_j|, f = 2 (d / lanes + lanes + 2) (product_nt.h), their
  /// products together by 2 f u (sum_i |g_i| |z_i|)^2. Of n orthogonal terms of one size the square is 1/n of
  /// that sum's; where less than 1/4096 is left the caller forms G'. So the square is right to 8192 f u at
  /// the very worst, and to 2 n f u commonly.
  std::optional<double> operator()(const T* rows) const {
    constexpr double smallest = 1.0 / 4096.0;
    const std::size_t n = data_.n_rows();
    const std::vector<T> gram = gram_of(rows);
    double squared = 0.0, whole = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto product = [&](std::size_t j) {
        return static_cast<double>(gram[i * n + j]) * static_cast<double>(queries_[i * n + j]);
      };
      double row = 0.0;
      for (std::size_t j = 0; j < n; ++j) row += product(j);
      squared += row;
      whole += std::sqrt(product(i));
    }
    if (squared < smallest * whole * whole) return std::nullopt;
    return std::sqrt(squared);
  }

 private:
  std::vector<T> gram_of(const T* rows) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim, stride = data_.stride;
    std::vector<T> gram(n * n);
    const int threads = data_.threads_for(static_cast<double>(n) * static_cast<double>(n * d));
    for_each_block(n, n, threads, [&](Block block) {
      data_.kernels.product_nt({block.n_rows, block.n_cols, d, rows + block.row * stride, stride,
                                rows + block.col * stride, stride, gram.data() + block.row * n + block.col,
                                n});
    });
    return gram;
  }
  const AttentionData<T>& data_;
  QueryUnits<T> units_;
  std::vector<T> queries_;  // of the zu_i
};

}  // namespace softstep
