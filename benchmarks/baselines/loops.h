#pragma once

// The source of `loops` and `fastmath`: SOFTSTEP_BASELINE_NAME is the namespace and the name.

#include <math.h>

#include "baselines/baselines.h"

namespace softstep::bench::SOFTSTEP_BASELINE_NAME {
namespace {

inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }

template <class T>
void exp_nonpositive(const T* __restrict x, T* __restrict y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = exponential(x[i]);
}

template <class T>
void attention(const PlainAttention<T>& in) {
  T* __restrict p = in.weights;
  T* __restrict g = in.gradient;
  T top = -INFINITY;
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.dim;
    T s = 0;
    for (std::size_t j = 0; j < in.dim; ++j) s += x[j] * in.projected[j];
    p[t] = s;
    top = s > top ? s : top;
  }
  T total = 0, mean = 0;
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    p[t] = exponential(p[t] - top);
    total += p[t];
    mean += p[t] * in.gaps[t];
  }
  mean /= total;
  for (std::size_t j = 0; j < in.dim; ++j) g[j] = 0;
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.dim;
    const T r = p[t] / total * (mean - in.gaps[t]);
    for (std::size_t j = 0; j < in.dim; ++j) g[j] += r * x[j];
  }
}

template <class T>
void product_nt(const simd::ProductArgs<T>& in) {
  for (std::size_t i = 0; i < in.m; ++i)
    for (std::size_t j = 0; j < in.n; ++j) {
      T sum = 0;
      for (std::size_t l = 0; l < in.k; ++l) sum += in.a[i * in.lda + l] * in.b[j * in.ldb + l];
      in.c[i * in.ldc + j] = sum;
    }
}

// Rows of C stay in the first cache: along them there is no sum to reorder.
template <class T>
void product_by_rows(const simd::ProductArgs<T>& in, std::size_t a_row, std::size_t a_column) {
  for (std::size_t i = 0; i < in.m; ++i) {
    T* __restrict c = in.c + i * in.ldc;
    for (std::size_t j = 0; j < in.n; ++j) c[j] = 0;
    for (std::size_t l = 0; l < in.k; ++l) {
      const T a = in.a[i * a_row + l * a_column];
      const T* __restrict b = in.b + l * in.ldb;
      for (std::size_t j = 0; j < in.n; ++j) c[j] += a * b[j];
    }
  }
}

template <class T>
void product_tn(const simd::ProductArgs<T>& in) {
  product_by_rows(in, 1, in.lda);
}

template <class T>
void product_nn(const simd::ProductArgs<T>& in) {
  product_by_rows(in, in.lda, 1);
}

#define SOFTSTEP_TEXT(name) #name
#define SOFTSTEP_NAME(name) SOFTSTEP_TEXT(name)
template <class T>
constexpr Baseline<T> table = {SOFTSTEP_NAME(SOFTSTEP_BASELINE_NAME),
                               &exp_nonpositive<T>,
                               &attention<T>,
                               &product_nt<T>,
                               &product_tn<T>,
                               &product_nn<T>};

}  // namespace

const Baseline<float> f32 = table<float>;
const Baseline<double> f64 = table<double>;

}  // namespace softstep::bench::SOFTSTEP_BASELINE_NAME
