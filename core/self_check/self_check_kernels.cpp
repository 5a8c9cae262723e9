// The kernels of simd/kernels.def but attention (self_check_attention.cpp), those of attention over heads
// (self_check_blocks.cpp) and of runs side by side (self_check_runs.cpp) against the scalar reference in long
// double. Errors are in units that make the bound a plain number: ULP, or multiples of the unit roundoff u
// times the sum of the terms' sizes.

#include <algorithm>
#include <cmath>

#include "core/reference/kernels.h"
#include "core/self_check/self_check_parts.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

template <class T>
void check_exp(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  using Limits = std::numeric_limits<T>;
  const double lowest = std::log(static_cast<double>(Limits::min()));
  Stream stream(1);
  std::vector<T> x = {T(0)}, y;
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
  Worst dot, axpy, compensated;
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
    // `low` as large beside y as a rounding leaves it.
    std::vector<T> low(n);
    for (std::size_t i = 0; i < n; ++i) low[i] = x[n - 1 - i] * y[i] * static_cast<T>(u);
    const std::vector<T> low_before = low;
    z = y;
    isa.kernels<T>().axpy_compensated(n, a, x.data(), z.data(), low.data());
    for (std::size_t i = 0; i < n; ++i) {
      const Number truth = reference::axpy_compensated<Number>(a, x[i], y[i], low_before[i]),
                   step = Number(a) * Number(x[i]);
      compensated.add(static_cast<double>(std::fabs(Number(z[i]) + Number(low[i]) - truth)),
                      u * static_cast<double>(std::fabs(step + Number(low_before[i])) + std::fabs(step)) +
                          0x1p-62 * static_cast<double>(std::fabs(truth)));
    }
  }
  // One lane: at most 256 additions in a chain of a block of 1024, and few more to join; see
  // simd/kernels/dot.h.
  add_row<T>(rows, isa, "dot [u sum|xy|]", dot.value(), 2.0 * (256.0 + 8.0));
  // The product and the sum are rounded once each, or both at once.
  add_row<T>(rows, isa, "axpy [u (|ax| + |y|)]", axpy.value(), 1.01);
  // a x + low is rounded once or twice, its sum with y not at all; `truth` itself has 64 digits.
  add_row<T>(rows, isa, "axpy_compensated [u (|ax + low| + |ax|)]", compensated.value(), 1.01);
}

// What has two roundings: (x a) b, in rows and in lanes.
template <class T>
void check_scaling(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  constexpr std::size_t n_rows = 5, lanes = 2 * simd::lane_multiple<T>;
  const double u = unit_roundoff<T>;
  Worst row, lane;
  Stream stream(3);
  for (const std::size_t n : {1, 7, 64, 1003}) {
    const std::vector<T> x = stream.numbers<T>(n);
    const T a = static_cast<T>(1.0 / 3.0), b = static_cast<T>(-0.7);
    std::vector<T> y = x;
    isa.kernels<T>().scale_row(n, a, b, y.data());
    for (std::size_t i = 0; i < n; ++i) {
      const Number truth = reference::scale_row<Number>(a, b, x[i]);
      row.add(static_cast<double>(std::fabs(y[i] - truth)), u * std::fabs(static_cast<double>(truth)));
    }
  }
  const std::vector<double> a = stream.numbers<double>(lanes), b = stream.numbers<double>(lanes);
  const std::vector<T> x = stream.numbers<T>(n_rows * lanes);
  std::vector<T> y = x;
  isa.kernels<T>().scale_lanes({n_rows, lanes, 0, lanes, a.data(), b.data(), y.data()});
  for (std::size_t k = 0; k < y.size(); ++k) {
    const Number truth = reference::scale_lanes<Number>(a[k % lanes], b[k % lanes], x[k]);
    lane.add(static_cast<double>(std::fabs(y[k] - truth)), u * std::fabs(static_cast<double>(truth)));
  }
  add_row<T>(rows, isa, "scale_row [u |xab|]", row.value(), 2.01);
  add_row<T>(rows, isa, "scale_lanes [u |xab|]", lane.value(), 2.01);
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

// What gradient rows are multiplied by: the product of both factors against l'(m) e^c gap_unit, relative to
// that of the largest row. It errs by 12 u and by the rounding of margins and exponents
// (simd/kernels/row_factors.h).
template <class T>
void check_row_factors(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  Worst worst;
  for (const bool logistic : {true, false})
    for (const std::size_t n : {1, 8, 19})
      for (const double spread : {0.0, 1.0, 30.0}) {
        Stream stream(n + static_cast<std::uint64_t>(spread));
        std::vector<T> exponent = stream.numbers<T>(n, spread), pivot_gap = stream.numbers<T>(n);
        for (T& c : exponent) c = -std::fabs(c);
        for (T& gap : pivot_gap) gap = std::max(T(0), gap);
        const std::vector<T> mean_gap = stream.numbers<T>(n), optimal_score = stream.numbers<T>(n, 7.0);
        std::vector<T> largest = stream.numbers<T>(n), gap_unit(n), unit_power(n), inverse_query(n), scale(n),
                       factor(n), row_size(n);
        for (std::size_t i = 0; i < n; ++i) {
          const int gap_power = static_cast<int>(i % 5) - 2, query_power = static_cast<int>(i % 9) - 4;
          largest[i] = T(2) + largest[i];
          gap_unit[i] = static_cast<T>(std::ldexp(1.0, gap_power));
          unit_power[i] = static_cast<T>(gap_power + query_power);
          inverse_query[i] = static_cast<T>(std::ldexp(1.0, -query_power) / static_cast<double>(n));
        }
        isa.kernels<T>().row_factors({n, logistic, exponent.data(), mean_gap.data(), pivot_gap.data(),
                                      largest.data(), gap_unit.data(), optimal_score.data(),
                                      unit_power.data(), inverse_query.data(), scale.data(), factor.data(),
                                      row_size.data()});
        // log of |l'(m)| e^c gap_unit, what it errs by, and what was found.
        std::vector<Number> size(n), error(n), found(n);
        std::size_t largest_row = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const Number c = exponent[i];
          const auto exact =
              reference::row_factors<Number>(logistic, optimal_score[i], pivot_gap[i],
                                             std::exp(c) * Number(mean_gap[i]) * Number(gap_unit[i]));
          size[i] = exact.log_slope + c + std::log(Number(gap_unit[i]));
          error[i] = 5 * (std::fabs(exact.margin) + std::fabs(c)) + 6;  // |p| <= 8
          found[i] = -Number(scale[i]) * Number(factor[i]);
          if (factor[i] < factor[largest_row]) largest_row = i;
        }
        for (std::size_t i = 0; i < n; ++i) {
          const Number y = size[i] - size[largest_row];
          const Number bound = 24 + error[i] + error[largest_row] + 5 * (std::fabs(y) + 12);
          worst.add(static_cast<double>(std::fabs(found[i] / found[largest_row] / std::exp(y) - 1)),
                    1.01 * unit_roundoff<T> * static_cast<double>(bound));
        }
      }
  add_row<T>(rows, isa, "row_factors [of bound]", worst.value(), 1.0);
}

}  // namespace

template <class T>
void check_kernels(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  check_exp<T>(isa, rows);
  check_vectors<T>(isa, rows);
  check_scaling<T>(isa, rows);
  check_products<T>(isa, rows);
  check_row_factors<T>(isa, rows);
}

template void check_kernels<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_kernels<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
