// Each kernel of simd/kernels.def against the scalar reference in long double. Errors are in units that make
// the bound a plain number: ULP, or multiples of the unit roundoff u times the sum of the terms' sizes.

#include <cmath>

#include "core/objective/self_check_parts.h"
#include "core/reference/attention.h"
#include "core/reference/error_bounds.h"
#include "core/reference/kernels.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

template <class T>
void check_exp(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  using Limits = std::numeric_limits<T>;
  const double lowest = std::log(static_cast<double>(Limits::min()));
  Stream stream(1);
  std::vector<T> x, y;
  for (int k = 0; k < 20001; ++k) x.push_back(static_cast<T>(0.5 * (stream.next() - 1.0) * -lowest));
  for (int k = 0; k < 2000; ++k) x.push_back(static_cast<T>(-std::exp2(15.0 * (stream.next() - 1.0))));
  y.resize(x.size());
  isa.kernels<T>().exp_nonpositive(x.data(), y.data(), x.size());
  Worst worst;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Number exact = reference::exp_nonpositive<Number>(x[k]);
    if (exact < static_cast<Number>(Limits::min())) continue;
    const Number ulp = std::ldexp(Number(1), std::ilogb(exact) - (Limits::digits - 1));
    worst.add(static_cast<double>(std::fabs(y[k] - exact) / ulp), 1.0);
  }
  add_row<T>(rows, isa, "exp_nonpositive [ULP]", worst.value(), 1.5);
}

template <class T>
void check_vectors(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const double u = unit_roundoff<T>;
  Worst dot, axpy;
  for (const std::size_t n : {1, 7, 64, 1000, 5003}) {
    Stream stream(n);
    const std::vector<T> x = stream.numbers<T>(n), y = stream.numbers<T>(n);
    std::vector<T> size(n), z = y;
    for (std::size_t i = 0; i < n; ++i) size[i] = std::fabs(x[i] * y[i]);
    const std::vector<T> ones(n, T(1));
    const auto sum = static_cast<double>(reference::dot<Number>(n, size.data(), ones.data()));
    const auto exact = reference::dot<Number>(n, x.data(), y.data());
    dot.add(static_cast<double>(std::fabs(isa.kernels<T>().dot(n, x.data(), y.data()) - exact)), u * sum);
    const T a = static_cast<T>(1.0 / 3.0);
    isa.kernels<T>().axpy(n, a, x.data(), z.data());
    for (std::size_t i = 0; i < n; ++i) {
      const Number truth = reference::axpy<Number>(a, x[i], y[i]);
      axpy.add(static_cast<double>(std::fabs(z[i] - truth)),
               u * (std::fabs(static_cast<double>(a) * static_cast<double>(x[i])) +
                    std::fabs(static_cast<double>(truth))));
    }
  }
  // One lane: at most 256 additions in a chain of a block of 1024, and few more to join; see
  // simd/kernels/dot.h.
  add_row<T>(rows, isa, "dot [u sum|xy|]", dot.value(), 2.0 * (256.0 + 8.0));
  // The product and the sum are rounded once each, or both at once.
  add_row<T>(rows, isa, "axpy [u (|ax| + |y|)]", axpy.value(), 1.01);
}

template <class T>
void check_products(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const double u = unit_roundoff<T>;
  Worst nt, nn, tn;
  constexpr std::size_t largest_k = 67;
  for (const std::size_t k : {std::size_t{1}, std::size_t{5}, std::size_t{32}, largest_k}) {
    const std::size_t m = 11, n = 19;
    Stream stream(k);
    const std::vector<T> a = stream.numbers<T>(m * k), b = stream.numbers<T>(n * k);
    std::vector<T> a_size(a), b_size(b), c(m * n);
    for (T& x : a_size) x = std::fabs(x);
    for (T& x : b_size) x = std::fabs(x);
    isa.kernels<T>().product_nt({m, n, k, a.data(), k, b.data(), k, c.data(), n});
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j)
        nt.add(static_cast<double>(std::fabs(
                   c[i * n + j] - reference::product_nt<Number>(i, j, k, a.data(), k, b.data(), k))),
               u * static_cast<double>(
                       reference::product_nt<Number>(i, j, k, a_size.data(), k, b_size.data(), k)));
    isa.kernels<T>().product_nn({m, n, k, a.data(), k, b.data(), n, c.data(), n});
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j)
        nn.add(static_cast<double>(std::fabs(
                   c[i * n + j] - reference::product_nn<Number>(i, j, k, a.data(), k, b.data(), n))),
               u * static_cast<double>(
                       reference::product_nn<Number>(i, j, k, a_size.data(), k, b_size.data(), n)));
    isa.kernels<T>().product_tn({m, n, k, a.data(), m, b.data(), n, c.data(), n});
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j)
        tn.add(static_cast<double>(std::fabs(
                   c[i * n + j] - reference::product_tn<Number>(i, j, k, a.data(), m, b.data(), n))),
               u * static_cast<double>(
                       reference::product_tn<Number>(i, j, k, a_size.data(), m, b_size.data(), n)));
  }
  // k products and k - 1 sums, in any order: k roundings in a row at most.
  add_row<T>(rows, isa, "product_nt [u sum|ab|]", nt.value(), 1.01 * static_cast<double>(largest_k));
  add_row<T>(rows, isa, "product_nn [u sum|ab|]", nn.value(), 1.01 * static_cast<double>(largest_k));
  add_row<T>(rows, isa, "product_tn [u sum|ab|]", tn.value(), 1.01 * static_cast<double>(largest_k));
}

// One sample whose scores are known: the gradient row against (16 T + 30) u sum a_t |x_t|
// (reference/error_bounds.h).
template <class T>
void check_attention(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const double u = unit_roundoff<T>;
  Worst row_error, score_error;
  std::uint64_t seed = 0;
  for (const double scale : {0.0, 1.0, 1e2, 1e4, 1e6})
    for (const std::size_t n : {2, 6, 17})
      for (const std::size_t d : {1, 8, 33}) {
        Stream stream(++seed);
        const std::vector<T> x = stream.numbers<T>(n * d), v = stream.numbers<T>(d, scale);
        std::vector<T> gaps = stream.numbers<T>(n), gradient(d), scores(n), weights(n);
        const std::size_t optimal = seed % n;
        for (T& gap : gaps) gap = gap + T(1);
        gaps[optimal] = T(0);
        const simd::AttentionStats<T> stats =
            isa.kernels<T>().attention({x.data(), d, n, d, v.data(), gaps.data(), optimal, gradient.data(),
                                        scores.data(), weights.data()});
        const std::vector<Number> s(scores.begin(), scores.end()), gap(gaps.begin(), gaps.end()),
            exact_v(v.begin(), v.end());
        const std::vector<Number> exact_s = reference::scores(x.data(), d, n, d, exact_v.data());
        for (std::size_t t = 0; t < n; ++t) {
          double size = 0.0;
          for (std::size_t j = 0; j < d; ++j)
            size += std::fabs(static_cast<double>(x[t * d + j]) * static_cast<double>(v[j]));
          score_error.add(static_cast<double>(std::fabs(s[t] - exact_s[t])),
                          1.01 * u * static_cast<double>(d) * size);
        }
        const auto exact = reference::attention(n, s.data(), gap.data(), optimal);
        const std::vector<double> z(exact.relative_scores.begin(), exact.relative_scores.end());
        const auto size = reference::row_magnitude(z, std::vector<double>(gaps.begin(), gaps.end()), 0.0);
        const Number c = reference::other_exponent(exact, gap.data());
        const auto r = reference::gradient_weights(exact, gap.data(), c);
        const auto g = reference::weighted_sum(x.data(), d, n, d, r.data());
        row_error.add(static_cast<double>(std::fabs(stats.exponent - c)),
                      u * static_cast<double>(std::fabs(c)));
        for (std::size_t j = 0; j < d; ++j) {
          double bound = 0.0;
          for (std::size_t t = 0; t < n; ++t)
            bound += size.weights[t] * std::fabs(static_cast<double>(x[t * d + j]));
          row_error.add(static_cast<double>(std::fabs(gradient[j] - g[j])),
                        reference::row_error_factor(n) * u * bound);
        }
      }
  add_row<T>(rows, isa, "attention scores [of bound]", score_error.value(), 1.0);
  add_row<T>(rows, isa, "attention row [of bound]", row_error.value(), 1.0);
}

}  // namespace

template <class T>
void check_kernels(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  check_exp<T>(isa, rows);
  check_vectors<T>(isa, rows);
  check_products<T>(isa, rows);
  check_attention<T>(isa, rows);
}

template void check_kernels<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_kernels<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
