#pragma once

// u_i = sum_k <z_i, z_k> g_k for runs side by side, each with its own Gram matrix and rows, and the square of
// the norm of sum_i g_i z_i^T, which is sum_i <g_i, u_i>.
//
// Shapes: RunGramArgs (simd/dispatch.h). Every sum is in the run's own lane and over k in order, so that its
// bits do not depend on its neighbours. Of `squared`, the dimensions j of a block are summed up in T, one
// chain each over i in order, and the sums of the blocks in double in order.
//
// Error: |u_ij - exact| <= n u sum_k |<z_i, z_k> g_kj|, without fused multiply-add (n + 1) u; `squared` errs
// by ((n + 4) u + dim 2^-53) sum_ij |g_ij u_ij| of the u_ij as they are (tests/simd/test_runs.cpp).
// Infinity and NaN as in the plain formula.
//
// Traffic: reads (n^2 + n dim) w elements, writes n dim w; the Gram matrix is read once for a block of
// dimensions and the rows once for a block of samples: 25 sums go on at a time where there are 32 registers,
// 12 where there are 16.

#include "simd/dispatch.h"
#include "simd/kernels/run_factors.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// The samples i .. i + n_i - 1 and the dimensions j .. j + n_j - 1; their share of the norm onto `squared`.
template <std::size_t n_i, std::size_t n_j, class T>
SOFTSTEP_INLINE void run_gram_block(const RunGramArgs<T>& in, std::size_t i, std::size_t j, Vec<T>* squared) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  V u[n_i][n_j];
  SOFTSTEP_UNROLL
  for (std::size_t a = 0; a < n_i; ++a) {
    SOFTSTEP_UNROLL
    for (std::size_t b = 0; b < n_j; ++b) u[a][b] = V::all(0);
  }
  const T *gram = in.gram + i * in.n * w, *rows = in.rows + j * in.stride;
  for (std::size_t k = 0; k < in.n; ++k, gram += w, rows += w) {
    // The fewer of the two stay in registers while the others go by.
    const auto q = [&](std::size_t a) SOFTSTEP_LAMBDA_INLINE { return V::load(gram + a * in.n * w); };
    const auto g = [&](std::size_t b) SOFTSTEP_LAMBDA_INLINE { return V::load(rows + b * in.stride); };
    if constexpr (n_i < n_j) {
      V held[n_i];
      SOFTSTEP_UNROLL
      for (std::size_t a = 0; a < n_i; ++a) held[a] = q(a);
      SOFTSTEP_UNROLL
      for (std::size_t b = 0; b < n_j; ++b) {
        const V passing = g(b);
        SOFTSTEP_UNROLL
        for (std::size_t a = 0; a < n_i; ++a) u[a][b] = fma(held[a], passing, u[a][b]);
      }
    } else {
      V held[n_j];
      SOFTSTEP_UNROLL
      for (std::size_t b = 0; b < n_j; ++b) held[b] = g(b);
      SOFTSTEP_UNROLL
      for (std::size_t a = 0; a < n_i; ++a) {
        const V passing = q(a);
        SOFTSTEP_UNROLL
        for (std::size_t b = 0; b < n_j; ++b) u[a][b] = fma(passing, held[b], u[a][b]);
      }
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t a = 0; a < n_i; ++a) {
    SOFTSTEP_UNROLL
    for (std::size_t b = 0; b < n_j; ++b) {
      const std::size_t at = (j + b) * in.stride + (i + a) * w;
      squared[b] = fma(V::load(in.rows + at), u[a][b], squared[b]);
      u[a][b].store(in.image + at);
    }
  }
}

template <std::size_t n_j, class T>
SOFTSTEP_INLINE void run_gram_dimensions(const RunGramArgs<T>& in, std::size_t j) {
  using V = Vec<T>;
  constexpr std::size_t n_i = n_j >= 4 ? run_rows : 6;
  V squared[n_j];
  SOFTSTEP_UNROLL
  for (std::size_t b = 0; b < n_j; ++b) squared[b] = V::all(0);
  std::size_t i = 0;
  for (; i + n_i <= in.n; i += n_i) run_gram_block<n_i, n_j>(in, i, j, squared);
  if constexpr (n_i > 3)
    if (i + 3 <= in.n) run_gram_block<3, n_j>(in, i, j, squared), i += 3;
  if (i + 2 <= in.n) run_gram_block<2, n_j>(in, i, j, squared), i += 2;
  if (i < in.n) run_gram_block<1, n_j>(in, i, j, squared);
  V sum = squared[0];
  SOFTSTEP_UNROLL
  for (std::size_t b = 1; b < n_j; ++b) sum = sum + squared[b];
  add_in_double(sum, in.squared);
}

template <class T>
void run_gram(const RunGramArgs<T>& args) {
  // A copy, which no store can change.
  const RunGramArgs<T> in = args;
  for (std::size_t r = 0; r < Vec<T>::width; ++r) in.squared[r] = 0;
  std::size_t j = 0;
  for (; j + run_columns <= in.dim; j += run_columns) run_gram_dimensions<run_columns>(in, j);
  if constexpr (run_columns > 4)
    if (j + 4 <= in.dim) run_gram_dimensions<4>(in, j), j += 4;
  if (j + 2 <= in.dim) run_gram_dimensions<2>(in, j), j += 2;
  if (j < in.dim) run_gram_dimensions<1>(in, j);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
