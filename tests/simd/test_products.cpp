// product_nt, product_nn and product_tn on every instruction set: error bound, edges of memory, splits,
// special values.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "support/guarded.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

using softstep::simd::Isa;
using softstep::simd::ProductArgs;
using softstep::test::for_each_isa;
using softstep::test::Guarded;

enum class Form { nt, nn, tn };
constexpr Form forms[] = {Form::nt, Form::nn, Form::tn};

const char* name(Form form) { return form == Form::nt ? "nt" : form == Form::nn ? "nn" : "tn"; }

template <class T>
struct Problem {
  Form form;
  std::size_t m, n, k, lda, ldb, ldc;
  Guarded<T> a, b;

  // Each array ends with its last element used, so that one element too far is a fault.
  Problem(Form f, std::size_t m_, std::size_t n_, std::size_t k_, std::size_t pad, std::mt19937& random)
      : form(f),
        m(m_),
        n(n_),
        k(k_),
        lda((f == Form::tn ? m_ : k_) + pad),
        ldb((f == Form::nt ? k_ : n_) + pad),
        ldc(n_ + pad),
        a(extent(f == Form::tn ? k_ : m_, f == Form::tn ? m_ : k_, lda)),
        b(extent(f == Form::nt ? n_ : k_, f == Form::nt ? k_ : n_, ldb)) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<T>(uniform(random));
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<T>(uniform(random));
  }
  static std::size_t extent(std::size_t rows, std::size_t columns, std::size_t stride) {
    return rows == 0 || columns == 0 ? 0 : (rows - 1) * stride + columns;
  }
  std::size_t at_a(std::size_t i, std::size_t l) const {
    return form == Form::tn ? l * lda + i : i * lda + l;
  }
  std::size_t at_b(std::size_t j, std::size_t l) const {
    return form == Form::nt ? j * ldb + l : l * ldb + j;
  }

  bool add = false;
  T scale = T(1);

  void run(const Isa& isa, std::size_t i, std::size_t j, std::size_t rows, std::size_t columns, T* c) const {
    const ProductArgs<T> args{
        rows, columns, k,    a.data() + at_a(i, 0), lda, b.data() + at_b(j, 0), ldb, c + i * ldc + j,
        ldc,  add,     scale};
    if (form == Form::nt)
      isa.kernels<T>().product_nt(args);
    else if (form == Form::nn)
      isa.kernels<T>().product_nn(args);
    else
      isa.kernels<T>().product_tn(args);
  }
  Guarded<T> product(const Isa& isa) const {
    Guarded<T> c(extent(m, n, ldc));
    for (std::size_t i = 0; i < c.size(); ++i) c[i] = T(77);
    run(isa, 0, 0, m, n, c.data());
    return c;
  }
};

// How many roundings a term goes through, as the kernels' headers derive it.
template <class T>
double roundings(const Isa& isa, const Problem<T>& problem) {
  const auto k = static_cast<double>(problem.k), lanes = static_cast<double>(isa.kernels<T>().vector_width);
  if (problem.form == Form::nt) return std::ceil(k / lanes) + std::log2(lanes);
  return problem.add ? std::min(k, 256.0) : k;
}

// Largest error over its bound; NaN stays NaN. The second order and the long double reference's own rounding
// are covered by the factor 1.01.
template <class T>
double worst_ratio(const Isa& isa, const Problem<T>& problem, const Guarded<T>& c) {
  const double u = softstep::test::unit_roundoff<T>, n_roundings = roundings(isa, problem);
  double worst = 0.0;
  for (std::size_t i = 0; i < problem.m; ++i)
    for (std::size_t j = 0; j < problem.n; ++j) {
      long double exact = 0, size = 0;
      for (std::size_t l = 0; l < problem.k; ++l) {
        const long double term =
            static_cast<long double>(problem.a[problem.at_a(i, l)]) * problem.b[problem.at_b(j, l)];
        exact += term;
        size += std::fabs(term);
      }
      const double error = std::fabs(static_cast<double>(c[i * problem.ldc + j] - exact));
      const double bound = 1.01 * u * n_roundings * static_cast<double>(size);
      const double ratio = error == 0.0 ? 0.0 : error / bound;
      if (!(ratio <= worst)) worst = ratio;
      if (std::isnan(ratio)) return ratio;
    }
  return worst;
}

const std::size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33};

}  // namespace

TEMPLATE_TEST_CASE("products keep their error bound at every size around the lane counts", "[simd]", float,
                   double) {
  std::mt19937 random(1);
  for_each_isa([&](const Isa& isa) {
    for (const Form form : forms)
      for (const std::size_t m : sizes)
        for (const std::size_t n : sizes)
          for (const std::size_t k : {0, 1, 3, 8, 15, 16, 17, 40, 130}) {
            const Problem<TestType> problem(form, m, n, k, (m + n) % 3, random);
            const Guarded<TestType> c = problem.product(isa);
            INFO(isa.name << ' ' << name(form) << ' ' << m << ' ' << n << ' ' << k);
            const double ratio = worst_ratio(isa, problem, c);
            if (!(ratio <= 1.0)) REQUIRE(ratio <= 1.0);
            // What lies between the rows of C is not touched.
            for (std::size_t i = 0; i + 1 < m; ++i)
              for (std::size_t j = n; j < problem.ldc; ++j)
                if (c[i * problem.ldc + j] != TestType(77)) FAIL("wrote between the rows of C");
          }
    // More rows, columns and outer products than one block takes, and enough rows that operands are copied.
    for (const Form form : forms) {
      for (const std::size_t m : {19, 70}) {
        const Problem<TestType> problem(form, m, 147, form == Form::nt ? 2100 : 1000, 1, random);
        CHECK(worst_ratio(isa, problem, problem.product(isa)) <= 1.0);
      }
      // Rows beyond those whose terms stay near: they are visited part by part.
      const Problem<TestType> tall(form, 601, 27, 300, 1, random);
      CHECK(worst_ratio(isa, tall, tall.product(isa)) <= 1.0);
    }
  });
}

TEMPLATE_TEST_CASE("products give an element the same bits however the output is split", "[simd]", float,
                   double) {
  std::mt19937 random(2);
  for_each_isa([&](const Isa& isa) {
    for (const Form form : forms) {
      for (const std::size_t m : {43, 601}) {
        const Problem<TestType> problem(form, m, 51, 300, 2, random);
        const Guarded<TestType> whole = problem.product(isa);
        Guarded<TestType> pieces = problem.product(isa);
        for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] = TestType(77);
        const std::size_t rows[] = {0, 1, 5, 24, m}, columns[] = {0, 2, 3, 20, 51};
        for (int r = 0; r < 4; ++r)
          for (int c = 0; c < 4; ++c)
            problem.run(isa, rows[r], columns[c], rows[r + 1] - rows[r], columns[c + 1] - columns[c],
                        pieces.data());
        CHECK(std::memcmp(whole.data(), pieces.data(), whole.size() * sizeof(TestType)) == 0);
      }
    }
  });
}

TEMPLATE_TEST_CASE("products are exact on small integers, zero without terms, and pass NaN and infinity on",
                   "[simd]", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  std::mt19937 random(3);
  for_each_isa([&](const Isa& isa) {
    for (const Form form : forms) {
      Problem<TestType> problem(form, 9, 35, 20, 0, random);
      for (std::size_t i = 0; i < problem.a.size(); ++i) problem.a[i] = std::round(8 * problem.a[i]);
      for (std::size_t i = 0; i < problem.b.size(); ++i) problem.b[i] = std::round(8 * problem.b[i]);
      const Guarded<TestType> c = problem.product(isa);
      for (std::size_t i = 0; i < 9; ++i)
        for (std::size_t j = 0; j < 35; ++j) {
          TestType exact = 0;
          for (std::size_t l = 0; l < 20; ++l)
            exact += problem.a[problem.at_a(i, l)] * problem.b[problem.at_b(j, l)];
          if (!(c[i * 35 + j] == exact)) REQUIRE(c[i * 35 + j] == exact);
        }
      // One bad entry in row 4 of A spoils row 4 of C and nothing else.
      for (const TestType bad : {std::numeric_limits<TestType>::quiet_NaN(), infinity}) {
        problem.a[problem.at_a(4, 19)] = bad;
        for (std::size_t j = 0; j < 35; ++j) problem.b[problem.at_b(j, 19)] = TestType(2);
        const Guarded<TestType> spoilt = problem.product(isa);
        for (std::size_t i = 0; i < 9; ++i)
          for (std::size_t j = 0; j < 35; ++j) {
            const TestType x = spoilt[i * 35 + j];
            const bool right = i != 4 ? std::isfinite(x) : std::isnan(bad) ? std::isnan(x) : x == infinity;
            if (!right) REQUIRE(right);
          }
      }
      const Problem<TestType> empty(form, 5, 7, 0, 0, random);
      const Guarded<TestType> zeros = empty.product(isa);
      for (std::size_t i = 0; i < zeros.size(); ++i) CHECK(zeros[i] == TestType(0));
    }
  });
}

TEMPLATE_TEST_CASE("products added to C round a large C once for every 256 terms", "[simd]", float, double) {
  using T = TestType;
  const double u = std::numeric_limits<T>::epsilon() / 2;
  std::mt19937 random(4);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  for_each_isa([&](const Isa& isa) {
    for (const Form form : forms)
      for (const std::size_t m : {1, 4, 7, 43})
        for (const std::size_t n : {1, 5, 16, 33, 51})
          for (const std::size_t k : {0, 1, 17, 256, 257, 600})
            for (const double size_of_c : {1.0, 1e6}) {
              Problem<T> problem(form, m, n, k, (m + n) % 3, random);
              problem.add = true;
              problem.scale = static_cast<T>(-0.3);
              Guarded<T> before(Problem<T>::extent(m, n, problem.ldc)), c(before.size()),
                  pieces(before.size());
              for (std::size_t i = 0; i < c.size(); ++i)
                before[i] = c[i] = pieces[i] = static_cast<T>(size_of_c * uniform(random));
              problem.run(isa, 0, 0, m, n, c.data());
              INFO(isa.name << ' ' << name(form) << ' ' << m << ' ' << n << ' ' << k << ' ' << size_of_c);
              // The bound of the product, its multiplication by the scale, and a rounding of what C is then,
              // C and the terms so far: once with nt, else for each 256 terms.
              const auto additions = form == Form::nt ? 1.0 : static_cast<double>((k + 255) / 256);
              const double n_roundings = roundings(isa, problem) + 1.0;
              for (std::size_t i = 0; i < m; ++i)
                for (std::size_t j = 0; j < problem.ldc && i * problem.ldc + j < c.size(); ++j) {
                  const std::size_t at = i * problem.ldc + j;
                  if (j >= n) {
                    if (c[at] != before[at]) FAIL("wrote between the rows of C");
                    continue;
                  }
                  long double exact = 0, size = 0;
                  for (std::size_t l = 0; l < k; ++l) {
                    const long double term = static_cast<long double>(problem.a[problem.at_a(i, l)]) *
                                             problem.b[problem.at_b(j, l)];
                    exact += term;
                    size += std::fabs(term);
                  }
                  exact = before[at] + problem.scale * exact;
                  size *= std::fabs(problem.scale);
                  const double bound =
                      1.01 * u *
                      (n_roundings * static_cast<double>(size) +
                       additions * (std::fabs(static_cast<double>(before[at])) + static_cast<double>(size)));
                  const double error = static_cast<double>(std::fabs(c[at] - exact));
                  if (!(error <= bound)) REQUIRE(error <= bound);
                }
              // The same bits however the output is split.
              const std::size_t row = m / 3, column = n / 2;
              problem.run(isa, 0, 0, row, n, pieces.data());
              problem.run(isa, row, 0, m - row, column, pieces.data());
              problem.run(isa, row, column, m - row, n - column, pieces.data());
              if (std::memcmp(c.data(), pieces.data(), c.size() * sizeof(T)) != 0)
                FAIL("other bits in pieces");
            }
  });
}
