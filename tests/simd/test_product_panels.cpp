// product_panels on every instruction set: error bound, edges of memory, splits, special values.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "block_case.h"
#include "core/reference/softmax_blocks.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

namespace reference = softstep::reference;
using softstep::simd::Isa;
using softstep::test::Extent;
using softstep::test::fill;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::unit_roundoff;
using softstep::test::untouched;

template <class T>
using Limits = std::numeric_limits<T>;

// C, A and B of a product with panels. B's panels end with the last number of the last panel; its rows from k
// on and what stands beyond column n are NaN. C and A end with their last elements.
template <class T>
struct Panels {
  std::size_t m, n, k, columns, panel_rows, lda, ldc;
  bool transposed;
  Guarded<T> a, panels, c;

  Panels(const Isa& isa, std::size_t m_, std::size_t n_, std::size_t k_, bool is_transposed, std::size_t pad,
         std::mt19937_64& random)
      : m(m_),
        n(n_),
        k(k_),
        columns(isa.kernels<T>().tile_columns),
        panel_rows(k_ + pad),
        lda((is_transposed ? m_ : k_) + pad),
        ldc(n_ + pad),
        transposed(is_transposed),
        a(Extent(is_transposed ? k_ : m_, is_transposed ? m_ : k_, static_cast<std::ptrdiff_t>(lda)).size),
        panels((n_ + columns - 1) / columns * panel_rows * columns),
        c(Extent(m_, n_, static_cast<std::ptrdiff_t>(ldc)).size) {
    fill(a, random);
    fill(panels, Limits<T>::quiet_NaN());
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t l = 0; l < k; ++l)
      for (std::size_t j = 0; j < n; ++j) b(l, j) = static_cast<T>(uniform(random));
    fill(c, untouched<T>);
  }
  T& b(std::size_t l, std::size_t j) {
    return panels.data()[(j / columns * panel_rows + l) * columns + j % columns];
  }
  T& at(std::size_t i, std::size_t l) { return a.data()[transposed ? l * lda + i : i * lda + l]; }
  /// Terms l .. l + depth - 1 of rows i .. and columns j .., j the first of a panel.
  void run(const Isa& isa, std::size_t i, std::size_t rows, std::size_t j, std::size_t width, std::size_t l,
           std::size_t depth, bool add, T* to) const {
    const T* from = a.data() + (transposed ? l * lda + i : i * lda + l);
    isa.kernels<T>().product_panels({rows, width, depth, from, lda, transposed,
                                     panels.data() + j * panel_rows + l * columns, panel_rows,
                                     to + i * ldc + j, ldc, add});
  }
  void run(const Isa& isa, bool add) { run(isa, 0, m, 0, n, 0, k, add, c.data()); }

  /// The largest error over its bound; NaN stays NaN. A term goes through at most k roundings where the chain
  /// begins at 0: its own and that of each later sum, or those of all sums but the first, which is exact.
  /// Begun at C none is: C goes through k, a term through k and, without fused multiply-add, its own. 1.01
  /// stands for the second order and for the reference's rounding.
  double worst_ratio(const std::vector<T>& before, bool add) const {
    double worst = 0.0;
    const auto terms = static_cast<double>(k);
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const std::size_t place = i * ldc + j;
        const auto product = reference::product_panels<long double>(i, j, k, a.data(), lda, transposed,
                                                                    panels.data(), panel_rows, columns);
        long double size = 0;
        for (std::size_t l = 0; l < k; ++l)
          size += std::fabs(static_cast<long double>(transposed ? a[l * lda + i] : a[i * lda + l]) *
                            panels[(j / columns * panel_rows + l) * columns + j % columns]);
        const auto was = static_cast<long double>(add ? before[place] : T(0));
        const double error =
                         static_cast<double>(std::fabs(static_cast<long double>(c[place]) - was - product)),
                     bound = 1.01 * unit_roundoff<T> *
                             (terms * std::fabs(static_cast<double>(was)) +
                              (add ? terms + 1.0 : terms) * static_cast<double>(size));
        const double ratio = error == 0.0 ? 0.0 : error / bound;
        if (std::isnan(ratio)) return ratio;
        worst = std::max(worst, ratio);
      }
    return worst;
  }
};

template <class T>
std::vector<std::size_t> widths(const Isa& isa) {
  const std::size_t w = isa.kernels<T>().vector_width, c = isa.kernels<T>().tile_columns;
  std::vector<std::size_t> out;
  for (const std::size_t edge : {w, 2 * w, c, c + w, 2 * c, 3 * c})
    for (const std::size_t n : {edge - 1, edge, edge + 1})
      if (n != 0 && (out.empty() || n > out.back())) out.push_back(n);
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("product_panels keeps its error bound at every size around lanes, tiles and panels",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(44);
  for_each_isa([&](const Isa& isa) {
    for (const bool transposed : {false, true})
      for (const bool add : {false, true})
        for (const std::size_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 24, 29})
          for (const std::size_t n : widths<T>(isa))
            for (const std::size_t k : {0, 1, 2, 7, 33, 300}) {
              if (k == 300 && m % 3 != 0) continue;
              Panels<T> in(isa, m, n, k, transposed, (m + n + k) % 3, random);
              // C beside one rounding of the terms, beside them, and beyond them.
              if (add) fill(in.c, random, m % 3 == 0 ? 1e6 : m % 3 == 1 ? 1.0 : unit_roundoff<T>);
              const std::vector<T> before(in.c.data(), in.c.data() + in.c.size());
              in.run(isa, add);
              INFO(isa.name << ' ' << m << ' ' << n << ' ' << k << (transposed ? " A^T" : "")
                            << (add ? " added" : ""));
              const double ratio = in.worst_ratio(before, add);
              if (!(ratio <= 1.0)) REQUIRE(ratio <= 1.0);
              for (std::size_t i = 0; i < in.c.size(); ++i)
                if (i % in.ldc >= n && in.c[i] != before[i]) FAIL("wrote between the rows of C");
            }
  });
}

TEMPLATE_TEST_CASE("product_panels gives an element the same bits however rows, panels and terms are split",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(45);
  for_each_isa([&](const Isa& isa) {
    for (const bool transposed : {false, true})
      for (const bool add : {false, true}) {
        const std::size_t c = isa.kernels<T>().tile_columns, m = 43, n = 3 * c + c / 2 + 1, k = 290;
        Panels<T> in(isa, m, n, k, transposed, 2, random);
        if (add) fill(in.c, random);
        Guarded<T> pieces(in.c.size());
        for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] = in.c[i];
        in.run(isa, add);
        const std::size_t rows[] = {0, 1, 6, 24, m}, columns[] = {0, c, 3 * c, n}, terms[] = {0, 1, 130, k};
        for (int r = 0; r < 4; ++r)
          for (int p = 0; p < 3; ++p)
            for (int l = 0; l < 3; ++l)
              in.run(isa, rows[r], rows[r + 1] - rows[r], columns[p], columns[p + 1] - columns[p], terms[l],
                     terms[l + 1] - terms[l], add || l != 0, pieces.data());
        INFO(isa.name << (transposed ? " A^T" : "") << (add ? " added" : ""));
        CHECK(std::memcmp(in.c.data(), pieces.data(), pieces.size() * sizeof(T)) == 0);
      }
  });
}

TEMPLATE_TEST_CASE("product_panels is exact on small integers, and NaN and infinity spoil what they are in",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(46);
  for_each_isa([&](const Isa& isa) {
    for (const bool transposed : {false, true}) {
      const std::size_t m = 13, k = 20, n = 2 * isa.kernels<T>().tile_columns + 3;
      Panels<T> in(isa, m, n, k, transposed, 1, random);
      for (std::size_t l = 0; l < k; ++l) {
        for (std::size_t i = 0; i < m; ++i) in.at(i, l) = std::round(8 * in.at(i, l));
        for (std::size_t j = 0; j < n; ++j) in.b(l, j) = std::round(8 * in.b(l, j));
      }
      in.run(isa, false);
      INFO(isa.name << (transposed ? " A^T" : ""));
      for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < n; ++j)
          if (!(in.c[i * in.ldc + j] == reference::product_panels<T>(i, j, k, in.a.data(), in.lda, transposed,
                                                                     in.panels.data(), in.panel_rows,
                                                                     in.columns)))
            FAIL("element " << i << ", " << j);
      for (const T bad : {Limits<T>::quiet_NaN(), Limits<T>::infinity()})
        for (const bool in_a : {true, false}) {
          Panels<T> spoilt(isa, m, n, k, transposed, 1, random);
          const std::size_t line = in_a ? 4 : n - 2;
          if (in_a) {
            spoilt.at(line, k - 1) = bad;
            for (std::size_t j = 0; j < n; ++j) spoilt.b(k - 1, j) = T(2);
          } else {
            spoilt.b(k - 1, line) = bad;
            for (std::size_t i = 0; i < m; ++i) spoilt.at(i, k - 1) = T(2);
          }
          spoilt.run(isa, false);
          for (std::size_t i = 0; i < m; ++i)
            for (std::size_t j = 0; j < n; ++j) {
              const T x = spoilt.c[i * spoilt.ldc + j];
              const bool right = (in_a ? i : j) != line ? std::isfinite(x)
                                 : std::isnan(bad)      ? std::isnan(x)
                                                        : x == bad;
              if (!right) FAIL("element " << i << ", " << j << " is " << x);
            }
        }
    }
  });
}
