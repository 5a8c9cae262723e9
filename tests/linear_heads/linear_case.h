#pragma once

// Random inputs of linear attention, what the library makes of them, and how far that may be from the
// reference.

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/reference/linear_heads.h"
#include "heads/heads_array.h"
#include "softstep/linear_attention.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

struct LinearSetup {
  HeadsShape shape = {};
  bool causal = true;
  HeadGates gates = HeadGates::none;
  double low = -1.0, high = 0.0;  ///< log gates are uniform between these
  double resets = 0.0;            ///< part of the gates that are 0
  double scale = 1.0;
  std::vector<std::int64_t> key_lengths = {}, query_offsets = {}, key_offsets = {};
  Order order = Order::packed;
  StoredType storage = StoredType::working;         ///< of Q, K, V, the gates and dO
  StoredType result_storage = StoredType::working;  ///< of what is written
  std::uint64_t seed = 1;

  std::string text() const {
    std::string out = "B " + std::to_string(shape.batch) + " H " + std::to_string(shape.n_heads) + "/" +
                      std::to_string(n_key_heads()) + " m " + std::to_string(shape.n_queries) + " n " +
                      std::to_string(shape.n_keys) + " d " + std::to_string(shape.dim) + " dv " +
                      std::to_string(value_dim()) + (causal ? " causal" : "") + " gates " +
                      std::to_string(static_cast<int>(gates)) + " from " + std::to_string(low) + " resets " +
                      std::to_string(resets) + " scale " + std::to_string(scale) + " order " +
                      std::to_string(static_cast<int>(order)) + " " + to_string(storage) + "/" +
                      to_string(result_storage);
    for (const auto* numbers : {&key_lengths, &query_offsets, &key_offsets}) {
      out += " |";
      for (const std::int64_t x : *numbers) out += " " + std::to_string(x);
    }
    return out;
  }
  std::size_t n_key_heads() const { return shape.n_key_heads == 0 ? shape.n_heads : shape.n_key_heads; }
  std::size_t value_dim() const { return shape.value_dim == 0 ? shape.dim : shape.value_dim; }
  std::size_t gate_columns() const {
    return gates == HeadGates::none ? 0 : gates == HeadGates::scalar ? 1 : shape.dim;
  }
  Rows query_rows() const { return rows(query_offsets, shape.n_queries); }
  Rows key_rows() const { return rows(key_offsets, shape.n_keys); }

 private:
  Rows rows(const std::vector<std::int64_t>& offsets, std::size_t n) const {
    Rows out{std::vector<std::size_t>(shape.batch, n), !offsets.empty()};
    for (std::size_t b = 0; b + 1 < offsets.size(); ++b)
      out.of_entry[b] = static_cast<std::size_t>(offsets[b + 1] - offsets[b]);
    return out;
  }
};

template <class T>
struct LinearCase {
  LinearSetup setup;
  HeadsArray<T> queries, keys, values, log_gates, output_gradient;

  explicit LinearCase(const LinearSetup& in)
      : setup(in),
        queries(in.query_rows(), in.shape.n_heads, in.shape.dim, for_queries(in), in.storage),
        keys(in.key_rows(), in.n_key_heads(), in.shape.dim, in.order, in.storage),
        values(in.key_rows(), in.n_key_heads(), in.value_dim(), in.order, in.storage),
        log_gates(in.key_rows(), in.n_key_heads(), std::max<std::size_t>(1, in.gate_columns()), in.order,
                  in.storage),
        output_gradient(in.query_rows(), in.shape.n_heads, in.value_dim(), for_queries(in), in.storage) {
    std::mt19937_64 random(in.seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (HeadsArray<T>* array : {&queries, &keys, &values, &output_gradient})
      array->fill([&] { return uniform(random); });
    log_gates.fill([&] {
      const double x = in.low + 0.5 * (1.0 + uniform(random)) * (in.high - in.low);
      return 0.5 * (1.0 + uniform(random)) < in.resets ? -INFINITY : x;
    });
    // Padding is not read.
    if (!in.key_lengths.empty())
      for (HeadsArray<T>* array : {&keys, &values, &log_gates})
        if (in.order != Order::repeated)
          array->for_each([&](std::size_t b, std::size_t h, std::size_t t, std::size_t c) {
            if (t >= n_keys(b)) array->set(b, h, t, c, NAN);
          });
  }

  std::size_t n_keys(std::size_t b) const {
    return setup.key_lengths.empty() ? keys.rows().of_entry[b]
                                     : static_cast<std::size_t>(setup.key_lengths[b]);
  }
  LinearAttentionInputs<T> inputs() const {
    LinearAttentionInputs<T> out{setup.shape, queries.view(), keys.view(), values.view(), setup.gates, {}};
    if (setup.gates != HeadGates::none) out.log_gates = log_gates.view();
    return out;
  }
  LinearAttentionOptions options(const std::string& isa, int threads = 1) const {
    LinearAttentionOptions out;
    out.scale = setup.scale;
    out.mask.causal = setup.causal;
    out.mask.key_lengths = setup.key_lengths;
    out.mask.query_offsets = setup.query_offsets;
    out.mask.key_offsets = setup.key_offsets;
    out.threads = threads;
    out.isa = isa;
    return out;
  }

  /// One query head as the reference takes it; `sizes`: its numbers without their signs.
  template <class Number>
  reference::LinearHead<Number> head(std::size_t b, std::size_t h, bool sizes = false) const {
    const std::size_t key_head = h / (setup.shape.n_heads / setup.n_key_heads());
    reference::LinearHead<Number> out;
    out.n_queries = queries.rows().of_entry[b];
    out.n_keys = n_keys(b);
    out.dim = setup.shape.dim;
    out.value_dim = setup.value_dim();
    out.gate_columns = setup.gate_columns();
    out.causal = setup.causal;
    out.shift = static_cast<std::ptrdiff_t>(out.n_keys) - static_cast<std::ptrdiff_t>(out.n_queries);
    out.scale = Number(sizes ? std::fabs(setup.scale) : static_cast<double>(static_cast<T>(setup.scale)));
    const auto copy = [&](const HeadsArray<T>& array, std::size_t a, std::size_t n, std::vector<Number>& to,
                          bool signs) {
      for (std::size_t t = 0; t < n; ++t)
        for (std::size_t c = 0; c < array.n_cols(); ++c) {
          const T x = array.get(b, a, t, c);
          to.push_back(Number(signs ? x : std::fabs(x)));
        }
    };
    copy(queries, h, out.n_queries, out.queries, !sizes);
    copy(keys, key_head, out.n_keys, out.keys, !sizes);
    copy(values, key_head, out.n_keys, out.values, !sizes);
    if (out.gate_columns != 0) copy(log_gates, key_head, out.n_keys, out.log_gates, true);
    return out;
  }
  template <class Number>
  std::vector<Number> slopes(std::size_t b, std::size_t h, bool sizes = false) const {
    std::vector<Number> out;
    for (std::size_t i = 0; i < queries.rows().of_entry[b]; ++i)
      for (std::size_t c = 0; c < setup.value_dim(); ++c) {
        const T x = output_gradient.get(b, h, i, c);
        out.push_back(Number(sizes ? std::fabs(x) : x));
      }
    return out;
  }

 private:
  static Order for_queries(const LinearSetup& in) {
    return in.order == Order::repeated ? Order::tokens_first : in.order;
  }
};

/// What is written for a case.
template <class T>
struct LinearRun {
  HeadsArray<T> outputs, queries, keys, values, log_gates;

  explicit LinearRun(const LinearCase<T>& in)
      : outputs(in.queries.rows(), in.setup.shape.n_heads, in.setup.value_dim(), order(in), storage(in)),
        queries(in.queries.rows(), in.setup.shape.n_heads, in.setup.shape.dim, order(in), storage(in)),
        keys(in.keys.rows(), in.setup.n_key_heads(), in.setup.shape.dim, order(in), storage(in)),
        values(in.keys.rows(), in.setup.n_key_heads(), in.setup.value_dim(), order(in), storage(in)),
        log_gates(in.keys.rows(), in.setup.n_key_heads(), in.log_gates.n_cols(), order(in), storage(in)) {}

  LinearAttentionGradients<T> gradients(HeadGates gates) {
    LinearAttentionGradients<T> out{queries.span(), keys.span(), values.span(), {}};
    if (gates != HeadGates::none) out.log_gates = log_gates.span();
    return out;
  }
  std::vector<HeadsArray<T>*> arrays(HeadGates gates) {
    std::vector<HeadsArray<T>*> out{&outputs, &queries, &keys, &values};
    if (gates != HeadGates::none) out.push_back(&log_gates);
    return out;
  }
  std::vector<std::uint64_t> bits(HeadGates gates) {
    std::vector<std::uint64_t> out;
    for (HeadsArray<T>* array : arrays(gates))
      for (const std::uint64_t x : array->element_bits()) out.push_back(x);
    return out;
  }

 private:
  static StoredType storage(const LinearCase<T>& in) { return in.setup.result_storage; }
  static Order order(const LinearCase<T>& in) {
    return in.setup.order == Order::repeated ? Order::padded : in.setup.order;
  }
};

template <class T>
LinearRun<T> run(const LinearCase<T>& in, const std::string& isa, int threads = 1) {
  LinearRun<T> out(in);
  linear_attention_forward<T>(in.inputs(), out.outputs.span(), in.options(isa, threads));
  linear_attention_backward<T>(in.inputs(), in.output_gradient.view(), out.gradients(in.setup.gates),
                               in.options(isa, threads));
  return out;
}

/// Roundings that a term of each result goes through, docs/mathematics.md, section 12.4.
struct LinearBounds {
  double outputs, queries, keys, values, log_gates;

  LinearBounds(const LinearSetup& in, std::size_t n) {
    const double d = static_cast<double>(in.shape.dim), dv = static_cast<double>(in.value_dim()),
                 group = static_cast<double>(in.shape.n_heads / in.n_key_heads()),
                 m = in.causal ? 0.0 : static_cast<double>(in.query_rows().total());
    const double way = (in.gates == HeadGates::none ? 1.0 : 5.0) * static_cast<double>(n) + 76.0;
    outputs = way + d;
    queries = way + dv;
    keys = way + dv + (8.0 + m) * group;
    values = way + d + (8.0 + m) * group;
    log_gates = way + d + dv + 156.0 + 40.0 * group;
  }
};

/// What the results of a case should be, for all its heads: sums over the query heads of a key head. `sizes`:
/// the same of the numbers without their signs, which bounds are multiples of.
struct LinearReference {
  using Number = long double;
  struct Head {
    std::vector<Number> exact, size;
  };
  std::vector<Head> outputs, queries;         ///< by batch entry and query head
  std::vector<Head> keys, values, log_gates;  ///< by batch entry and key head, without padding

  template <class T>
  explicit LinearReference(const LinearCase<T>& in) {
    const LinearSetup& s = in.setup;
    const std::size_t group = s.shape.n_heads / s.n_key_heads();
    const auto add = [](std::vector<Number>& sum, const std::vector<Number>& x) {
      sum.resize(x.size(), Number(0));
      for (std::size_t k = 0; k < x.size(); ++k) sum[k] += x[k];
    };
    for (std::size_t b = 0; b < s.shape.batch; ++b)
      for (std::size_t h = 0; h < s.shape.n_heads; ++h) {
        if (h % group == 0) keys.emplace_back(), values.emplace_back(), log_gates.emplace_back();
        const auto exact = reference::linear_head_gradients(in.template head<Number>(b, h),
                                                            in.template slopes<Number>(b, h));
        const auto size = reference::linear_head_gradients(in.template head<Number>(b, h, true),
                                                           in.template slopes<Number>(b, h, true));
        outputs.push_back({exact.outputs, size.outputs});
        queries.push_back({exact.queries, size.queries});
        add(keys.back().exact, exact.keys), add(keys.back().size, size.keys);
        add(values.back().exact, exact.values), add(values.back().size, size.values);
        add(log_gates.back().exact, exact.log_gates), add(log_gates.back().size, size.log_gates);
      }
  }
};

/// The worst error of all that was written, each over its bound; NaN if anything is. Padding has gradient 0.
template <class T>
double worst_over_bound(const LinearCase<T>& in, LinearRun<T>& out, const LinearReference& wanted) {
  const LinearSetup& s = in.setup;
  const std::size_t group = s.shape.n_heads / s.n_key_heads();
  double worst = 0.0;
  const auto compare = [&](const HeadsArray<T>& array, const std::vector<LinearReference::Head>& heads,
                           double LinearBounds::*roundings) {
    const StoredType type = array.storage();
    const double stored = type == StoredType::f16 ? 0x1p-11 : type == StoredType::bf16 ? 0x1p-8 : 0.0;
    const double least = type == StoredType::f16 ? 0x1p-25 : type == StoredType::bf16 ? 0x1p-134 : 0.0;
    array.for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
      const LinearReference::Head& head = heads[b * array.n_heads() + h];
      const std::size_t k = r * array.n_cols() + c;
      const bool padding = k >= head.exact.size();
      const long double exact = padding ? 0.0L : head.exact[k];
      // What underflow costs: inputs are at most 1, so that every sum is at most n^2 d dv group.
      const double rows = static_cast<double>(std::max(in.n_keys(b), in.queries.rows().of_entry[b]));
      const double underflow = static_cast<double>(std::numeric_limits<T>::min()) * (2.0 + rows * rows) *
                               static_cast<double>(s.shape.dim * s.value_dim() * group);
      const double n_roundings = LinearBounds(s, in.n_keys(b)).*roundings;
      const double rounding =
          padding ? 0.0
                  : 1.01 * (n_roundings * unit_roundoff<T> * static_cast<double>(head.size[k]) + underflow);
      const double bound =
          padding ? 0.0 : rounding * (1.0 + stored) + stored * static_cast<double>(std::fabs(exact)) + least;
      const double error =
          static_cast<double>(std::fabs(static_cast<long double>(array.get(b, h, r, c)) - exact));
      if (std::isnan(error) || std::isnan(worst))
        worst = NAN;
      else if (error > worst * bound)
        worst = error / bound;
    });
    if (!array.gaps_untouched()) worst = NAN;
  };
  compare(out.outputs, wanted.outputs, &LinearBounds::outputs);
  compare(out.queries, wanted.queries, &LinearBounds::queries);
  compare(out.keys, wanted.keys, &LinearBounds::keys);
  compare(out.values, wanted.values, &LinearBounds::values);
  if (s.gates != HeadGates::none) compare(out.log_gates, wanted.log_gates, &LinearBounds::log_gates);
  return worst;
}

}  // namespace softstep::test
