#pragma once

// What attention_forward and attention_backward write for a case.

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "heads/heads_case.h"

namespace softstep::test {

template <class T>
struct HeadsRun {
  HeadsArray<T> outputs, queries, keys, values;  ///< O, dQ, dK, dV
  Guarded<T> log_sum_exp, bias;
  Guarded<double> query_exponents, key_exponents;  ///< empty: not asked for
  HeadsState<T> state;

  /// Results of a case, not computed yet.
  explicit HeadsRun(const HeadsCase<T>& in)
      : outputs(in.queries.rows(), in.setup.shape.n_heads, in.setup.value_dim(), order(in),
                in.setup.result_storage),
        queries(in.queries.rows(), in.setup.shape.n_heads, in.setup.shape.dim, order(in),
                in.setup.result_storage),
        keys(in.keys.rows(), in.setup.n_key_heads(), in.setup.shape.dim, order(in), in.setup.result_storage),
        values(in.keys.rows(), in.setup.n_key_heads(), in.setup.value_dim(), order(in),
               in.setup.result_storage),
        log_sum_exp(n_rows(in)),
        bias(in.bias.size()),
        query_exponents(in.setup.exponents ? n_rows(in) : 0),
        key_exponents(in.setup.exponents ? in.setup.shape.batch * in.setup.n_key_heads() : 0) {
    std::fill_n(log_sum_exp.data(), log_sum_exp.size(), std::numeric_limits<T>::quiet_NaN());
    std::fill_n(bias.data(), bias.size(), std::numeric_limits<T>::quiet_NaN());
    for (Guarded<double>* exponents : {&query_exponents, &key_exponents})
      std::fill_n(exponents->data(), exponents->size(), std::numeric_limits<double>::quiet_NaN());
  }

  HeadsOutputs<T> forward_face() {
    return {outputs.span(), {log_sum_exp.data(), log_sum_exp.size()}, &state};
  }
  HeadsGradients<T> backward_face() {
    HeadsGradients<T> out{queries.span(), keys.span(), values.span(), {}, {}, {}};
    if (bias.size() != 0) out.bias = {bias.data(), bias.size()};
    if (query_exponents.size() != 0) out.query_exponents = {query_exponents.data(), query_exponents.size()};
    if (key_exponents.size() != 0) out.key_exponents = {key_exponents.data(), key_exponents.size()};
    return out;
  }

  /// Place of row i of entry b in log_sum_exp and query_exponents.
  std::size_t row_place(std::size_t b, std::size_t h, std::size_t i) const {
    const Rows& rows = outputs.rows();
    if (!rows.ragged) return (b * outputs.n_heads() + h) * rows.of_entry[b] + i;
    std::size_t row = i;
    for (std::size_t e = 0; e < b; ++e) row += rows.of_entry[e];
    return h * rows.total() + row;
  }

  /// All that has been written, as bits, without gaps.
  std::vector<std::uint64_t> bits() const {
    std::vector<std::uint64_t> out;
    for (const HeadsArray<T>* array : {&outputs, &queries, &keys, &values})
      for (const std::uint64_t x : array->element_bits()) out.push_back(x);
    for (const Guarded<T>* numbers : {&log_sum_exp, &bias})
      for (std::size_t k = 0; k < numbers->size(); ++k)
        out.push_back(std::bit_cast<std::uint64_t>(static_cast<double>((*numbers)[k])));
    for (const Guarded<double>* numbers : {&query_exponents, &key_exponents})
      for (std::size_t k = 0; k < numbers->size(); ++k)
        out.push_back(std::bit_cast<std::uint64_t>((*numbers)[k]));
    return out;
  }
  bool gaps_untouched() const {
    return outputs.gaps_untouched() && queries.gaps_untouched() && keys.gaps_untouched() &&
           values.gaps_untouched();
  }

 private:
  // Outputs must not overlap themselves.
  static Order order(const HeadsCase<T>& in) {
    return in.setup.order == Order::repeated ? Order::padded : in.setup.order;
  }
  static std::size_t n_rows(const HeadsCase<T>& in) {
    return in.queries.rows().total() * in.setup.shape.n_heads;
  }
};

/// Forward and backward.
template <class T>
HeadsRun<T> run(const HeadsCase<T>& in, const std::string& isa, int threads = 1) {
  HeadsRun<T> out(in);
  attention_forward(in.inputs(), out.forward_face(), in.options(isa, threads));
  attention_backward(in.inputs(), out.state, in.output_gradient.view(), out.backward_face(),
                     in.options(isa, threads));
  return out;
}

}  // namespace softstep::test
