#pragma once

// ||G'||_F of G' = sum_i g_i z_i^T from inner products alone, without G'.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "core/objective/layer.h"
#include "core/threads/team.h"

namespace softstep {

/// ||G'||^2 = sum_ij <g_i, g_j> <z_i, z_j>, two Gram matrices of n x n beside a matrix of d x d.
template <class T>
class GramNorm {
 public:
  explicit GramNorm(const Layer<T>& layer) : layer_(layer), queries_(gram_of(layer.queries.data())) {}

  /// Whether inner products of the queries stay in the number range with all their digits.
  bool is_usable() const {
    const double safe = sizeof(T) == 4 ? 1e24 : 1e280;
    const std::size_t n = layer_.batch.n_samples;
    for (std::size_t i = 0; i < n; ++i) {
      const auto squared = static_cast<double>(queries_[i * n + i]);
      if (squared == 0.0 ? !is_zero(i) : !(squared > 1.0 / safe && squared < safe)) return false;
    }
    return true;
  }

  /// The norm; nothing where it is lost to cancellation. Each inner product errs by at most
  /// f u |g_i| |g_j| or f u |z_i| |z_j|, f = 2 (d / lanes + lanes + 2) (product_nt.h), their products together by
  /// 2 f u (sum_i |g_i| |z_i|)^2. Of n orthogonal terms of one size the square is 1/n of that sum's; where less than
  /// 1/4096 is left the caller forms G'. So the square is right to 8192 f u at the very worst, and to 2 n f u commonly.
  std::optional<double> operator()(const T* rows) const {
    constexpr double smallest = 1.0 / 4096.0;
    const std::size_t n = layer_.batch.n_samples;
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
    const std::size_t n = layer_.batch.n_samples, d = layer_.batch.dim, stride = layer_.stride;
    std::vector<T> gram(n * n);
    const int threads = layer_.threads_for(static_cast<double>(n) * static_cast<double>(n * d));
    for_each_block(n, n, threads, [&](Block block) {
      layer_.kernels.product_nt({block.n_rows, block.n_cols, d, rows + block.row * stride, stride,
                                 rows + block.col * stride, stride, gram.data() + block.row * n + block.col,
                                 n});
    });
    return gram;
  }
  bool is_zero(std::size_t i) const {
    const T* z = layer_.queries.data() + i * layer_.stride;
    return std::all_of(z, z + layer_.batch.dim, [](T x) { return x == T(0); });
  }

  const Layer<T>& layer_;
  std::vector<T> queries_;  // Z Z^T
};

}  // namespace softstep
