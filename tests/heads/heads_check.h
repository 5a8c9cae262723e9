#pragma once

// A case from its definition, in long double or in 500 digits, with the bounds of
// core/reference/heads_bounds.h, and what is compared with it.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/reference/heads_bounds.h"
#include "heads/heads_run.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

template <class Number, class T>
reference::Head<Number> head_of(const HeadsCase<T>& in, std::size_t b, std::size_t h) {
  const HeadsSetup& setup = in.setup;
  const std::size_t key_head = h / (setup.shape.n_heads / setup.n_key_heads()), n = in.n_keys(b),
                    m = in.queries.rows().of_entry[b];
  const auto matrix = [&](const HeadsArray<T>& array, std::size_t head, std::size_t n_rows) {
    reference::Matrix<Number> out(n_rows, array.n_cols());
    for (std::size_t r = 0; r < n_rows; ++r)
      for (std::size_t c = 0; c < out.n_cols; ++c) out(r, c) = Number(array.get(b, head, r, c));
    return out;
  };
  reference::Head<Number> out;
  out.queries = matrix(in.queries, h, m);
  out.keys = matrix(in.keys, key_head, n);
  out.values = matrix(in.values, key_head, n);
  out.seen = reference::Matrix<char>(m, n);
  // The library's scale is a double; 1 / sqrt(d) is one that is rounded.
  out.scale = Number(setup.scale ? *setup.scale : 1.0 / std::sqrt(static_cast<double>(setup.shape.dim)));
  out.soft_cap = Number(setup.soft_cap);
  if (setup.bias) out.bias = reference::Matrix<Number>(m, n);
  const HeadsMask mask{setup.causal, setup.before, setup.after, {}, {}, {}};
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      out.seen(i, j) = reference::sees(mask, i, m, j, n) ? 1 : 0;
      if (!setup.bias) continue;
      const T bias = in.bias[in.bias_place(b, h, i, j)];
      if (std::isinf(bias))
        out.seen(i, j) = 0;
      else
        out.bias(i, j) = Number(bias);
    }
  return out;
}

/// Errors relative to their bounds, the worst of each kind; NaN stays.
struct HeadsRatios {
  double outputs = 0.0, log_sum_exp = 0.0, queries = 0.0, keys = 0.0, values = 0.0, bias = 0.0;
  double largest_bound = 0.0;  ///< of an output: whether the comparison says something
  static void add(double& worst, long double error, long double bound) {
    const double ratio = error == 0 ? 0.0 : static_cast<double>(std::fabs(error) / bound);
    if (!(ratio <= worst) && !std::isnan(worst)) worst = ratio;
  }
  bool ok() const {
    for (const double ratio : {outputs, log_sum_exp, queries, keys, values, bias})
      if (!(ratio <= 1.0)) return false;
    return true;
  }
  std::string text() const {
    std::string out = "errors over bounds: ";
    for (const auto& [name, ratio] : {std::pair<const char*, double>{"O", outputs},
                                      {"lse", log_sum_exp},
                                      {"dQ", queries},
                                      {"dK", keys},
                                      {"dV", values},
                                      {"dBias", bias}})
      out += std::string(" ") + name + " " + std::to_string(ratio);
    return out;
  }
  void take(const HeadsRatios& other) {
    for (double HeadsRatios::*kind : {&HeadsRatios::outputs, &HeadsRatios::log_sum_exp, &HeadsRatios::queries,
                                      &HeadsRatios::keys, &HeadsRatios::values, &HeadsRatios::bias})
      if (!(other.*kind <= this->*kind)) this->*kind = other.*kind;
  }
};

template <class T, class Number = long double>
class HeadsExact {
 public:
  /// Sums over the query heads that read a key head.
  struct KeyHead {
    double exponent = 0.0;
    bool any = false;  ///< a row with two keys or more
    reference::Matrix<Number> keys, values;
    reference::Matrix<double> key_errors, value_errors;
  };
  struct QueryHead {
    reference::Head<Number> head;
    std::vector<reference::HeadRow<Number>> rows;
    reference::Matrix<Number> outputs;
    reference::HeadGradients<Number> gradients;
    reference::HeadErrors errors;
  };
  std::vector<KeyHead> key_heads;      ///< [batch][key heads]
  std::vector<QueryHead> query_heads;  ///< [batch][heads]

  /// `exact_products`: scale q . k is free of rounding in these data.
  explicit HeadsExact(const HeadsCase<T>& in, bool exact_products = false) : in_(in) {
    rounding_.exact_products = exact_products;
    const HeadsShape& shape = in.setup.shape;
    const std::size_t group = shape.n_heads / in.setup.n_key_heads();
    for (std::size_t b = 0; b < shape.batch; ++b)
      for (std::size_t g = 0; g < in.setup.n_key_heads(); ++g) {
        KeyHead key_head;
        Number exponent(0);
        for (std::size_t h = g * group; h < (g + 1) * group; ++h) {
          QueryHead query_head;
          query_head.head = head_of<Number>(in, b, h);
          query_head.rows = reference::head_rows(query_head.head);
          query_head.outputs = reference::outputs(query_head.head, query_head.rows);
          for (const auto& row : query_head.rows)
            if (row.keys.size() > 1 && (!key_head.any || row.exponent > exponent)) {
              exponent = row.exponent;
              key_head.any = true;
            }
          query_heads.push_back(std::move(query_head));
        }
        key_head.exponent = static_cast<double>(exponent);
        for (std::size_t h = g * group; h < (g + 1) * group; ++h)
          add_gradients(key_head, query_heads[b * shape.n_heads + h], b, h, group);
        key_heads.push_back(std::move(key_head));
      }
  }

  HeadsRatios compare(const HeadsRun<T>& out) const {
    HeadsRatios ratios;
    const HeadsShape& shape = in_.setup.shape;
    for (std::size_t b = 0; b < shape.batch; ++b) {
      for (std::size_t h = 0; h < shape.n_heads; ++h) {
        const QueryHead& exact = query_heads[b * shape.n_heads + h];
        compare_outputs(out, exact, b, h, ratios);
        compare_query_gradients(out, exact, b, h, ratios);
      }
      for (std::size_t g = 0; g < in_.setup.n_key_heads(); ++g)
        compare_key_head(out, key_heads[b * in_.setup.n_key_heads() + g], b, g, ratios);
    }
    if (in_.setup.bias) compare_bias(out, ratios);
    return ratios;
  }

 private:
  void add_gradients(KeyHead& key_head, QueryHead& q, std::size_t b, std::size_t h, std::size_t group) {
    reference::Matrix<Number> d_o(q.head.queries.n_rows, q.head.values.n_cols);
    for (std::size_t i = 0; i < d_o.n_rows; ++i)
      for (std::size_t l = 0; l < d_o.n_cols; ++l) d_o(i, l) = Number(in_.output_gradient.get(b, h, i, l));
    q.gradients = reference::gradients(q.head, q.rows, d_o, Number(key_head.exponent));
    q.errors = reference::head_errors(q.head, q.rows, q.outputs, q.gradients, d_o, key_head.exponent,
                                      group * d_o.n_rows, rounding_);
    add(key_head.keys, q.gradients.keys);
    add(key_head.values, q.gradients.values);
    add(key_head.key_errors, q.errors.keys);
    add(key_head.value_errors, q.errors.values);
  }
  template <class Any>
  static void add(reference::Matrix<Any>& sum, const reference::Matrix<Any>& term) {
    if (sum.n_cols == 0)
      sum = term;
    else
      for (std::size_t k = 0; k < term.numbers.size(); ++k) sum.numbers[k] += term.numbers[k];
  }
  static long double wide(const Number& x) { return static_cast<long double>(x); }

  // What rounding to 16 bits adds.
  double stored_error(double size) const {
    switch (in_.setup.result_storage) {
      case StoredType::f16:
        return 0x1p-11 * size + 0x1p-25;
      case StoredType::bf16:
        return 0x1p-8 * size + 0x1p-134;
      default:
        return 0.0;
    }
  }
  void add_stored(double& worst, long double computed, long double exact, long double error) const {
    if (std::isinf(error)) {
      if (!std::isfinite(computed)) worst = NAN;
      return;
    }
    const long double stored =
        exact == 0 && error == 0 ? 0 : stored_error(static_cast<double>(std::fabs(exact) + error));
    HeadsRatios::add(worst, computed - exact, error + stored);
  }
  // A gradient as mantissa and exponent, or plain where there is no exponent. `unit`: of the exact one.
  void add_scaled(double& worst, long double computed, bool plain, double exponent, long double exact,
                  long double error, double unit) const {
    const bool zero = exact == 0 && error == 0;
    if (std::isinf(error)) {
      if (!std::isfinite(computed)) worst = NAN;
      return;
    }
    if (plain) {
      const long double factor = std::exp(static_cast<long double>(unit)),
                        product = (4.0L + std::fabs(unit)) * rounding_.u * (std::fabs(exact) + error);
      const long double lost = zero ? 0.0L : rounding_.smallest * (1.0L + std::fabs(exact) + error);
      return add_stored(worst, computed, exact * factor, (error + product) * factor + lost);
    }
    if (std::isnan(exponent) || exponent == std::numeric_limits<double>::infinity()) worst = NAN;
    if (zero && computed == 0) return;
    // In units of what was returned, which is what was rounded to its storage.
    const long double factor = std::exp(static_cast<long double>(unit) - exponent);
    add_stored(worst, computed, exact * factor, error * factor);
  }

  void compare_outputs(const HeadsRun<T>& out, const QueryHead& exact, std::size_t b, std::size_t h,
                       HeadsRatios& ratios) const {
    for (std::size_t i = 0; i < exact.rows.size(); ++i) {
      for (std::size_t l = 0; l < exact.outputs.n_cols; ++l) {
        add_stored(ratios.outputs, out.outputs.get(b, h, i, l), wide(exact.outputs(i, l)),
                   exact.errors.outputs(i, l));
        ratios.largest_bound = std::max(ratios.largest_bound, exact.errors.outputs(i, l));
      }
      const T lse = out.log_sum_exp[out.row_place(b, h, i)];
      if (exact.rows[i].keys.empty())
        HeadsRatios::add(ratios.log_sum_exp, lse == -std::numeric_limits<T>::infinity() ? 0 : NAN, 1);
      else
        HeadsRatios::add(ratios.log_sum_exp, lse - wide(reference::log_sum_exp(exact.rows[i])),
                         exact.errors.log_sum_exp[i]);
    }
  }
  void compare_query_gradients(const HeadsRun<T>& out, const QueryHead& exact, std::size_t b, std::size_t h,
                               HeadsRatios& ratios) const {
    const bool plain = out.query_exponents.size() == 0;
    for (std::size_t i = 0; i < exact.rows.size(); ++i)
      for (std::size_t l = 0; l < exact.gradients.queries.n_cols; ++l)
        add_scaled(ratios.queries, out.queries.get(b, h, i, l), plain,
                   plain ? 0.0 : out.query_exponents[out.row_place(b, h, i)],
                   wide(exact.gradients.queries(i, l)), exact.errors.queries(i, l),
                   static_cast<double>(exact.rows[i].exponent));
  }
  void compare_key_head(const HeadsRun<T>& out, const KeyHead& exact, std::size_t b, std::size_t g,
                        HeadsRatios& ratios) const {
    const bool plain = out.key_exponents.size() == 0;
    const double exponent = plain ? 0.0 : out.key_exponents[b * in_.setup.n_key_heads() + g];
    // Padding has gradient 0.
    for (std::size_t j = 0; j < out.keys.rows().of_entry[b]; ++j) {
      const bool inside = j < exact.keys.n_rows;
      for (std::size_t l = 0; l < out.keys.n_cols(); ++l)
        add_scaled(ratios.keys, out.keys.get(b, g, j, l), plain, exponent,
                   inside ? wide(exact.keys(j, l)) : 0, inside ? exact.key_errors(j, l) : 0, exact.exponent);
      for (std::size_t l = 0; l < out.values.n_cols(); ++l)
        add_stored(ratios.values, out.values.get(b, g, j, l), inside ? wide(exact.values(j, l)) : 0,
                   inside ? exact.value_errors(j, l) : 0);
    }
  }
  void compare_bias(const HeadsRun<T>& out, HeadsRatios& ratios) const {
    const HeadsShape& shape = in_.setup.shape;
    std::vector<long double> exact(out.bias.size(), 0), error(out.bias.size(), 0), size(out.bias.size(), 0);
    for (std::size_t b = 0; b < shape.batch; ++b)
      for (std::size_t h = 0; h < shape.n_heads; ++h) {
        const QueryHead& head = query_heads[b * shape.n_heads + h];
        for (std::size_t i = 0; i < head.rows.size(); ++i) {
          const long double c = wide(head.rows[i].exponent), unit = std::exp(c);
          for (const std::size_t j : head.rows[i].keys) {
            const std::size_t k = in_.bias_place(b, h, i, j);
            const long double x = wide(head.gradients.scores(i, j)), e = head.errors.scores(i, j);
            exact[k] += x * unit;
            error[k] += (e + (4 - c) * rounding_.u * (std::fabs(x) + e)) * unit +
                        (e == 0 ? 0 : rounding_.smallest * (1 + std::fabs(x)));
            size[k] += std::fabs(x) * unit;
          }
        }
      }
    const long double n_terms = static_cast<long double>(shape.batch * shape.n_heads);
    for (std::size_t k = 0; k < exact.size(); ++k)
      HeadsRatios::add(ratios.bias, out.bias[k] - exact[k],
                       error[k] + n_terms * rounding_.u * (size[k] + error[k]));
  }

  const HeadsCase<T>& in_;
  reference::Rounding rounding_{unit_roundoff<T>, static_cast<double>(std::numeric_limits<T>::min())};
};

// Compiled in heads_tests.cpp.
extern template class HeadsArray<float>;
extern template class HeadsArray<double>;
extern template struct HeadsCase<float>;
extern template struct HeadsCase<double>;
extern template struct HeadsRun<float>;
extern template struct HeadsRun<double>;
extern template class HeadsExact<float>;
extern template class HeadsExact<double>;

}  // namespace softstep::test
