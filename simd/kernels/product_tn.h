#pragma once

// C[m x n] = A[k x m]^T B[k x n]: c_ij = sum_l a_li b_lj, a sum of k outer products. In the layer G = g^T Z
// (d x n x d), or its transpose Z^T g.
//
// Each element is one chain of multiply-adds over l = 0 .. k-1, whatever tile or lane it falls into: the bits
// of an element do not depend on m, n, or how a caller splits them. Shapes: ProductArgs (simd/dispatch.h);
// any leading dimensions and alignment; C must not overlap A or B. k = 0 gives 0. Error: |c_ij - exact| <= k
// u sum_l |a_li b_lj| (tests/simd/test_products.cpp): without fused multiply-add a term has its product's
// rounding besides those of the additions, but the first addition, to 0, is exact. NaN and infinity propagate
// as in the sum.
//
// With `add` the chains are of 256 terms, begun at 0, and each is added to C times the scale: |c_ij - exact|
// <= (min(k, 256) + 1) u |scale| sum_l |..| + ceil(k / 256) u (|c_ij| + |scale| sum_l |..|). Reads and writes
// C once for every 256 terms.
//
// Traffic and blocking: product_tiles.h.

#include "simd/kernels/product_tiles.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void product_tn(const ProductArgs<T>& in) {
  product_by_tiles<true>(in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
