#pragma once

// Arrays of mantissas: their layout, their largest entry, their norm.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "core/threads/team.h"
#include "simd/dispatch.h"

namespace softstep {

/// Whole cache lines, and never a multiple of 4 KiB: rows that far apart share one set of the cache.
template <class T>
constexpr std::size_t padded_stride(std::size_t dim) {
  constexpr std::size_t line = 64 / sizeof(T), page = 4096 / sizeof(T);
  const std::size_t stride = (dim + line - 1) / line * line;
  return stride % page == 0 ? stride + line : stride;
}

/// max_j |a_j|; NaN if there is one.
template <class T>
T largest_of(const T* a, std::size_t size) {
  T largest = T(0), poison = T(0);
  for (std::size_t j = 0; j < size; ++j) {
    largest = std::max(largest, std::fabs(a[j]));
    poison += a[j] * T(0);
  }
  return largest + poison;
}

/// The sum of squares of a square matrix, by bands of rows that are always the same: those that
/// for_each_block() gives a thread it adds up itself.
template <class T>
class SquaredNorm {
 public:
  explicit SquaredNorm(std::size_t dim) : dim_(dim), bands_((dim + band_unit - 1) / band_unit) {}
  void add_share(const Team& team, const simd::Kernels<T>& kernels, const T* g) {
    const auto [begin, end] = team.share(dim_, band_unit);
    for (std::size_t row = begin; row < end; row += band_unit) {
      const T* band = g + row * dim_;
      bands_[row / band_unit] = kernels.dot(std::min(band_unit, end - row) * dim_, band, band);
    }
  }
  double total() const { return std::accumulate(bands_.begin(), bands_.end(), 0.0); }

 private:
  std::size_t dim_;
  std::vector<double> bands_;
};

/// Whether squares of numbers of T whose sum is this neither overflow nor lose digits to underflow; true for
/// NaN, which has none.
template <class T>
bool squares_keep_digits(double squared) {
  constexpr double safe = sizeof(T) == 4 ? 1e24 : 1e280;
  return (squared < safe && squared > 1.0 / safe) || std::isnan(squared);
}

/// ||G'||_F of `size` numbers, the sum of whose squares is `squared`; moves a power of two from the mantissa
/// to the exponent where their squares would leave the number range.
template <class T>
double mantissa_norm(const simd::Kernels<T>& kernels, double squared, T* g, std::size_t size,
                     double& exponent) {
  if (squares_keep_digits<T>(squared)) return std::sqrt(squared);
  const T largest = largest_of(g, size);
  if (largest == T(0) || !std::isfinite(largest)) return static_cast<double>(largest);
  const int power = std::ilogb(largest);
  for (std::size_t k = 0; k < size; ++k) g[k] = std::scalbn(g[k], -power);
  exponent += power * std::log(2.0);
  return std::sqrt(kernels.dot(size, g, g));
}

}  // namespace softstep
