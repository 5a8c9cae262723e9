// Softmax attention over heads: softstep/attention.h.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <variant>

#include "head_inputs.h"
#include "parts.h"
#include "results.h"
#include "softstep/error.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

/// What a forward pass leaves for the others, in either precision.
class State {
 public:
  template <NumberType T>
  HeadsState<T>& fill() {
    if (!std::holds_alternative<HeadsState<T>>(held_)) held_.emplace<HeadsState<T>>();
    return std::get<HeadsState<T>>(held_);
  }
  template <NumberType T>
  const HeadsState<T>& get() const {
    const auto* held = std::get_if<HeadsState<T>>(&held_);
    if (held == nullptr) throw InvalidArgument("state", "not that of a forward pass in this precision");
    return *held;
  }

 private:
  std::variant<std::monostate, HeadsState<float>, HeadsState<double>> held_;
};

HeadInputs inputs_of(nb::handle q, nb::handle k, nb::handle v, nb::handle b, const HeadOptions& options) {
  return {Array(q, "queries"), Array(k, "keys"), Array(v, "values"), b.is_none() ? Array() : Array(b, "bias"),
          options};
}

// [batch, heads, queries], or [heads, rows] if ragged: of log-sum-exps and exponents.
std::vector<std::size_t> rows_of(const HeadInputs& in, const HeadOptions& options) {
  if (options.ragged()) return {in.shape.n_heads, in.queries.extent(0)};
  return {in.shape.batch, in.shape.n_heads, in.shape.n_queries};
}

nb::tuple forward(nb::handle q, nb::handle k, nb::handle v, const HeadOptions& options, nb::handle bias,
                  nb::handle out, nb::handle log_sum_exp, State* state) {
  const HeadInputs in = inputs_of(q, k, v, bias, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const HeadsOutput o(out, "out", q, in.queries.number(), extents_of_heads(in.queries, in.shape.value_dim));
    const bool want_lse =
        !log_sum_exp.is_none() && !(PyBool_Check(log_sum_exp.ptr()) && log_sum_exp.is(Py_False));
    const nb::object lse_given =
        want_lse && !PyBool_Check(log_sum_exp.ptr()) ? nb::borrow(log_sum_exp) : nb::object(nb::none());
    HeadsOutput lse;
    if (want_lse) lse = HeadsOutput(lse_given, "log_sum_exp", q, number_of<T>, rows_of(in, options));
    const HeadsInputs<T> inputs = in.in<T>();
    const HeadsOutputs<T> outputs{.outputs = span_of_heads<T>(o.array()),
                                  .log_sum_exp = packed<T>(lse.array()),
                                  .state = state == nullptr ? nullptr : &state->fill<T>()};
    {
      const nb::gil_scoped_release released;
      attention_forward(inputs, outputs, options.softmax());
    }
    return nb::make_tuple(o.hand_out(), lse.hand_out());
  });
}

// What backward and hessian_product write.
struct Gradients {
  Gradients(const HeadInputs& in, const HeadOptions& options, nb::handle q, nb::handle k, nb::handle v,
            nb::handle b, const std::string& wanted, bool scaled, nb::handle dq, nb::handle dk, nb::handle dv,
            bool may_have_bias) {
    for (const char letter : wanted)
      if (std::string_view("qkvb").find(letter) == std::string_view::npos)
        throw InvalidArgument("wanted", wanted + " (letters of \"qkvb\")");
    const auto wants = [&](char letter) { return wanted.find(letter) != std::string::npos; };
    if (wants('q')) queries = HeadsOutput(dq, "query_gradient", q, in.queries.number(), in.queries.extents());
    if (wants('k')) keys = HeadsOutput(dk, "key_gradient", k, in.keys.number(), in.keys.extents());
    if (wants('v')) values = HeadsOutput(dv, "value_gradient", v, in.values.number(), in.values.extents());
    if (wants('b')) {
      if (!may_have_bias) throw InvalidArgument("wanted", wanted + " (no gradient of the bias here)");
      if (!in.bias.given()) throw InvalidArgument("wanted", wanted + " (there is no bias)");
      bias = HeadsOutput(nb::none(), "bias_gradient", b, in.bias.number(), in.bias.extents());
    }
    if (scaled && wants('q'))
      query_exponents = HeadsOutput(nb::none(), "query_exponents", q, Number::f64, rows_of(in, options));
    const std::vector<std::size_t> key_heads = {in.shape.batch, in.shape.n_key_heads};
    if (scaled && wants('k'))
      key_exponents = HeadsOutput(nb::none(), "key_exponents", k, Number::f64, key_heads);
  }

  template <NumberType T>
  HeadsGradients<T> spans() const {
    return {.queries = span_of_heads<T>(queries.array()),
            .keys = span_of_heads<T>(keys.array()),
            .values = span_of_heads<T>(values.array()),
            .bias = packed<T>(bias.array()),
            .query_exponents = packed<double>(query_exponents.array()),
            .key_exponents = packed<double>(key_exponents.array())};
  }

  nb::tuple hand_out() const {
    return nb::make_tuple(queries.hand_out(), keys.hand_out(), values.hand_out(), bias.hand_out(),
                          query_exponents.hand_out(), key_exponents.hand_out());
  }

  HeadsOutput queries, keys, values, bias, query_exponents, key_exponents;
};

// An array in the shape of another, read.
Array direction_of(nb::handle object, const char* name, std::span<const std::size_t> extents) {
  if (object.is_none()) return {};
  Array out(object, name);
  bool same = out.n_dims() == extents.size();
  for (std::size_t k = 0; same && k < extents.size(); ++k) same = out.extent(k) == extents[k];
  if (same) return out;
  std::string wanted;
  for (const std::size_t extent : extents) wanted += (wanted.empty() ? "" : ", ") + std::to_string(extent);
  throw InvalidArgument(name, "shape " + out.shape_text() + " (need (" + wanted + "))");
}

nb::tuple backward(nb::handle q, nb::handle k, nb::handle v, const State& state, nb::handle output_gradient,
                   const HeadOptions& options, nb::handle bias, const std::string& wanted, bool scaled,
                   nb::handle dq, nb::handle dk, nb::handle dv) {
  const HeadInputs in = inputs_of(q, k, v, bias, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const auto shape = extents_of_heads(in.queries, in.shape.value_dim);
    const Array gradient = direction_of(output_gradient, "output_gradient", shape);
    const Gradients out(in, options, q, k, v, bias, wanted, scaled, dq, dk, dv, true);
    const HeadsInputs<T> inputs = in.in<T>();
    const HeadsView<T> along = view_of_heads<T>(gradient);
    const HeadsGradients<T> gradients = out.spans<T>();
    {
      const nb::gil_scoped_release released;
      attention_backward(inputs, state.get<T>(), along, gradients, options.softmax());
    }
    return out.hand_out();
  });
}

struct Direction3 {
  Direction3(const HeadInputs& in, nb::handle q, nb::handle k, nb::handle v)
      : queries(direction_of(q, "query_direction", in.queries.extents())),
        keys(direction_of(k, "key_direction", in.keys.extents())),
        values(direction_of(v, "value_direction", in.values.extents())) {}
  template <NumberType T>
  HeadsDirection<T> views() const {
    return {.queries = view_of_heads<T>(queries),
            .keys = view_of_heads<T>(keys),
            .values = view_of_heads<T>(values)};
  }
  Array queries, keys, values;
};

nb::object tangent(nb::handle q, nb::handle k, nb::handle v, const State& state, const HeadOptions& options,
                   nb::handle bias, nb::handle query_direction, nb::handle key_direction,
                   nb::handle value_direction, nb::handle out) {
  const HeadInputs in = inputs_of(q, k, v, bias, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const Direction3 direction(in, query_direction, key_direction, value_direction);
    const HeadsOutput o(out, "out", q, in.queries.number(), extents_of_heads(in.queries, in.shape.value_dim));
    const HeadsInputs<T> inputs = in.in<T>();
    const HeadsDirection<T> along = direction.views<T>();
    const HeadsSpan<T> into = span_of_heads<T>(o.array());
    {
      const nb::gil_scoped_release released;
      attention_tangent(inputs, state.get<T>(), along, into, options.softmax());
    }
    return o.hand_out();
  });
}

nb::tuple hessian_product(nb::handle q, nb::handle k, nb::handle v, const State& state,
                          nb::handle output_gradient, const HeadOptions& options, nb::handle bias,
                          nb::handle query_direction, nb::handle key_direction, nb::handle value_direction,
                          nb::handle output_gradient_direction, const std::string& wanted, bool scaled,
                          nb::handle dq, nb::handle dk, nb::handle dv) {
  const HeadInputs in = inputs_of(q, k, v, bias, options);
  return in_precision_of(in.queries, [&]<NumberType T>() {
    const auto shape = extents_of_heads(in.queries, in.shape.value_dim);
    const Array gradient = direction_of(output_gradient, "output_gradient", shape);
    const Array moved = direction_of(output_gradient_direction, "output_gradient_direction", shape);
    const Direction3 direction(in, query_direction, key_direction, value_direction);
    const Gradients out(in, options, q, k, v, bias, wanted, scaled, dq, dk, dv, false);
    const HeadsInputs<T> inputs = in.in<T>();
    const HeadsView<T> from = view_of_heads<T>(gradient);
    HeadsDirection<T> along = direction.views<T>();
    along.output_gradient = view_of_heads<T>(moved);
    const HeadsGradients<T> products = out.spans<T>();
    {
      const nb::gil_scoped_release released;
      attention_hessian_product(inputs, state.get<T>(), from, along, products, options.softmax());
    }
    return out.hand_out();
  });
}

}  // namespace

void add_heads(nb::module_& m) {
  nb::class_<HeadOptions>(m, "HeadOptions",
                          R"(What attention over heads is asked for; made once for many calls.

scale: 1/sqrt(dim) if None (linear attention: 1). soft_cap: c of c tanh(s/c), 0 for none. causal, before, after: which keys a
query sees; query i of m stands beside key i + n - m of n. key_lengths: int64 [batch]. query_offsets, key_offsets: int64
[batch + 1] of ragged batches, whose arrays are [rows, heads, dim]. n_threads: 0 for all. Raises InvalidArgument.)")
      .def(
          nb::init<std::optional<double>, double, bool, std::optional<std::size_t>,
                   std::optional<std::size_t>, nb::handle, nb::handle, nb::handle, int, const std::string&>(),
          "scale"_a.none() = nb::none(), "soft_cap"_a = 0.0, "causal"_a = false,
          "before"_a.none() = nb::none(), "after"_a.none() = nb::none(), "key_lengths"_a.none() = nb::none(),
          "query_offsets"_a.none() = nb::none(), "key_offsets"_a.none() = nb::none(), "n_threads"_a = 0,
          "isa"_a = "",
          nb::sig(
              "def __init__(self, scale: float | None = None, soft_cap: float = 0.0, causal: bool = False, "
              "before: int | "
              "None = None, after: int | None = None, key_lengths: ArrayLike | None = None, query_offsets: "
              "ArrayLike | "
              "None = None, key_offsets: ArrayLike | None = None, n_threads: int = 0, isa: str = '') -> "
              "None"))
      .def_prop_ro("ragged", &HeadOptions::ragged, "Whether offsets were given.");
  nb::class_<State>(
      m, "HeadsState",
      "What attention_forward leaves for attention_backward and the others. Serves any number of calls.")
      .def(nb::init<>());

  m.def("attention_forward", &forward, "queries"_a, "keys"_a, "values"_a, "options"_a, nb::kw_only(),
        "bias"_a.none() = nb::none(), "out"_a.none() = nb::none(), "log_sum_exp"_a.none() = nb::none(),
        "state"_a.none() = nb::none(),
        nb::sig("def attention_forward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, options: "
                "HeadOptions, *, bias: "
                "ArrayLike | None = None, out: ArrayLike | None = None, log_sum_exp: ArrayLike | bool | None "
                "= None, state: "
                "HeadsState | None = None) -> tuple[typing.Any, typing.Any]"),
        R"(O = softmax(scale Q K^T + bias) V, and the log-sum-exp of each row.

queries [B, H, Tq, d], keys [B, Hkv, Tk, d], values [B, Hkv, Tk, dv], Hkv a divisor of H; ragged: [rows, heads, dim]. float64,
or float32, float16 and bfloat16, which are computed with in float32. Strides of any sign; the last axis contiguous. bias
[B or 1, H or 1, Tq, Tk], C order, of the type that is computed with. out: [B, H, Tq, dv], written where given. log_sum_exp: True,
or an array [B, H, Tq] ([H, rows]) to write. state: filled for attention_backward.

Returns (out, log_sum_exp or None). Raises InvalidArgument; nothing has been written then.)");
  m.def(
      "attention_backward", &backward, "queries"_a, "keys"_a, "values"_a, "state"_a, "output_gradient"_a,
      "options"_a, nb::kw_only(), "bias"_a.none() = nb::none(), "wanted"_a = "qkv", "scaled"_a = false,
      "query_gradient"_a.none() = nb::none(), "key_gradient"_a.none() = nb::none(),
      "value_gradient"_a.none() = nb::none(),
      nb::sig(
          "def attention_backward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: HeadsState, "
          "output_gradient: ArrayLike, options: HeadOptions, *, bias: ArrayLike | None = None, wanted: str = "
          "'qkv', scaled: "
          "bool = False, query_gradient: ArrayLike | None = None, key_gradient: ArrayLike | None = None, "
          "value_gradient: "
          "ArrayLike | None = None) -> tuple[typing.Any, typing.Any, typing.Any, typing.Any, typing.Any, "
          "typing.Any]"),
      R"(Gradients of sum(dO * O), after attention_forward on the same inputs with the same options and `state`.

wanted: letters of "qkvb" (queries, keys, values, bias). scaled: row i of dQ is to be multiplied by e^query_exponents[i], dK of a
key head by e^key_exponents; they stay true where the plain numbers underflow. query_gradient, key_gradient, value_gradient: arrays
to write.

Returns (dQ, dK, dV, dbias, query_exponents [B, H, Tq], key_exponents [B, Hkv]); None for what is not wanted.)");
  m.def("attention_tangent", &tangent, "queries"_a, "keys"_a, "values"_a, "state"_a, "options"_a,
        nb::kw_only(), "bias"_a.none() = nb::none(), "query_direction"_a.none() = nb::none(),
        "key_direction"_a.none() = nb::none(), "value_direction"_a.none() = nb::none(),
        "out"_a.none() = nb::none(),
        nb::sig("def attention_tangent(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: "
                "HeadsState, options: "
                "HeadOptions, *, bias: ArrayLike | None = None, query_direction: ArrayLike | None = None, "
                "key_direction: ArrayLike "
                "| None = None, value_direction: ArrayLike | None = None, out: ArrayLike | None = None) -> "
                "typing.Any"),
        "Derivative of the output along a direction (Jacobian-vector product); what is None stands still. As "
        "attention_backward.");
  m.def("attention_hessian_product", &hessian_product, "queries"_a, "keys"_a, "values"_a, "state"_a,
        "output_gradient"_a, "options"_a, nb::kw_only(), "bias"_a.none() = nb::none(),
        "query_direction"_a.none() = nb::none(), "key_direction"_a.none() = nb::none(),
        "value_direction"_a.none() = nb::none(), "output_gradient_direction"_a.none() = nb::none(),
        "wanted"_a = "qkv", "scaled"_a = false, "query_gradient"_a.none() = nb::none(),
        "key_gradient"_a.none() = nb::none(), "value_gradient"_a.none() = nb::none(),
        nb::sig(
            "def attention_hessian_product(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: "
            "HeadsState, "
            "output_gradient: ArrayLike, options: HeadOptions, *, bias: ArrayLike | None = None, "
            "query_direction: ArrayLike | "
            "None = None, key_direction: ArrayLike | None = None, value_direction: ArrayLike | None = None, "
            "output_gradient_direction: ArrayLike | None = None, wanted: str = 'qkv', scaled: bool = False, "
            "query_gradient: "
            "ArrayLike | None = None, key_gradient: ArrayLike | None = None, value_gradient: ArrayLike | "
            "None = None) -> "
            "tuple[typing.Any, typing.Any, typing.Any, typing.Any, typing.Any, typing.Any]"),
        "Derivatives of dQ, dK and dV along a direction of queries, keys, values and output gradient. "
        "Returns as attention_backward.");
}

}  // namespace softstep::python
