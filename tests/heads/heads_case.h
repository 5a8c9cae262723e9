#pragma once

// Random inputs of attention over heads, of every shape, mask, order and storage that it knows.

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "heads/heads_array.h"
#include "softstep/attention.h"

namespace softstep::test {

struct HeadsSetup {
  HeadsShape shape = {.n_queries = 5, .n_keys = 7, .dim = 8};
  bool causal = false;
  std::optional<std::size_t> before = {}, after = {};
  std::vector<std::int64_t> key_lengths = {};
  std::vector<std::int64_t> query_offsets = {}, key_offsets = {};  ///< ragged
  std::optional<double> scale = {};
  double soft_cap = 0.0;
  bool bias = false, bias_per_batch = false, bias_per_head = false;
  double hidden = 0.0;  ///< part of the bias that is -infinity
  Order order = Order::packed;
  StoredType storage = StoredType::working;  ///< of Q, K, V and dO
  StoredType result_storage = StoredType::working;
  double spread = 1.0;  ///< standard deviation of the scores
  std::uint64_t seed = 1;
  bool exponents = true;  ///< of dQ and dK

  std::string text() const {
    std::string out = "B " + std::to_string(shape.batch) + " H " + std::to_string(shape.n_heads) + "/" +
                      std::to_string(n_key_heads()) + " m " + std::to_string(shape.n_queries) + " n " +
                      std::to_string(shape.n_keys) + " d " + std::to_string(shape.dim) + " dv " +
                      std::to_string(value_dim());
    if (causal) out += " causal";
    if (before) out += " before " + std::to_string(*before);
    if (after) out += " after " + std::to_string(*after);
    for (const auto& [name, numbers] :
         {std::pair<std::string, std::vector<std::int64_t>>{"lengths", key_lengths},
          {"query offsets", query_offsets},
          {"key offsets", key_offsets}}) {
      if (!numbers.empty()) out += " " + name;
      for (const std::int64_t x : numbers) out += " " + std::to_string(x);
    }
    if (scale) out += " scale " + std::to_string(*scale);
    if (soft_cap != 0.0) out += " cap " + std::to_string(soft_cap);
    if (bias)
      out += std::string(" bias") + (bias_per_batch ? " per batch" : "") +
             (bias_per_head ? " per head" : "") + " hidden " + std::to_string(hidden);
    return out + " order " + std::to_string(static_cast<int>(order)) + " " + to_string(storage) + "/" +
           to_string(result_storage) + " spread " + std::to_string(spread) + " seed " + std::to_string(seed) +
           (exponents ? "" : " plain");
  }

  std::size_t n_key_heads() const { return shape.n_key_heads == 0 ? shape.n_heads : shape.n_key_heads; }
  std::size_t value_dim() const { return shape.value_dim == 0 ? shape.dim : shape.value_dim; }
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
struct HeadsCase {
  HeadsSetup setup;
  HeadsArray<T> queries, keys, values, output_gradient;
  Guarded<T> bias;

  explicit HeadsCase(const HeadsSetup& in)
      : setup(in),
        queries(in.query_rows(), in.shape.n_heads, in.shape.dim, for_queries(in), in.storage),
        keys(in.key_rows(), in.n_key_heads(), in.shape.dim, in.order, in.storage),
        values(in.key_rows(), in.n_key_heads(), in.value_dim(), in.order, in.storage),
        output_gradient(in.query_rows(), in.shape.n_heads, in.value_dim(), for_queries(in), in.storage),
        bias(in.bias ? (in.bias_per_batch ? in.shape.batch : 1) * (in.bias_per_head ? in.shape.n_heads : 1) *
                           in.shape.n_queries * in.shape.n_keys
                     : 0) {
    std::mt19937_64 random(in.seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    // Two uniform numbers have a product of variance 1/9.
    const double dim = static_cast<double>(in.shape.dim),
                 unit = 3.0 / (std::sqrt(dim) * std::fabs(in.scale.value_or(1.0 / std::sqrt(dim))));
    queries.fill([&] { return in.spread * unit * uniform(random); });
    for (HeadsArray<T>* array : {&keys, &values, &output_gradient})
      array->fill([&] { return uniform(random); });
    for (std::size_t k = 0; k < bias.size(); ++k) {
      const double x = std::max(1.0, in.spread) * uniform(random);
      bias[k] =
          0.5 * (1.0 + uniform(random)) < in.hidden ? -std::numeric_limits<T>::infinity() : static_cast<T>(x);
    }
  }

  HeadsInputs<T> inputs() const {
    return {setup.shape,
            queries.view(),
            keys.view(),
            values.view(),
            {{bias.data(), bias.size()}, setup.bias_per_batch, setup.bias_per_head}};
  }
  HeadsOptions options(const std::string& isa, int threads) const {
    HeadsOptions out;
    out.scale = setup.scale;
    out.soft_cap = setup.soft_cap;
    out.mask = {setup.causal,      setup.before,        setup.after,
                setup.key_lengths, setup.query_offsets, setup.key_offsets};
    out.threads = threads;
    out.isa = isa;
    return out;
  }
  /// Keys of entry b that are not padding.
  std::size_t n_keys(std::size_t b) const {
    return setup.key_lengths.empty() ? keys.rows().of_entry[b]
                                     : static_cast<std::size_t>(setup.key_lengths[b]);
  }
  std::size_t bias_place(std::size_t b, std::size_t h, std::size_t i, std::size_t j) const {
    const std::size_t head = setup.bias_per_head ? h : 0,
                      n_heads = setup.bias_per_head ? setup.shape.n_heads : 1,
                      entry = setup.bias_per_batch ? b : 0;
    return ((entry * n_heads + head) * setup.shape.n_queries + i) * setup.shape.n_keys + j;
  }

 private:
  static Order for_queries(const HeadsSetup& in) {
    return in.order == Order::repeated ? Order::tokens_first : in.order;
  }
};

}  // namespace softstep::test
