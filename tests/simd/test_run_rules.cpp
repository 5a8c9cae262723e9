// The kernels for runs side by side that keep W itself, each run against the scalar reference in long double,
// and by itself: what stands in the other lanes does not touch its bits.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "run_rules_case.h"
#include "support/isas.h"

namespace {

using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::RunRule;
using softstep::test::RunRulesCase;
using softstep::test::unit_roundoff;
using Number = long double;

constexpr RunRule rules[] = {RunRule::descent, RunRule::sign, RunRule::momentum, RunRule::adam};
constexpr const char* rule_names[] = {"run_descent", "run_sign", "run_momentum", "run_adam"};

// The largest error over its bound; NaN counts as infinite.
class WorstOfBound {
 public:
  void add(Number found, Number exact, Number bound) {
    const Number error = std::fabs(found - exact);
    if (!(error <= bound))
      worst_ = std::max(worst_, bound > 0 && error == error ? error / bound : Number(1e9));
  }
  double value() const { return static_cast<double>(worst_); }

 private:
  Number worst_ = 0;
};

template <class T>
std::vector<T> of_run(const Guarded<T>& values, std::size_t width, std::size_t run) {
  std::vector<T> out;
  for (std::size_t k = run; k < values.size(); k += width) out.push_back(values[k]);
  return out;
}
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("run_product keeps its bounds, in every run", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(51);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  constexpr Number u = unit_roundoff<T>;
  struct Shape {
    std::size_t n_rows, n_cols, n_inner;
  };
  for_each_isa([&](const Isa& isa) {
    const std::size_t w = isa.kernels<T>().vector_width;
    for (const Shape& shape : {Shape{1, 1, 1}, Shape{10, 6, 10}, Shape{10, 10, 6}, Shape{3, 4, 1},
                               Shape{5, 7, 20}, Shape{13, 9, 7}})
      // Elements close together, and apart as in V, whose rows are padded.
      for (const std::size_t pad : {std::size_t{0}, 3 * w}) {
        const std::size_t a_row = shape.n_inner * w + pad, b_row = shape.n_cols * w + pad,
                          out_row = shape.n_cols * w + pad;
        Guarded<T> a(shape.n_rows * a_row), b(shape.n_inner * b_row), out(shape.n_rows * out_row);
        Guarded<double> squared(w);
        for (Guarded<T>* array : {&a, &b})
          for (std::size_t k = 0; k < array->size(); ++k) (*array)[k] = static_cast<T>(uniform(random));
        isa.kernels<T>().run_product({shape.n_rows, shape.n_cols, shape.n_inner, a.data(), a_row, w, b.data(),
                                      b_row, w, out.data(), out_row, w, squared.data()});
        INFO(isa.name << ' ' << shape.n_rows << " x " << shape.n_inner << " x " << shape.n_cols);
        WorstOfBound worst;
        for (std::size_t r = 0; r < w; ++r) {
          Number whole = 0;
          for (std::size_t i = 0; i < shape.n_rows; ++i)
            for (std::size_t j = 0; j < shape.n_cols; ++j) {
              const Number exact = softstep::reference::run_product<Number>(i, j, r, shape.n_inner, a.data(),
                                                                            a_row, w, b.data(), b_row, w);
              Number terms = 0;
              for (std::size_t k = 0; k < shape.n_inner; ++k)
                terms += std::fabs(Number(a[i * a_row + k * w + r]) * Number(b[k * b_row + j * w + r]));
              const Number found = out[i * out_row + j * w + r];
              worst.add(found, exact, 1.01L * static_cast<Number>(shape.n_inner + 1) * u * terms);
              whole += found * found;
            }
          worst.add(squared[r], whole,
                    1.01L * (8 * u + static_cast<Number>(shape.n_rows * shape.n_cols) * 0x1p-53L) * whole);
        }
        REQUIRE(worst.value() <= 1.0);
        // The same without the squares, and as a product of columns.
        Guarded<T> again(out.size());
        isa.kernels<T>().run_product({shape.n_rows, shape.n_cols, shape.n_inner, a.data(), a_row, w, b.data(),
                                      b_row, w, again.data(), out_row, w, nullptr});
        for (std::size_t i = 0; i < shape.n_rows; ++i)
          REQUIRE(std::memcmp(again.data() + i * out_row, out.data() + i * out_row,
                              shape.n_cols * w * sizeof(T)) == 0);
      }
  });
}

TEMPLATE_TEST_CASE("steps computed entry by entry keep their bounds, in every run", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(52);
  constexpr Number u = unit_roundoff<T>, in_double = 0x1p-53L;
  for_each_isa([&](const Isa& isa) {
    for (std::size_t which = 0; which < std::size(rules); ++which)
      for (const bool with_remainder : {false, true})
        // Squares of numbers below 1e-154 are nothing, and float32 ends at 1e-45.
        for (const double spread : {0.0, 6.0, 300.0}) {
          RunRulesCase<T> in(isa, 23, with_remainder, spread, random);
          in.run(rules[which], isa.kernels<T>());
          INFO(isa.name << ' ' << rule_names[which] << " remainder " << with_remainder << " spread "
                        << spread);
          WorstOfBound of_weights, of_memory, of_sums;
          for (std::size_t r = 0; r < in.width; ++r) {
            Number squared = 0, squared_error = 0, largest_mean = 0, largest_root = 0;
            for (std::size_t at = r; at < in.size * in.width; at += in.width) {
              const auto [exact, error] = in.expected(rules[which], at);
              const Number step = in.step[r];
              Number old = in.weights[at], found = in.next_weights[at];
              if (with_remainder) old += Number(in.remainder[at]), found += Number(in.next_remainder[at]);
              const Number next = old - step * exact.direction, size = std::fabs(next) + std::fabs(step);
              // Numbers below the smallest normal one are rounded to its multiples.
              const Number rounding = with_remainder ? u * u : u;
              of_weights.add(
                  found, next,
                  1.01L * (step * error.direction + rounding * std::fabs(next) +
                           4 * in_double * (std::fabs(old) + size * (1 + std::fabs(exact.direction)))) +
                      std::numeric_limits<T>::denorm_min());
              squared += exact.direction * exact.direction;
              squared_error +=
                  2 * std::fabs(exact.direction) * error.direction + error.direction * error.direction;
              if (rules[which] == RunRule::descent || rules[which] == RunRule::sign) continue;
              constexpr Number least = std::numeric_limits<double>::denorm_min();
              of_memory.add(in.next_mean[at], exact.mean, 1.01L * error.mean + 3 * least);
              largest_mean = std::max(largest_mean, std::fabs(Number(in.next_mean[at])));
              if (rules[which] != RunRule::adam) continue;
              of_memory.add(in.next_root[at], exact.root, 1.01L * error.root + 3 * least);
              largest_root = std::max(largest_root, Number(in.next_root[at]));
            }
            of_sums.add(in.squared[r], squared,
                        1.01L * squared_error + static_cast<Number>(in.size + 1) * in_double * squared +
                            std::numeric_limits<double>::min());
            if (rules[which] == RunRule::adam) {
              of_sums.add(in.largest_mean[r], largest_mean, 0);
              of_sums.add(in.largest_root[r], largest_root, 0);
            }
          }
          CHECK(of_weights.value() <= 1.0);
          CHECK(of_memory.value() <= 1.0);
          CHECK(of_sums.value() <= 1.0);
        }
  });
}

TEMPLATE_TEST_CASE("a run that keeps W has the bits beside others that it has beside NaN", "[simd]", float,
                   double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    for (std::size_t which = 0; which < std::size(rules); ++which)
      for (const double spread : {0.0, 200.0}) {
        const auto run = [&](std::size_t lane) {
          std::mt19937_64 random(53);
          auto in = std::make_unique<RunRulesCase<T>>(isa, 9, sizeof(T) == 4, spread, random);
          if (lane < in->width) in->spoil_all_but(lane);
          in->run(rules[which], isa.kernels<T>());
          return in;
        };
        const auto whole = run(std::numeric_limits<std::size_t>::max());
        INFO(isa.name << ' ' << rule_names[which]);
        for (std::size_t r = 0; r < whole->width; ++r) {
          const auto alone = run(r);
          const auto check = [&](const auto& a, const auto& b) {
            REQUIRE(same(of_run(a, whole->width, r), of_run(b, whole->width, r)));
          };
          check(whole->next_weights, alone->next_weights);
          check(whole->next_remainder, alone->next_remainder);
          check(whole->squared, alone->squared);
          if (rules[which] == RunRule::descent || rules[which] == RunRule::sign) continue;
          check(whole->next_mean, alone->next_mean);
          if (rules[which] == RunRule::momentum) continue;
          check(whole->next_root, alone->next_root);
          check(whole->largest_mean, alone->largest_mean);
          check(whole->largest_root, alone->largest_root);
        }
      }
  });
}

TEMPLATE_TEST_CASE("entries computed from nothing are nothing, whatever they are divided by", "[simd]", float,
                   double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    for (const RunRule rule : rules) {
      std::mt19937_64 random(54);
      RunRulesCase<T> in(isa, 4, false, 0.0, random);
      for (std::size_t k = 0; k < in.gradient.size(); ++k)
        in.gradient[k] = T(0), in.mean[k] = in.root[k] = 0.0;
      for (std::size_t r = 0; r < in.width; ++r) {
        in.eps[r] = 0.0;
        // As where a loss gap is far below its gradient.
        in.unit_again[r] = rule == RunRule::momentum ? std::numeric_limits<double>::infinity() : 1.0;
      }
      in.run(rule, isa.kernels<T>());
      INFO(isa.name);
      for (std::size_t k = 0; k < in.weights.size(); ++k) REQUIRE(in.next_weights[k] == in.weights[k]);
      for (std::size_t r = 0; r < in.width; ++r) REQUIRE(in.squared[r] == 0.0);
    }
  });
}
