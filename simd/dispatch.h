#pragma once

// The face of the simd room: argument structures, the table of kernels, and the choice of instruction set.
// Kernels trust their caller: sizes, strides and pointers are checked above this room.

#include <cstddef>

namespace softstep::simd {

/// One sample of the fused attention kernel; see simd/kernels/attention.h for the contract.
template <class T>
struct AttentionArgs {
  const T* tokens;           ///< X_i, row t at tokens + t * token_stride
  std::size_t token_stride;  ///< elements
  std::size_t n_tokens;      ///< T_i >= 1
  std::size_t dim;           ///< d >= 1
  const T* projected_query;  ///< v = W z_i, [dim]
  const T* score_gaps;       ///< gamma_opt - gamma_t >= 0, [n_tokens]
  std::size_t optimal;       ///< opt_i
  T* gradient;               ///< out, [dim]: X_i^T r / e^c without l'; null: not wanted
  T* scores;                 ///< work space and out: s_t, [n_tokens]
  T* weights;                ///< work space and out: r_t / e^c without l', [n_tokens]
};

/// What one sample yields besides its gradient row (mathematics, section 2). A is the set of tokens whose
/// score equals the pivot's (D_t = 0), B the others.
template <class T>
struct AttentionStats {
  std::size_t pivot;  ///< a = argmax_t s_t
  T exponent;         ///< c = max_{t in B} s_t - s_a; -infinity if B is empty
  T pivot_attention;  ///< p_a
  T mean_gap;         ///< mu = p_a sum_{t in B} e_t D_t, so that m = gamma_a + e^c mu
  T rest;             ///< E = sum_{t in B} e_t
  T ties;             ///< sum over A without the pivot of e^{s_t - s_a}
  T optimal_score;    ///< s_opt - s_a <= 0
};

/// Row-major matrices with leading dimensions in elements. Outputs must not overlap inputs.
///   product_nt: C[m x n]  = A[m x k] B[n x k]^T
///   product_nn: C[m x n]  = A[m x k] B[k x n]
///   product_tn: C[m x n]  = A[k x m]^T B[k x n]
template <class T>
struct ProductArgs {
  std::size_t m, n, k;
  const T* a;
  std::size_t lda;
  const T* b;
  std::size_t ldb;
  T* c;
  std::size_t ldc;
};

/// One pointer per row of kernels.def.
template <class T>
struct Kernels {
#define SOFTSTEP_KERNEL(name, result, arguments) result(*name) arguments;
#include "simd/kernels.def"
#undef SOFTSTEP_KERNEL
};

struct Isa {
  const char* name;
  bool compiled;
  bool runnable;              ///< compiled, and CPU and operating system support it
  const Kernels<float>* f32;  ///< null unless compiled
  const Kernels<double>* f64;

  template <class T>
  const Kernels<T>& kernels() const {
    if constexpr (sizeof(T) == sizeof(float))
      return *f32;
    else
      return *f64;
  }
};

/// All rows of isas.def in order.
const Isa* isa_table(std::size_t& n_rows);
/// By name; null if there is none.
const Isa* find_isa(const char* name);
/// The last runnable row.
const Isa& best_isa();

}  // namespace softstep::simd
