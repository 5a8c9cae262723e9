#pragma once

// The matrix products share their benchmark: verification, an Eigen expression beside them, registration.

#include <Eigen/Core>

#include "core/reference/kernels.h"
#include "shapes.h"
#include "support.h"

namespace softstep::bench {

enum class Form { nt, nn, tn };

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The operands as the layer has them: nt is V = Z W^T (n x d, d x d), nn the same with the transposed state,
/// tn is G = g^T Z or its transpose (n x d, n x d).
template <class T>
struct Operands {
  std::size_t m, n, k;
  std::vector<T> a, b, c;
  Operands(Form form, const Shape& shape)
      : m(form == Form::tn ? shape.dim : shape.n_samples),
        n(shape.dim),
        k(form == Form::tn ? shape.n_samples : shape.dim),
        a(uniform<T>(m * k, -1, 1, 1)),
        b(uniform<T>(n * k, -1, 1, 2)),
        c(m * n) {}
  simd::ProductArgs<T> args(Form form) {
    return {m, n, k, a.data(), form == Form::tn ? m : k, b.data(), form == Form::nt ? k : n, c.data(), n};
  }
};

/// The worst of about 500 elements, each over its own bound: a chain of k multiply-adds with two roundings
/// each and 16 additions over lanes.
template <class T>
double worst_over_bound(Form form, Operands<T>& in) {
  const auto args = in.args(form);
  double worst = 0.0;
  for (std::size_t e = 0; e < in.m * in.n; e += in.m * in.n / 500 + 1) {
    const std::size_t i = e / in.n, j = e % in.n;
    long double size = 0;
    for (std::size_t l = 0; l < in.k; ++l) {
      const T x = form == Form::tn ? in.a[l * args.lda + i] : in.a[i * args.lda + l];
      const T y = form == Form::nt ? in.b[j * args.ldb + l] : in.b[l * args.ldb + j];
      size += std::fabs(static_cast<long double>(x) * y);
    }
    const auto exact =
        form == Form::nt
            ? reference::product_nt<long double>(i, j, in.k, in.a.data(), args.lda, in.b.data(), args.ldb)
        : form == Form::nn
            ? reference::product_nn<long double>(i, j, in.k, in.a.data(), args.lda, in.b.data(), args.ldb)
            : reference::product_tn<long double>(i, j, in.k, in.a.data(), args.lda, in.b.data(), args.ldb);
    const double bound =
        1.01 * unit_roundoff<T> * static_cast<double>(2 * in.k + 16) * static_cast<double>(size);
    const double ratio = std::fabs(static_cast<double>(in.c[e] - exact)) / bound;
    if (!(ratio <= worst)) worst = ratio;
    if (std::isnan(ratio)) return ratio;
  }
  return worst;
}

template <class T, class Product>
void measure_product(benchmark::State& state, Form form, const Shape& shape, Product product) {
  Operands<T> in(form, shape);
  product(in);
  if (!verified(state, worst_over_bound(form, in), 1.0)) return;
  for (auto _ : state) {
    product(in);
    benchmark::DoNotOptimize(in.c.data());
    benchmark::ClobberMemory();
  }
  count(state, 2.0 * static_cast<double>(in.m) * static_cast<double>(in.n) * static_cast<double>(in.k), 0.0);
}

template <class T>
void eigen_product(Form form, Operands<T>& in) {
  const auto rows = [](std::size_t x) { return static_cast<Eigen::Index>(x); };
  const bool nt = form == Form::nt, tn = form == Form::tn;
  Eigen::Map<const Matrix<T>> a(in.a.data(), rows(tn ? in.k : in.m), rows(tn ? in.m : in.k));
  Eigen::Map<const Matrix<T>> b(in.b.data(), rows(nt ? in.n : in.k), rows(nt ? in.k : in.n));
  Eigen::Map<Matrix<T>> c(in.c.data(), rows(in.m), rows(in.n));
  if (nt)
    c.noalias() = a * b.transpose();
  else if (tn)
    c.noalias() = a.transpose() * b;
  else
    c.noalias() = a * b;
}

/// `kernel`: the member of Kernels<T>, as a callable from (isa, args).
template <class Kernel>
bool register_product(const std::string& kernel_name, Form form, Kernel kernel) {
  for (const Shape& shape : shapes) {
    for_each_kernel_variant(kernel_name, [&]<class T>(const simd::Isa& isa, const std::string& variant) {
      benchmark::RegisterBenchmark((variant + "/" + name(shape)).c_str(), [=, &isa](benchmark::State& s) {
        measure_product<T>(s, form, shape, [&](Operands<T>& in) { kernel(isa, in.args(form)); });
      });
    });
    const auto eigen = [&]<class T>(T) {
      const std::string variant = kernel_name + "/eigen/" + type_name<T> + "/" + name(shape);
      benchmark::RegisterBenchmark(variant.c_str(), [=](benchmark::State& s) {
        measure_product<T>(s, form, shape, [&](Operands<T>& in) { eigen_product(form, in); });
      });
    };
    eigen(float());
    eigen(double());
  }
  return true;
}

}  // namespace softstep::bench
