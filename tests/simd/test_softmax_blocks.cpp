// softmax_rows on every instruction set against core/reference: what is known of each row after each block of
// keys, error bounds, edges of memory, special values.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/reference/softmax_blocks.h"
#include "softmax_case.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

namespace reference = softstep::reference;
using softstep::simd::Isa;
using softstep::simd::no_pivot;
using softstep::test::for_each_isa;
using softstep::test::ScoreKind;
using softstep::test::SoftmaxCase;
using softstep::test::unit_roundoff;
using Number = long double;

template <class T>
using Limits = std::numeric_limits<T>;
template <class T>
constexpr T hidden = -Limits<T>::infinity();

// exp has 1.5 ULP of the argument as it is rounded; below the smallest normal number it gives 0 or the
// rounded result.
template <class T>
bool is_weight(T got, T score, T second) {
  const Number exact = reference::exp_nonpositive<Number>(static_cast<T>(score - second));
  if (exact < static_cast<Number>(Limits<T>::min())) return got >= T(0) && got <= Limits<T>::min();
  const Number ulp = std::ldexp(Number(1), std::ilogb(exact) - (Limits<T>::digits - 1));
  return std::fabs(got - exact) <= Number(1.5) * ulp;
}

// How many roundings a term of a block's sum over n keys goes through: those of its chain, one of two, but
// the first, which is added to 0; where the chains meet; and over lanes.
double sum_roundings(std::size_t n, std::size_t width) {
  return std::ceil(static_cast<double>(n) / (2.0 * static_cast<double>(width))) +
         std::log2(static_cast<double>(width));
}

// Runs the rows block by block. After each block: weights, top, second, pivot and what `rest`, `decay` and
// `former_weight` do to it and to a sum of values.
template <class T>
void check_blocks(const Isa& isa, SoftmaxCase<T>& in, const std::vector<std::size_t>& blocks) {
  const double u = unit_roundoff<T>, tiny = static_cast<double>(Limits<T>::min());
  const std::size_t width = isa.kernels<T>().vector_width;
  std::vector<Number> sums(in.n_rows, Number(0));
  std::size_t first = 0, largest_block = 0, n_blocks = 0;
  for (const std::size_t n : blocks) {
    const std::vector<T> second_before = in.second_numbers();
    const std::vector<std::size_t> pivot_before = in.pivots();
    const bool untouched_between = in.run(isa, first, n);
    if (!untouched_between) FAIL("touched what lies between the rows");
    ++n_blocks;
    largest_block = std::max(largest_block, n);
    for (std::size_t r = 0; r < in.n_rows; ++r) {
      INFO("row " << r << ", keys from " << first << " on");
      const std::vector<T> seen = in.seen(r, first + n);
      const auto exact = reference::softmax_rows<Number>(seen.size(), seen.data());
      const std::size_t pivot = exact.pivot == seen.size() ? no_pivot : exact.pivot;
      if (in.top[r] != exact.top || in.second[r] != exact.second || in.pivot[r] != pivot)
        FAIL("top " << in.top[r] << ", second " << in.second[r] << ", pivot " << in.pivot[r] << " instead of "
                    << exact.top << ", " << exact.second << ", " << pivot);
      // The weights of this block.
      Number of_block(0);
      for (std::size_t j = 0; j < n; ++j) {
        const T weight = in.weight(r, j), score = seen[first + j];
        if (first + j == pivot || score == hidden<T>) {
          if (weight != T(0)) FAIL("weight " << weight << " of key " << first + j);
        } else if (!is_weight(weight, score, exact.second)) {
          FAIL("weight " << weight << " of key " << first + j);
        }
        of_block += weight;
      }
      // What has become of earlier sums.
      if (second_before[r] == hidden<T>) {
        if (in.decay[r] != T(0) && in.decay[r] != T(1)) FAIL("decay " << in.decay[r]);  // of nothing
      } else if (!is_weight(in.decay[r], second_before[r], exact.second)) {
        FAIL("decay " << in.decay[r]);
      }
      const bool moved = pivot != pivot_before[r] && pivot_before[r] != no_pivot;
      if (!moved) {
        if (in.former_weight[r] != T(0)) FAIL("former_weight " << in.former_weight[r]);
      } else if (in.former[r] != pivot_before[r] ||
                 !is_weight(in.former_weight[r], in.score(r, pivot_before[r]), exact.second)) {
        FAIL("former " << in.former[r] << ", former_weight " << in.former_weight[r]);
      }
      // The block's sum alone.
      if (n_blocks == 1) {
        const double error = static_cast<double>(std::fabs(in.rest[r] - of_block)),
                     bound = 1.01 * u * sum_roundings(n, width) * static_cast<double>(of_block);
        if (!(error <= bound)) REQUIRE(error <= bound);
      }
      sums[r] *= Number(in.decay[r]);
      if (moved) sums[r] += Number(in.former_weight[r]) * in.value(in.former[r]);
      for (std::size_t j = 0; j < n; ++j) sums[r] += Number(in.weight(r, j)) * in.value(first + j);
      // A term of `rest`: the rounding of its argument and exp, once and for each later rise of `second`, in
      // all |s_j - second| + 3 and 3 for each block; a multiplication by `decay` and two sums for each block;
      // the sum of its own block. A weight or a decay below the smallest normal number may be 0.
      Number rest(0), sum(0);
      double rest_bound = tiny * static_cast<double>(seen.size());
      for (std::size_t j = 0; j < seen.size(); ++j) {
        if (j == pivot || seen[j] == hidden<T>) continue;
        const Number x = Number(seen[j]) - Number(exact.second), e = std::exp(x);
        rest += e;
        sum += e * in.value(j);
        rest_bound += 1.01 * u * static_cast<double>(e) *
                      (static_cast<double>(-x) + 3.0 + 6.0 * static_cast<double>(n_blocks) +
                       sum_roundings(largest_block, width));
      }
      const double rest_error = static_cast<double>(std::fabs(in.rest[r] - rest)),
                   sum_error = static_cast<double>(std::fabs(sums[r] - sum));
      if (!(rest_error <= rest_bound)) REQUIRE(rest_error <= rest_bound);
      // Values are at most 1 in size.
      if (!(sum_error <= rest_bound)) REQUIRE(sum_error <= rest_bound);
    }
    first += n;
  }
}

const ScoreKind kinds[] = {ScoreKind::near,        ScoreKind::far,        ScoreKind::equal,
                           ScoreKind::few_values,  ScoreKind::rising,     ScoreKind::falling,
                           ScoreKind::some_hidden, ScoreKind::all_hidden, ScoreKind::very_far};

}  // namespace

TEMPLATE_TEST_CASE("softmax_rows over one block knows what the definition says, at every size", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(61);
  for_each_isa([&](const Isa& isa) {
    for (const ScoreKind kind : kinds)
      for (std::size_t n = 1; n <= 75; n += n < 20 ? 1 : 3)
        for (const bool ranges : {false, true}) {
          SoftmaxCase<T> in(n < 20 ? 5 : 2, n, n % 3, ranges, kind, random);
          INFO(isa.name << ", " << n << " keys, " << softstep::test::name(kind)
                        << (ranges ? ", ranges" : ""));
          check_blocks(isa, in, {n});
        }
  });
}

TEMPLATE_TEST_CASE("softmax_rows over several blocks comes to what one block gives", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(62);
  for_each_isa([&](const Isa& isa) {
    for (const ScoreKind kind : kinds)
      for (const bool ranges : {false, true})
        for (const std::vector<std::size_t>& blocks : {std::vector<std::size_t>{1, 1, 1, 1},
                                                       {7, 33, 1, 16},
                                                       {32, 32, 32},
                                                       {3, 200, 40},
                                                       std::vector<std::size_t>(20, 5)}) {
          std::size_t n = 0;
          for (const std::size_t size : blocks) n += size;
          SoftmaxCase<T> in(6, n, 1, ranges, kind, random);
          INFO(isa.name << ", " << n << " keys in " << blocks.size() << " blocks, "
                        << softstep::test::name(kind) << (ranges ? ", ranges" : ""));
          check_blocks(isa, in, blocks);
        }
  });
}

TEMPLATE_TEST_CASE("softmax_rows takes the first of equal scores for the pivot, in every lane", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(63);
  for_each_isa([&](const Isa& isa) {
    const std::size_t n = 37;
    for (std::size_t place = 0; place < n; ++place)
      for (const std::size_t again : {place, (place + 5) % n, n - 1}) {
        SoftmaxCase<T> in(1, n, 0, false, ScoreKind::near, random);
        in.set_score(0, place, T(50));
        in.set_score(0, again, T(50));
        INFO(isa.name << ", keys " << place << " and " << again);
        in.run(isa, 0, 20);
        in.run(isa, 20, n - 20);
        REQUIRE(in.pivot[0] == std::min(place, again));
        REQUIRE(in.top[0] == T(50));
        REQUIRE((in.second[0] == T(50)) == (again != place));
      }
  });
}

TEMPLATE_TEST_CASE("softmax_rows puts NaN into the rest of its row, whatever the block, and into no other",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(64);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : {1, 2, 5, 8, 17, 33})
      for (std::size_t place = 0; place < 2 * n; ++place)
        for (const ScoreKind kind : {ScoreKind::near, ScoreKind::all_hidden, ScoreKind::rising}) {
          SoftmaxCase<T> in(3, 2 * n, 2, false, kind, random);
          in.set_score(1, place, Limits<T>::quiet_NaN());
          INFO(isa.name << ", NaN in place " << place << " of " << 2 * n);
          for (const std::size_t first : {std::size_t{0}, n}) {
            in.run(isa, first, n);
            const bool came = place < first + n;
            if (std::isnan(in.rest[1]) != came) FAIL("rest " << in.rest[1] << " after " << first + n);
            if (place >= first && came && !std::isnan(in.weight(1, place - first))) FAIL("its weight");
            for (const std::size_t r : {0, 2})
              if (!std::isfinite(in.rest[r])) FAIL("rest of row " << r);
          }
        }
    // What a row does not see may be anything.
    SoftmaxCase<T> in(1, 40, 0, true, ScoreKind::near, random);
    in.begin[0] = 9;
    in.end[0] = 30;
    for (std::size_t j = 0; j < 40; ++j)
      if (j < 9 || j >= 30) in.set_score(0, j, j % 2 == 0 ? Limits<T>::quiet_NaN() : Limits<T>::infinity());
    INFO(isa.name);
    check_blocks(isa, in, {3, 20, 17});
  });
}

TEMPLATE_TEST_CASE("softmax_rows: infinity once is a pivot like any other, twice gives NaN", "[simd]", float,
                   double) {
  using T = TestType;
  constexpr T infinity = Limits<T>::infinity();
  std::mt19937_64 random(65);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const std::size_t place : {0, 6, 19, 20, 33}) {
      SoftmaxCase<T> in(1, 34, 0, false, ScoreKind::near, random);
      in.set_score(0, place, infinity);
      check_blocks(isa, in, {20, 14});
      SoftmaxCase<T> twice(1, 34, 0, false, ScoreKind::near, random);
      twice.set_score(0, place, infinity);
      twice.set_score(0, 11, infinity);
      twice.run(isa, 0, 20);
      twice.run(isa, 20, 14);
      REQUIRE(std::isnan(twice.rest[0]));
    }
  });
}
