// Linear attention over heads: softstep/linear_attention.h.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "head_arrays.h"
#include "parts.h"
#include "results.h"
#include "softstep/error.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

struct Inputs {
  Inputs(nb::handle q, nb::handle k, nb::handle v, nb::handle g, const HeadOptions& options)
      : queries(q, "queries"), keys(k, "keys"), values(v, "values") {
    shape = shape_of_heads(queries, keys, values, options);
    if (g.is_none()) return;
    log_gates = Array(g, "log_gates");
    std::vector<std::size_t> wanted = keys.extents(), given = log_gates.extents();
    const bool scalar = log_gates.n_dims() == keys.n_dims() && log_gates.extent(keys.n_dims() - 1) == 1;
    if (scalar) wanted.back() = 1;
    if (wanted != given)
      throw InvalidArgument("log_gates", "shape " + log_gates.shape_text() + " (need that of keys, " +
                                             keys.shape_text() + ", or 1 in place of dim)");
    gates = scalar ? HeadGates::scalar : HeadGates::vector;
  }

  template <NumberType T>
  LinearAttentionInputs<T> in() const {
    return {.shape = shape,
            .queries = view_of_heads<T>(queries),
            .keys = view_of_heads<T>(keys),
            .values = view_of_heads<T>(values),
            .gates = gates,
            .log_gates = view_of_heads<T>(log_gates)};
  }

  Array queries, keys, values, log_gates = {};
  HeadsShape shape = {};
  HeadGates gates = HeadGates::none;
};

nb::object forward(nb::handle q, nb::handle k, nb::handle v, const HeadOptions& options, nb::handle log_gates,
                   nb::handle out) {
  const Inputs in(q, k, v, log_gates, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const HeadsOutput o(out, "out", q, in.queries.number(), extents_of_heads(in.queries, in.shape.value_dim));
    const LinearAttentionInputs<T> inputs = in.in<T>();
    const HeadsSpan<T> into = span_of_heads<T>(o.array());
    const LinearAttentionOptions asked = options.linear();
    {
      const nb::gil_scoped_release released;
      linear_attention_forward(inputs, into, asked);
    }
    return o.hand_out();
  });
}

nb::tuple backward(nb::handle q, nb::handle k, nb::handle v, nb::handle output_gradient,
                   const HeadOptions& options, nb::handle log_gates, const std::string& wanted, nb::handle dq,
                   nb::handle dk, nb::handle dv, nb::handle dg) {
  const Inputs in(q, k, v, log_gates, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const Array gradient(output_gradient, "output_gradient");
    const auto shape = extents_of_heads(in.queries, in.shape.value_dim);
    if (gradient.extents() != shape)
      throw InvalidArgument("output_gradient",
                            "shape " + gradient.shape_text() + " (need that of the output)");
    const auto wants = [&](char letter) { return wanted.find(letter) != std::string::npos; };
    for (const char letter : wanted)
      if (std::string_view("qkvg").find(letter) == std::string_view::npos)
        throw InvalidArgument("wanted", wanted + " (letters of \"qkvg\")");
    if (wants('g') && !in.log_gates.given())
      throw InvalidArgument("wanted", wanted + " (there are no gates)");
    HeadsOutput queries, keys, values, gates;
    if (wants('q')) queries = HeadsOutput(dq, "query_gradient", q, in.queries.number(), in.queries.extents());
    if (wants('k')) keys = HeadsOutput(dk, "key_gradient", k, in.keys.number(), in.keys.extents());
    if (wants('v')) values = HeadsOutput(dv, "value_gradient", v, in.values.number(), in.values.extents());
    if (wants('g'))
      gates = HeadsOutput(dg, "log_gate_gradient", log_gates, in.log_gates.number(), in.log_gates.extents());
    const LinearAttentionInputs<T> inputs = in.in<T>();
    const HeadsView<T> along = view_of_heads<T>(gradient);
    const LinearAttentionGradients<T> gradients{.queries = span_of_heads<T>(queries.array()),
                                                .keys = span_of_heads<T>(keys.array()),
                                                .values = span_of_heads<T>(values.array()),
                                                .log_gates = span_of_heads<T>(gates.array())};
    const LinearAttentionOptions asked = options.linear();
    {
      const nb::gil_scoped_release released;
      linear_attention_backward(inputs, along, gradients, asked);
    }
    return nb::make_tuple(queries.hand_out(), keys.hand_out(), values.hand_out(), gates.hand_out());
  });
}

}  // namespace

void add_linear_heads(nb::module_& m) {
  m.def(
      "linear_attention_forward", &forward, "queries"_a, "keys"_a, "values"_a, "options"_a, nb::kw_only(),
      "log_gates"_a.none() = nb::none(), "out"_a.none() = nb::none(),
      nb::sig("def linear_attention_forward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, options: "
              "HeadOptions, *, "
              "log_gates: ArrayLike | None = None, out: ArrayLike | None = None) -> typing.Any"),
      R"(o_i = scale sum_j (q_i . k_j) v_j, with gates (causal) S_t = diag(g_t) S_(t-1) + k_t v_t^T, o_i = scale S^T q_i.

Arrays as in attention_forward. log_gates: log g_t <= 0, [B, Hkv, Tk, 1] or [B, Hkv, Tk, d]; only with a causal mask. Sources:
Katharopoulos et al. 2020; Sun et al. 2023; Dao, Gu 2024; Yang et al. 2024. Raises InvalidArgument.)");
  m.def("linear_attention_backward", &backward, "queries"_a, "keys"_a, "values"_a, "output_gradient"_a,
        "options"_a, nb::kw_only(), "log_gates"_a.none() = nb::none(), "wanted"_a = "qkv",
        "query_gradient"_a.none() = nb::none(), "key_gradient"_a.none() = nb::none(),
        "value_gradient"_a.none() = nb::none(), "log_gate_gradient"_a.none() = nb::none(),
        nb::sig("def linear_attention_backward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, "
                "output_gradient: ArrayLike, "
                "options: HeadOptions, *, log_gates: ArrayLike | None = None, wanted: str = 'qkv', "
                "query_gradient: ArrayLike | "
                "None = None, key_gradient: ArrayLike | None = None, value_gradient: ArrayLike | None = "
                "None, log_gate_gradient: "
                "ArrayLike | None = None) -> tuple[typing.Any, typing.Any, typing.Any, typing.Any]"),
        R"(Gradients of sum(dO * O) by queries, keys, values and log gates ("qkvg" in `wanted`).

Returns (dQ, dK, dV, dlog_gates); None for what is not wanted.)");
}

}  // namespace softstep::python
