// The reference of attention over heads is itself held against differences of its forward pass, in 150
// digits, against masks drawn by hand, and in long double against 500 digits.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "heads/heads_check.h"
#include "support/exact.h"

namespace softstep::test {
namespace {

using Number = Digits<150>;
using Head = reference::Head<Number>;
using Matrix = reference::Matrix<Number>;

Number product(const Head& head, const Matrix& output_gradient) {
  const Matrix outputs = reference::outputs(head, reference::head_rows(head));
  Number sum(0);
  for (std::size_t k = 0; k < outputs.numbers.size(); ++k)
    sum += outputs.numbers[k] * output_gradient.numbers[k];
  return sum;
}

// Central differences leave h^2 times third derivatives, far below 1e20 here.
double difference_error(Head& head, const Matrix& output_gradient, Matrix& of, const Matrix& gradient) {
  const Number h("1e-35");
  Number largest(0);
  for (std::size_t k = 0; k < of.numbers.size(); ++k) {
    const Number x = of.numbers[k];
    of.numbers[k] = x + h;
    const Number above = product(head, output_gradient);
    of.numbers[k] = x - h;
    const Number below = product(head, output_gradient);
    of.numbers[k] = x;
    const Number error = abs(Number((above - below) / (2 * h) - gradient.numbers[k]));
    if (!(error <= largest)) largest = error;
  }
  return static_cast<double>(largest);
}

std::vector<HeadsSetup> small_cases() {
  HeadsSetup plain;
  plain.shape = {.n_queries = 3, .n_keys = 4, .dim = 3, .value_dim = 2};
  std::vector<HeadsSetup> out(6, plain);
  out[1].causal = true;
  out[1].shape.n_queries = 5;  // the first query sees no key
  out[2].soft_cap = 0.75;
  out[2].spread = 2.0;
  out[3].bias = true;
  out[3].hidden = 0.3;
  out[3].soft_cap = 2.0;
  out[4].before = 1;
  out[4].after = 1;
  out[4].scale = -1.5;
  out[5].key_lengths = {3};
  out[5].spread = 40.0;
  return out;
}

// "x": seen
std::vector<std::string> drawn(const HeadsMask& mask, std::size_t m, std::size_t n) {
  std::vector<std::string> rows(m);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) rows[i] += reference::sees(mask, i, m, j, n) ? 'x' : '.';
  return rows;
}

}  // namespace

TEST_CASE("The reference's gradients are the differences of its outputs", "[heads]") {
  for (const HeadsSetup& setup : small_cases()) {
    INFO(setup.text());
    const HeadsCase<double> in(setup);
    Head head = head_of<Number>(in, 0, 0);
    Matrix output_gradient(head.queries.n_rows, head.values.n_cols);
    for (std::size_t i = 0; i < output_gradient.n_rows; ++i)
      for (std::size_t l = 0; l < output_gradient.n_cols; ++l)
        output_gradient(i, l) = Number(in.output_gradient.get(0, 0, i, l));
    const auto rows = reference::head_rows(head);
    auto gradients = reference::gradients(head, rows, output_gradient, Number(0));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Number unit = exp(rows[i].exponent);
      for (std::size_t l = 0; l < gradients.queries.n_cols; ++l) gradients.queries(i, l) *= unit;
      for (std::size_t j = 0; j < gradients.scores.n_cols; ++j) gradients.scores(i, j) *= unit;
    }
    CHECK(difference_error(head, output_gradient, head.queries, gradients.queries) <= 1e-50);
    CHECK(difference_error(head, output_gradient, head.keys, gradients.keys) <= 1e-50);
    CHECK(difference_error(head, output_gradient, head.values, gradients.values) <= 1e-50);
    if (setup.bias) CHECK(difference_error(head, output_gradient, head.bias, gradients.scores) <= 1e-50);
    // A wrong gradient is seen.
    gradients.keys(1, 1) += Number("1e-49");
    CHECK_FALSE(difference_error(head, output_gradient, head.keys, gradients.keys) <= 1e-50);
  }
}

TEST_CASE("Masks of the reference are those drawn by hand", "[heads]") {
  using Drawing = std::vector<std::string>;
  HeadsMask mask;
  CHECK(drawn(mask, 2, 3) == Drawing{"xxx", "xxx"});
  mask.causal = true;
  CHECK(drawn(mask, 3, 3) == Drawing{"x..", "xx.", "xxx"});
  CHECK(drawn(mask, 2, 4) == Drawing{"xxx.", "xxxx"});
  CHECK(drawn(mask, 4, 2) == Drawing{"..", "..", "x.", "xx"});
  mask.before = 1;
  CHECK(drawn(mask, 2, 4) == Drawing{".xx.", "..xx"});
  mask.before = 0;
  CHECK(drawn(mask, 2, 4) == Drawing{"..x.", "...x"});
  mask.causal = false;
  CHECK(drawn(mask, 2, 4) == Drawing{"..xx", "...x"});
  mask.after = 0;
  CHECK(drawn(mask, 3, 3) == Drawing{"x..", ".x.", "..x"});
  mask.before = 2;
  mask.after = 1;
  CHECK(drawn(mask, 5, 5) == Drawing{"xx...", "xxx..", "xxxx.", ".xxxx", "..xxx"});
  mask.before = mask.after = static_cast<std::size_t>(-1);
  CHECK(drawn(mask, 4, 2) == Drawing{"xx", "xx", "xx", "xx"});
}

TEST_CASE("long double agrees with 500 digits", "[heads]") {
  for (HeadsSetup setup : small_cases())
    for (const double spread : {0.0, 1.0, 300.0}) {
      setup.spread = spread;
      INFO(setup.text());
      const HeadsCase<double> in(setup);
      const HeadsExact<double> rounded(in);
      const HeadsExact<double, Exact> exact(in);
      // The errors of long double are those of double times 2^-11 and less.
      const auto same = [](const auto& a, const auto& b, const auto& errors) {
        for (std::size_t k = 0; k < a.numbers.size(); ++k)
          CHECK(std::fabs(static_cast<double>(Exact(a.numbers[k]) - b.numbers[k])) <=
                0x1p-10 * errors.numbers[k]);
      };
      const auto &q = rounded.query_heads[0], &k = rounded.query_heads[0];
      const auto& truth = exact.query_heads[0];
      same(q.outputs, truth.outputs, truth.errors.outputs);
      same(q.gradients.queries, truth.gradients.queries, truth.errors.queries);
      same(k.gradients.scores, truth.gradients.scores, truth.errors.scores);
      same(rounded.key_heads[0].keys, exact.key_heads[0].keys, exact.key_heads[0].key_errors);
      same(rounded.key_heads[0].values, exact.key_heads[0].values, exact.key_heads[0].value_errors);
    }
}

}  // namespace softstep::test
