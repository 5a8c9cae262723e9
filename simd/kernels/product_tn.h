#pragma once

// C[m x n] = A[k x m]^T B[k x n]: c_ij = sum_l a_li b_lj, a sum of k outer products. In the layer G = g^T Z
// (d x n x d).
//
// Each element is one chain of multiply-adds over l = 0 .. k-1, whatever block or lane it falls into: the
// bits of an element do not depend on m, n, or how a caller splits them. Shapes: ProductArgs
// (simd/dispatch.h); any leading dimensions and alignment; C must not overlap A or B. k = 0 gives 0. Error:
// |c_ij - exact| <= k u sum_l |a_li b_lj|, twice that without fused multiply-add
// (tests/simd/test_products.cpp). NaN and infinity propagate as in the sum.
// Traffic: per 128 rows of A and B, B once for every block of columns of A (from cache), C read and written
// once.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Rows of C held in registers, two vectors each: 16 sums where there are 32 registers, 12 where there are 16.
template <class T>
constexpr std::size_t tn_rows = Vec<T>::width * sizeof(T) == 64 ? 8 : 6;

template <bool partial, class T>
SOFTSTEP_INLINE Vec<T> tn_load(const T* p, std::size_t count) {
  if constexpr (partial)
    return load_part(p, count);
  else
    return Vec<T>::load(p);
}

// Adds the outer products l in [first, last) to n_rows x n_vectors vectors of C from (i, j) on. The last
// vector has `count` lanes. The first outer products of all start from zero, so that C need not be set
// before.
template <std::size_t n_rows, std::size_t n_vectors, bool partial, class T>
SOFTSTEP_INLINE void tn_block(const ProductArgs<T>& in, std::size_t i, std::size_t j, std::size_t first,
                              std::size_t last, std::size_t count) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  V sums[n_rows][n_vectors];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v)
      sums[r][v] = first == 0 ? V::all(0) : tn_load<partial>(in.c + (i + r) * in.ldc + j + v * w, count);
  }
  for (std::size_t l = first; l < last; ++l) {
    V b[n_vectors];
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v) b[v] = tn_load<partial>(in.b + l * in.ldb + j + v * w, count);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V a = V::all(in.a[l * in.lda + i + r]);
      SOFTSTEP_UNROLL
      for (std::size_t v = 0; v < n_vectors; ++v) sums[r][v] = fma(a, b[v], sums[r][v]);
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t v = 0; v < n_vectors; ++v) {
      T* out = in.c + (i + r) * in.ldc + j + v * w;
      if constexpr (partial)
        store_part(sums[r][v], out, count);
      else
        sums[r][v].store(out);
    }
  }
}

template <std::size_t n_vectors, bool partial, class T>
SOFTSTEP_INLINE void tn_columns(const ProductArgs<T>& in, std::size_t j, std::size_t first, std::size_t last,
                                std::size_t count) {
  std::size_t i = 0;
  for (; i + tn_rows<T> <= in.m; i += tn_rows<T>)
    tn_block<tn_rows<T>, n_vectors, partial>(in, i, j, first, last, count);
  for (; i < in.m; ++i) tn_block<1, n_vectors, partial>(in, i, j, first, last, count);
}

template <class T>
void product_tn(const ProductArgs<T>& in) {
  constexpr std::size_t w = Vec<T>::width;
  constexpr std::size_t depth = 128;  // 128 rows of two vectors of B stay in the first cache
  std::size_t first = 0;
  do {
    const std::size_t last = in.k - first < depth ? in.k : first + depth;
    std::size_t j = 0;
    for (; j + 2 * w <= in.n; j += 2 * w) tn_columns<2, false>(in, j, first, last, w);
    for (; j + w <= in.n; j += w) tn_columns<1, false>(in, j, first, last, w);
    if (j < in.n) tn_columns<1, true>(in, j, first, last, in.n - j);
    first = last;
  } while (first < in.k);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
