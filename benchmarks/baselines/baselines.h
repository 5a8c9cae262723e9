#pragma once

// What people would write instead of the kernels, compiled for this machine (-march=native):
//   loops     plain loops as the formulas stand, vectorised as far as the compiler may without changing
//             results
//   fastmath  the same source with -ffast-math: it may reorder sums and call the vector mathematics of the
//             C library
//   eigen     one Eigen expression each
// They compute the textbook form, p (gamma - m), without the kernels' care for what is small.

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"

#define SOFTSTEP_SHOWN __attribute__((visibility("default")))

namespace softstep::bench {

/// One sample of textbook attention: s = X v, p = softmax(s), g = X^T (p (gap_m - gap)), gap_m = p . gap.
template <class T>
struct PlainAttention {
  const T* tokens;
  std::size_t n_tokens, dim;
  const T* projected;
  const T* gaps;
  T* gradient;
  T* weights;  ///< work space, [n_tokens]
};

template <class T>
struct Baseline {
  const char* name;
  void (*exp_nonpositive)(const T* x, T* y, std::size_t n);
  void (*attention)(const PlainAttention<T>& args);
  void (*product_nt)(const simd::ProductArgs<T>& args);
  void (*product_tn)(const simd::ProductArgs<T>& args);
  void (*product_nn)(const simd::ProductArgs<T>& args);  ///< C[m x n] = A[m x k] B[k x n]
};

#define SOFTSTEP_BASELINE(name)                     \
  namespace name {                                  \
  SOFTSTEP_SHOWN extern const Baseline<float> f32;  \
  SOFTSTEP_SHOWN extern const Baseline<double> f64; \
  }
SOFTSTEP_BASELINE(loops)
SOFTSTEP_BASELINE(fastmath)
SOFTSTEP_BASELINE(eigen)
#undef SOFTSTEP_BASELINE

template <class T>
std::vector<const Baseline<T>*> baselines() {
  if constexpr (sizeof(T) == 4)
    return {&loops::f32, &fastmath::f32, &eigen::f32};
  else
    return {&loops::f64, &fastmath::f64, &eigen::f64};
}

}  // namespace softstep::bench
