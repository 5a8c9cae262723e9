#pragma once

// Products of small matrices for runs side by side, each run with its own: V = W Z^T and G = g Z of a step
// that keeps W itself.
//
// Shapes: RunProductArgs (simd/runs_args.h). Every sum is in the run's own lane and over the inner index in
// order, so that a run's bits do not depend on its neighbours. Of `squared`, the squares of a column in a
// block of rows are summed up in T in order of the rows, and these sums in double in order.
//
// Error: |out - exact| <= n_inner u sum |a b|, without fused multiply-add (n_inner + 1) u; `squared` errs by
// ((b + 3) u + n_rows n_cols 2^-53) of itself, b <= 5 the rows of a block (tests/simd/test_run_rules.cpp).
// Where squares leave the number range of T it is 0 or infinite, as they are. Infinity and NaN as in the
// plain formula. Outputs must not overlap inputs.
//
// Traffic: A is read once for a block of columns, B once for a block of rows: 25 sums go on at a time where
// there are 32 registers, 12 where there are 16.

#include "simd/dispatch.h"
#include "simd/kernels/run_factors.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <std::size_t n_i, std::size_t n_j, class T>
SOFTSTEP_INLINE void run_product_block(const RunProductArgs<T>& in, std::size_t i, std::size_t j) {
  using V = Vec<T>;
  V sum[n_i][n_j];
  SOFTSTEP_UNROLL
  for (std::size_t p = 0; p < n_i; ++p) {
    SOFTSTEP_UNROLL
    for (std::size_t q = 0; q < n_j; ++q) sum[p][q] = V::all(0);
  }
  const T *a = in.a + i * in.a_row, *b = in.b + j * in.b_col;
  for (std::size_t k = 0; k < in.n_inner; ++k, a += in.a_col, b += in.b_row) {
    V held[n_i];
    SOFTSTEP_UNROLL
    for (std::size_t p = 0; p < n_i; ++p) held[p] = V::load(a + p * in.a_row);
    SOFTSTEP_UNROLL
    for (std::size_t q = 0; q < n_j; ++q) {
      const V passing = V::load(b + q * in.b_col);
      SOFTSTEP_UNROLL
      for (std::size_t p = 0; p < n_i; ++p) sum[p][q] = fma(held[p], passing, sum[p][q]);
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t p = 0; p < n_i; ++p) {
    SOFTSTEP_UNROLL
    for (std::size_t q = 0; q < n_j; ++q)
      sum[p][q].store(in.out + (i + p) * in.out_row + (j + q) * in.out_col);
  }
  if (in.squared == nullptr) return;
  SOFTSTEP_UNROLL
  for (std::size_t q = 0; q < n_j; ++q) {
    V squared = sum[0][q] * sum[0][q];
    SOFTSTEP_UNROLL
    for (std::size_t p = 1; p < n_i; ++p) squared = fma(sum[p][q], sum[p][q], squared);
    add_in_double(squared, in.squared);
  }
}

template <std::size_t n_i, class T>
SOFTSTEP_INLINE void run_product_rows(const RunProductArgs<T>& in, std::size_t i) {
  std::size_t j = 0;
  for (; j + run_columns <= in.n_cols; j += run_columns) run_product_block<n_i, run_columns>(in, i, j);
  for (; j + 2 <= in.n_cols; j += 2) run_product_block<n_i, 2>(in, i, j);
  if (j < in.n_cols) run_product_block<n_i, 1>(in, i, j);
}

template <class T>
void run_product(const RunProductArgs<T>& args) {
  // A copy, which no store can change.
  const RunProductArgs<T> in = args;
  if (in.squared != nullptr)
    for (std::size_t r = 0; r < Vec<T>::width; ++r) in.squared[r] = 0;
  std::size_t i = 0;
  for (; i + run_rows <= in.n_rows; i += run_rows) run_product_rows<run_rows>(in, i);
  for (; i + 2 <= in.n_rows; i += 2) run_product_rows<2>(in, i);
  if (i < in.n_rows) run_product_rows<1>(in, i);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
