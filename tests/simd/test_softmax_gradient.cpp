// softmax_gradient on every instruction set: against its formula given what is known of each row, and against
// the definition of the gradient; edges of memory, special values.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "block_case.h"
#include "core/reference/softmax_blocks.h"
#include "softmax_case.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

namespace reference = softstep::reference;
using softstep::simd::Isa;
using softstep::simd::no_pivot;
using softstep::test::fill;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::ScoreKind;
using softstep::test::unit_roundoff;
using softstep::test::untouched;
using Number = long double;

template <class T>
using Limits = std::numeric_limits<T>;
template <class T>
constexpr T hidden = -Limits<T>::infinity();

// Rows of scores and slopes, and what the forward pass knows of them, exact but for one rounding.
template <class T>
struct GradientCase {
  std::size_t n_rows, n_keys;
  std::vector<T> scores, slopes;  ///< [n_rows][n_keys]
  std::vector<std::size_t> begin, end;
  Guarded<T> second, pivot_attention, rest_attention, mean_slope, pivot_gradient;
  Guarded<std::size_t> pivot;
  std::vector<T> exponent;  ///< c

  GradientCase(std::size_t rows, std::size_t keys, bool ranges, ScoreKind kind, std::mt19937_64& random)
      : n_rows(rows),
        n_keys(keys),
        begin(rows, 0),
        end(rows, keys),
        second(rows),
        pivot_attention(rows),
        rest_attention(rows),
        mean_slope(rows),
        pivot_gradient(rows),
        pivot(rows),
        exponent(rows),
        ranges_(ranges) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t j = 0; j < keys; ++j) {
        scores.push_back(softstep::test::score_of<T>(kind, j, keys, random));
        slopes.push_back(static_cast<T>(3.0 + uniform(random)));
      }
      if (!ranges) continue;
      begin[r] = random() % (keys + 1);
      end[r] = r % 4 == 1 ? begin[r] / 2 : r % 4 == 2 ? std::min(begin[r] + 1, keys) : random() % (keys + 1);
    }
    for (std::size_t r = 0; r < rows; ++r) know(r);
  }
  std::vector<T> seen(std::size_t r) const {
    std::vector<T> out;
    for (std::size_t j = 0; j < n_keys; ++j)
      out.push_back(j >= begin[r] && j < end[r] ? scores[r * n_keys + j] : hidden<T>);
    return out;
  }
  void know(std::size_t r) {
    const std::vector<T> s = seen(r);
    const auto row = reference::softmax_rows<Number>(n_keys, s.data());
    second[r] = row.second;
    pivot[r] = row.pivot == n_keys ? no_pivot : row.pivot;
    pivot_attention[r] = rest_attention[r] = mean_slope[r] = pivot_gradient[r] = T(0);
    exponent[r] = hidden<T>;
    if (row.pivot == n_keys) return;
    const Number power = std::exp(Number(row.second) - Number(row.top)),
                 attention = 1 / (1 + power * row.rest), of_pivot = slopes[r * n_keys + row.pivot];
    Number mu(0);
    for (std::size_t j = 0; j < n_keys; ++j)
      if (j != row.pivot && s[j] > hidden<T>)
        mu += attention * std::exp(Number(s[j]) - Number(row.second)) *
              (Number(slopes[r * n_keys + j]) - of_pivot);
    pivot_attention[r] = static_cast<T>(attention);
    rest_attention[r] = static_cast<T>(attention * power);
    mean_slope[r] = static_cast<T>(of_pivot + power * mu);
    pivot_gradient[r] = static_cast<T>(-attention * mu);
    exponent[r] = row.second - row.top;
  }

  struct Result {
    std::vector<T> gradient, attention;  ///< [n_rows][n_keys]
  };
  /// Block by block.
  Result run(const Isa& isa, const std::vector<std::size_t>& blocks, std::size_t pad) const {
    Result out{std::vector<T>(scores.size()), std::vector<T>(scores.size())};
    std::size_t first = 0;
    for (const std::size_t n : blocks) {
      const std::size_t ld = n + pad;
      Guarded<T> s((n_rows - 1) * ld + n), d(s.size());
      fill(s, untouched<T>);
      fill(d, untouched<T>);
      Guarded<std::size_t> from(n_rows), to(n_rows);
      for (std::size_t r = 0; r < n_rows; ++r) {
        std::copy_n(scores.data() + r * n_keys + first, n, s.data() + r * ld);
        std::copy_n(slopes.data() + r * n_keys + first, n, d.data() + r * ld);
        from[r] = std::clamp(begin[r], first, first + n) - first;
        to[r] = std::clamp(end[r], first, first + n) - first;
      }
      isa.kernels<T>().softmax_gradient({n_rows, n, s.data(), d.data(), ld, ranges_ ? from.data() : nullptr,
                                         ranges_ ? to.data() : nullptr, first, second.data(), pivot.data(),
                                         pivot_attention.data(), rest_attention.data(), mean_slope.data(),
                                         pivot_gradient.data()});
      for (std::size_t k = 0; k < s.size(); ++k)
        if (k % ld >= n && (s[k] != untouched<T> || d[k] != untouched<T>)) FAIL("wrote between the rows");
      for (std::size_t r = 0; r < n_rows; ++r) {
        std::copy_n(s.data() + r * ld, n, out.gradient.data() + r * n_keys + first);
        std::copy_n(d.data() + r * ld, n, out.attention.data() + r * n_keys + first);
      }
      first += n;
    }
    return out;
  }

 private:
  bool ranges_;
};

// Every element against the formula, given what is known of its row. s_j - second is rounded once, exp has
// 1.5 ULP, which is 3 u at most, D_j - delta and the products are rounded once each. What is below the
// smallest normal number may be 0.
template <class T>
void check_formula(const GradientCase<T>& in, const typename GradientCase<T>::Result& out) {
  const double u = unit_roundoff<T>, tiny = static_cast<double>(Limits<T>::min());
  for (std::size_t r = 0; r < in.n_rows; ++r) {
    const std::vector<T> s = in.seen(r);
    for (std::size_t j = 0; j < in.n_keys; ++j) {
      const std::size_t place = r * in.n_keys + j;
      const T gradient = out.gradient[place], attention = out.attention[place];
      INFO("row " << r << ", key " << j << ": " << gradient << ", " << attention);
      if (j == in.pivot[r]) {
        REQUIRE(gradient == in.pivot_gradient[r]);
        REQUIRE(attention == in.pivot_attention[r]);
        continue;
      }
      if (s[j] == hidden<T>) {
        REQUIRE(gradient == T(0));
        REQUIRE(attention == T(0));
        continue;
      }
      const Number x = Number(s[j]) - Number(in.second[r]), e = std::exp(x),
                   difference = Number(in.slopes[place]) - Number(in.mean_slope[r]),
                   exact = Number(in.pivot_attention[r]) * e * difference,
                   exact_attention = Number(in.rest_attention[r]) * e;
      const double size = static_cast<double>(-x);
      const double error = static_cast<double>(std::fabs(gradient - exact)),
                   bound = 1.01 * ((size + 6) * u * static_cast<double>(std::fabs(exact)) +
                                   tiny * (1 + static_cast<double>(std::fabs(difference)))),
                   attention_error = static_cast<double>(std::fabs(attention - exact_attention)),
                   attention_bound = 1.01 * ((size + 4) * u * static_cast<double>(exact_attention) + tiny);
      if (!(error <= bound)) REQUIRE(error <= bound);
      if (!(attention_error <= attention_bound)) REQUIRE(attention_error <= attention_bound);
    }
  }
}

const ScoreKind kinds[] = {ScoreKind::near,       ScoreKind::far,     ScoreKind::equal,
                           ScoreKind::few_values, ScoreKind::rising,  ScoreKind::some_hidden,
                           ScoreKind::all_hidden, ScoreKind::very_far};

}  // namespace

TEMPLATE_TEST_CASE("softmax_gradient keeps its error bound at every size, in one block and in several",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(71);
  for_each_isa([&](const Isa& isa) {
    for (const ScoreKind kind : kinds)
      for (const bool ranges : {false, true}) {
        for (std::size_t n = 1; n <= 41; n += n < 20 ? 1 : 3) {
          const GradientCase<T> in(n < 9 ? 5 : 3, n, ranges, kind, random);
          INFO(isa.name << ", " << n << " keys, " << softstep::test::name(kind)
                        << (ranges ? ", ranges" : ""));
          check_formula(in, in.run(isa, {n}, n % 3));
        }
        const GradientCase<T> in(6, 90, ranges, kind, random);
        INFO(isa.name << ", blocks, " << softstep::test::name(kind) << (ranges ? ", ranges" : ""));
        check_formula(in, in.run(isa, {1, 7, 33, 1, 48}, 1));
      }
  });
}

TEMPLATE_TEST_CASE("softmax_gradient is the gradient of the definition over e^c", "[simd]", float, double) {
  using T = TestType;
  const double u = unit_roundoff<T>, tiny = static_cast<double>(Limits<T>::min());
  std::mt19937_64 random(72);
  for_each_isa([&](const Isa& isa) {
    for (const ScoreKind kind : {ScoreKind::near, ScoreKind::few_values, ScoreKind::rising, ScoreKind::far})
      for (const std::size_t n : {2, 3, 9, 40}) {
        const GradientCase<T> in(3, n, false, kind, random);
        const auto out = in.run(isa, {n}, 0);
        for (std::size_t r = 0; r < in.n_rows; ++r) {
          const std::vector<T> s = in.seen(r);
          const auto exact = reference::softmax_gradient<Number>(n, s.data(), in.slopes.data() + r * n,
                                                                 Number(in.exponent[r]));
          for (std::size_t j = 0; j < n; ++j) {
            INFO(isa.name << ", " << softstep::test::name(kind) << ", key " << j << " of " << n);
            // What is known of the row is rounded: p_a and p_a e^c by u, delta by u |delta|, the exponent
            // c = second - top by u |c|.
            const double size =
                             j == in.pivot[r]
                                 ? 0.0
                                 : std::fabs(static_cast<double>(s[j]) - static_cast<double>(in.second[r])),
                         c = std::fabs(static_cast<double>(in.exponent[r])),
                         e = j == in.pivot[r] ? 1.0 : std::exp(-size),
                         attention = static_cast<double>(exact.attention[j]);
            const double bound = 1.01 * u *
                                     ((size + 8 + c) * static_cast<double>(std::fabs(exact.slopes[j])) +
                                      e * std::fabs(static_cast<double>(in.mean_slope[r]))) +
                                 10 * tiny;
            const double error = static_cast<double>(std::fabs(out.gradient[r * n + j] - exact.slopes[j]));
            if (!(error <= bound)) REQUIRE(error <= bound);
            const double attention_error =
                             static_cast<double>(std::fabs(out.attention[r * n + j] - exact.attention[j])),
                         attention_bound = 1.01 * u * (size + 6) * attention + 4 * tiny;
            if (!(attention_error <= attention_bound)) REQUIRE(attention_error <= attention_bound);
          }
        }
      }
  });
}

TEMPLATE_TEST_CASE("softmax_gradient keeps NaN where it is, and where no score could be compared", "[simd]",
                   float, double) {
  using T = TestType;
  constexpr T nan = Limits<T>::quiet_NaN();
  std::mt19937_64 random(73);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : {1, 2, 5, 8, 19, 33})
      for (std::size_t place = 0; place < n; ++place) {
        INFO(isa.name << ", place " << place << " of " << n);
        // A score: its weight; the row's other numbers are what they were.
        GradientCase<T> in(3, n, false, ScoreKind::near, random);
        if (in.pivot[1] != place) {
          in.scores[n + place] = nan;
          const auto out = in.run(isa, {n}, 1);
          for (std::size_t k = 0; k < out.gradient.size(); ++k)
            if (std::isnan(out.gradient[k]) != (k == n + place) ||
                std::isnan(out.attention[k]) != (k == n + place))
              FAIL("row " << k / n << ", key " << k % n);
          // A slope has no part in the attention.
          GradientCase<T> slope(3, n, false, ScoreKind::near, random);
          if (slope.pivot[1] != place) {
            slope.slopes[n + place] = nan;
            const auto of_slope = slope.run(isa, {n}, 1);
            for (std::size_t k = 0; k < of_slope.gradient.size(); ++k)
              if (std::isnan(of_slope.gradient[k]) != (k == n + place) || std::isnan(of_slope.attention[k]))
                FAIL("row " << k / n << ", key " << k % n);
          }
        }
        // A row in which nothing was above -infinity.
        GradientCase<T> none(2, n, false, ScoreKind::all_hidden, random);
        none.scores[n + place] = nan;
        const auto of_none = none.run(isa, {n}, 0);
        for (std::size_t k = 0; k < of_none.gradient.size(); ++k)
          if (!(k == n + place ? std::isnan(of_none.gradient[k]) && std::isnan(of_none.attention[k])
                               : of_none.gradient[k] == T(0) && of_none.attention[k] == T(0)))
            FAIL("nothing seen: row " << k / n << ", key " << k % n);
        // NaN in what is known of the row is NaN everywhere.
        GradientCase<T> unknown(2, n, false, ScoreKind::near, random);
        unknown.second[1] = unknown.pivot_gradient[1] = unknown.pivot_attention[1] = nan;
        const auto of_unknown = unknown.run(isa, {n}, 0);
        for (std::size_t k = 0; k < of_unknown.gradient.size(); ++k)
          if (std::isnan(of_unknown.gradient[k]) != (k >= n) ||
              std::isnan(of_unknown.attention[k]) != (k >= n))
            FAIL("second is NaN: row " << k / n << ", key " << k % n);
      }
  });
}
