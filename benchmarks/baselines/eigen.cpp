// One Eigen expression per kernel, one thread.

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "baselines/baselines.h"

namespace softstep::bench::eigen {
namespace {

using Eigen::Index;
using Stride = Eigen::OuterStride<>;
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Const = Eigen::Map<const Matrix<T>, 0, Stride>;
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

template <class T>
Const<T> matrix(const T* p, std::size_t rows, std::size_t columns, std::size_t stride) {
  return {p, static_cast<Index>(rows), static_cast<Index>(columns), Stride(static_cast<Index>(stride))};
}

template <class T>
Eigen::Map<Matrix<T>, 0, Stride> result(const simd::ProductArgs<T>& in) {
  return {in.c, static_cast<Index>(in.m), static_cast<Index>(in.n), Stride(static_cast<Index>(in.ldc))};
}

template <class T>
void exp_nonpositive(const T* x, T* y, std::size_t n) {
  Eigen::Map<const Vector<T>> from(x, static_cast<Index>(n));
  Eigen::Map<Vector<T>>(y, static_cast<Index>(n)).array() = from.array().exp();
}

template <class T>
void attention(const PlainAttention<T>& in) {
  const auto n_tokens = static_cast<Index>(in.n_tokens), dim = static_cast<Index>(in.dim);
  const auto x = matrix(in.tokens, in.n_tokens, in.dim, in.dim);
  Eigen::Map<const Vector<T>> v(in.projected, dim), gaps(in.gaps, n_tokens);
  Eigen::Map<Vector<T>> g(in.gradient, dim), p(in.weights, n_tokens);
  p.noalias() = x * v;
  p = (p.array() - p.maxCoeff()).exp();
  p /= p.sum();
  p.array() *= p.dot(gaps) - gaps.array();
  g.noalias() = x.transpose() * p;
}

template <class T>
void product_nt(const simd::ProductArgs<T>& in) {
  result(in).noalias() = matrix(in.a, in.m, in.k, in.lda) * matrix(in.b, in.n, in.k, in.ldb).transpose();
}

template <class T>
void product_tn(const simd::ProductArgs<T>& in) {
  result(in).noalias() = matrix(in.a, in.k, in.m, in.lda).transpose() * matrix(in.b, in.k, in.n, in.ldb);
}

template <class T>
void product_nn(const simd::ProductArgs<T>& in) {
  result(in).noalias() = matrix(in.a, in.m, in.k, in.lda) * matrix(in.b, in.k, in.n, in.ldb);
}

template <class T>
constexpr Baseline<T> table = {"eigen",        &exp_nonpositive<T>, &attention<T>,
                               &product_nt<T>, &product_tn<T>,      &product_nn<T>};

}  // namespace

const Baseline<float> f32 = table<float>;
const Baseline<double> f64 = table<double>;

}  // namespace softstep::bench::eigen
