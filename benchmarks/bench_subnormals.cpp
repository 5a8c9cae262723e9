// Numbers below the smallest normal one, which slow some processors down: the same kernel on numbers of
// ordinary size (normal) and on those (subnormal). Kernels of runs that go on for long meet them in weights
// of tokens that attention has left, e^x of x below -87 in float32.

#include <algorithm>

#include "core/reference/kernels.h"
#include "support.h"

namespace softstep::bench {
namespace {

constexpr std::size_t size = 2048;

template <class T>
double size_of(const std::vector<T>& y, std::size_t k, long double exact) {
  return static_cast<double>(std::fabs(y[k] - exact));
}

// Errors in units of what rounding may make of a number, or of the smallest one that there is.
template <class T>
double in_roundings(double error, double exact) {
  return error /
         (unit_roundoff<T> * std::fabs(exact) + static_cast<double>(std::numeric_limits<T>::denorm_min()));
}

template <class T>
void measure_exp(benchmark::State& state, const simd::Isa& isa, bool subnormal) {
  // e^x is subnormal between the logarithms of the smallest normal number and the smallest of all.
  const double most = std::log(static_cast<double>(std::numeric_limits<T>::min())) - 0.1;
  const std::vector<T> x =
      subnormal ? uniform<T>(size, most - (sizeof(T) == 4 ? 10 : 30), most) : uniform<T>(size, -20, 0);
  std::vector<T> y(size);
  const auto run = isa.kernels<T>().exp_nonpositive;
  run(x.data(), y.data(), size);
  double worst = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    const auto exact = reference::exp_nonpositive<long double>(x[k]);
    // What is below the smallest normal number may become 0.
    const bool is_flushed = y[k] == T(0) && exact < std::numeric_limits<T>::min();
    if (!is_flushed) worst = worse(worst, in_roundings<T>(size_of(y, k, exact), static_cast<double>(exact)));
  }
  if (!verified(state, worst, 4.0)) return;
  for (auto _ : state) {
    run(x.data(), y.data(), size);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
}

template <class T>
void measure_axpy(benchmark::State& state, const simd::Isa& isa, bool subnormal) {
  const double scale = subnormal ? 0.5 * static_cast<double>(std::numeric_limits<T>::min()) : 1.0;
  const std::vector<T> x = uniform<T>(size, -scale, scale, 1), y = uniform<T>(size, -scale, scale, 2);
  std::vector<T> out = y;
  const T a = T(1) / 1024;
  const auto run = isa.kernels<T>().axpy;
  run(size, a, x.data(), out.data());
  double worst = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    const auto exact = reference::axpy<long double>(a, x[k], y[k]);
    worst = worse(worst, in_roundings<T>(size_of(out, k, exact), std::fabs(static_cast<double>(y[k])) +
                                                                     static_cast<double>(std::fabs(exact))));
  }
  if (!verified(state, worst, 2.01)) return;
  for (auto _ : state) {
    std::copy(y.begin(), y.end(), out.begin());
    run(size, a, x.data(), out.data());
    benchmark::ClobberMemory();
  }
}

template <class T>
void measure_product(benchmark::State& state, const simd::Isa& isa, bool subnormal) {
  constexpr std::size_t m = 20, n = 20, k = 60;
  const double scale = subnormal ? 0.5 * static_cast<double>(std::numeric_limits<T>::min()) : 1.0;
  const std::vector<T> a = uniform<T>(m * k, -scale, scale, 1), b = uniform<T>(n * k, -1, 1, 2);
  std::vector<T> c(m * n);
  const auto run = isa.kernels<T>().product_nt;
  const simd::ProductArgs<T> args{m, n, k, a.data(), k, b.data(), k, c.data(), n};
  run(args);
  double worst = 0.0;
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      long double exact = 0, terms = 0;
      for (std::size_t p = 0; p < k; ++p) {
        const long double term = static_cast<long double>(a[i * k + p]) * b[j * k + p];
        exact += term;
        terms += std::fabs(term);
      }
      worst = worse(worst, in_roundings<T>(size_of(c, i * n + j, exact), static_cast<double>(terms)) / k);
    }
  if (!verified(state, worst, 1.01)) return;
  for (auto _ : state) {
    run(args);
    benchmark::ClobberMemory();
  }
}

const bool registered = [] {
  const auto both = []<class Measure>(const std::string& kernel, Measure measure) {
    for_each_kernel_variant(
        "subnormals/" + kernel, [=]<class T>(const simd::Isa& isa, const std::string& name) {
          for (const bool subnormal : {false, true})
            enlist(name + (subnormal ? "/subnormal" : "/normal"),
                   [=, &isa](benchmark::State& s) { measure.template operator()<T>(s, isa, subnormal); });
        });
  };
  both("exp_nonpositive", []<class T>(auto&... of) { measure_exp<T>(of...); });
  both("axpy", []<class T>(auto&... of) { measure_axpy<T>(of...); });
  both("product_nt", []<class T>(auto&... of) { measure_product<T>(of...); });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
