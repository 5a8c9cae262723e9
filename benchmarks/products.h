#pragma once

// The matrix products share their benchmark: operands, verification, registration.

#include "contenders.h"
#include "core/reference/kernels.h"
#include "shapes.h"

namespace softstep::bench {

/// nt is V = Z W^T (n x d x d), tn is G = g^T Z (d x n x d), nn is Z W (n x d x d).
enum class ProductForm { nt, tn, nn };

/// The operands as the layer has them.
template <class T>
struct Operands {
  ProductForm form;
  std::size_t m, n, k;
  std::vector<T> a, b, c;
  Operands(ProductForm f, const Shape& shape)
      : form(f),
        m(f == ProductForm::tn ? shape.dim : shape.n_samples),
        n(shape.dim),
        k(f == ProductForm::tn ? shape.n_samples : shape.dim),
        a(uniform<T>(m * k, -1, 1, 1)),
        b(uniform<T>(n * k, -1, 1, 2)),
        c(m * n) {}
  simd::ProductArgs<T> args() {
    return {
        m,        n, k, a.data(), form == ProductForm::tn ? m : k, b.data(), form == ProductForm::nt ? k : n,
        c.data(), n};
  }
};

/// The worst of about 500 elements, each over its own bound: a chain of k multiply-adds with two roundings
/// each and 16 additions over lanes.
template <class T>
double worst_over_bound(Operands<T>& in) {
  const auto args = in.args();
  const std::size_t a_row = in.form == ProductForm::tn ? 1 : args.lda,
                    a_column = in.form == ProductForm::tn ? args.lda : 1;
  const std::size_t b_row = in.form == ProductForm::nt ? 1 : args.ldb,
                    b_column = in.form == ProductForm::nt ? args.ldb : 1;
  double worst = 0.0;
  for (std::size_t e = 0; e < in.m * in.n; e += sample_step(in.m * in.n, in.n)) {
    const std::size_t i = e / in.n, j = e % in.n;
    std::vector<T> row, column;
    long double size = 0;
    for (std::size_t l = 0; l < in.k; ++l) {
      row.push_back(in.a[i * a_row + l * a_column]);
      column.push_back(in.b[l * b_row + j * b_column]);
      size += std::fabs(static_cast<long double>(row[l]) * column[l]);
    }
    const auto exact = reference::dot<long double>(in.k, row.data(), column.data());
    const double bound =
        1.01 * unit_roundoff<T> * static_cast<double>(2 * in.k + 16) * static_cast<double>(size);
    worst = worse(worst, std::fabs(static_cast<double>(in.c[e] - exact)) / bound);
  }
  return worst;
}

template <class T, class Product>
void measure_product(benchmark::State& state, const std::string& name, ProductForm form, const Shape& shape,
                     const Contender<T>& contender, Product product) {
  Operands<T> in(form, shape);
  const auto args = in.args();
  const auto check = [&] {
    std::fill(in.c.begin(), in.c.end(), std::numeric_limits<T>::quiet_NaN());
    product(contender, args);
    return worst_over_bound(in);
  };
  if (!verified_once(state, name, check)) return;
  for (auto _ : state) {
    product(contender, args);
    benchmark::DoNotOptimize(in.c.data());
    benchmark::ClobberMemory();
  }
  count(state, {2.0 * static_cast<double>(in.m) * static_cast<double>(in.n) * static_cast<double>(in.k),
                contender.peak()});
}

/// `product`: calls the product of a contender, from (contender, args).
template <class Product>
bool register_product(const std::string& kernel_name, ProductForm form, Product product) {
  for (const Shape& shape : shapes)
    for_each_contender(kernel_name, [&]<class T>(const Contender<T>& contender, const std::string& variant) {
      const std::string label = variant + "/" + name(shape);
      enlist(label,
             [=](benchmark::State& s) { measure_product<T>(s, label, form, shape, contender, product); });
    });
  return true;
}

/// The callable for a kernel that the baselines know by the same name.
#define SOFTSTEP_PRODUCT(member)                                                                    \
  []<class T>(const softstep::bench::Contender<T>& c, const softstep::simd::ProductArgs<T>& args) { \
    c.isa != nullptr ? c.isa->template kernels<T>().member(args) : c.baseline->member(args);        \
  }

}  // namespace softstep::bench
