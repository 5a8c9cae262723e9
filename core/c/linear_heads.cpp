#include "core/c/heads_arrays.h"
#include "softstep/linear_attention.h"

namespace softstep::c {
namespace {

HeadGates gates_of(std::int32_t gates) {
  switch (gates) {
    case SOFTSTEP_GATES_NONE:
      return HeadGates::none;
    case SOFTSTEP_GATES_SCALAR:
      return HeadGates::scalar;
    case SOFTSTEP_GATES_VECTOR:
      return HeadGates::vector;
    default:
      throw InvalidArgument("options.gates", std::to_string(gates) + " (need one of SOFTSTEP_GATES_..)");
  }
}

template <class T>
LinearAttentionInputs<T> inputs_of(const softstep_linear_heads_options& in,
                                   const softstep_heads_array* queries, const softstep_heads_array* keys,
                                   const softstep_heads_array* values,
                                   const softstep_heads_array* log_gates) {
  LinearAttentionInputs<T> out;
  set_shape(out.shape, in);
  set_needed<T>(out.queries, queries, "queries");
  set_needed<T>(out.keys, keys, "keys");
  set_needed<T>(out.values, values, "values");
  out.gates = gates_of(in.gates);
  set_array<T>(out.log_gates, log_gates, "log_gates");
  return out;
}

LinearAttentionOptions options_of(const softstep_linear_heads_options& in) {
  LinearAttentionOptions out;
  if (in.has_scale != 0) out.scale = in.scale;
  set_mask(out.mask, in);
  out.threads = in.n_threads;
  if (in.isa != nullptr) out.isa = in.isa;
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_linear_heads_forward(const softstep_linear_heads_options* options,
                                              const softstep_heads_array* queries,
                                              const softstep_heads_array* keys,
                                              const softstep_heads_array* values,
                                              const softstep_heads_array* log_gates,
                                              const softstep_heads_array* outputs) {
  return in_type(options, [&]<class T>(const softstep_linear_heads_options& in) {
    HeadsSpan<T> out;
    set_needed<T>(out, outputs, "outputs");
    linear_attention_forward<T>(inputs_of<T>(in, queries, keys, values, log_gates), out, options_of(in));
  });
}

softstep_status softstep_linear_heads_backward(
    const softstep_linear_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values,
    const softstep_heads_array* log_gates, const softstep_heads_array* output_gradient,
    const softstep_heads_array* query_gradient, const softstep_heads_array* key_gradient,
    const softstep_heads_array* value_gradient, const softstep_heads_array* log_gate_gradient) {
  return in_type(options, [&]<class T>(const softstep_linear_heads_options& in) {
    LinearAttentionGradients<T> out;
    set_array<T>(out.queries, query_gradient, "query_gradient");
    set_array<T>(out.keys, key_gradient, "key_gradient");
    set_array<T>(out.values, value_gradient, "value_gradient");
    set_array<T>(out.log_gates, log_gate_gradient, "log_gate_gradient");
    HeadsView<T> slopes;
    set_needed<T>(slopes, output_gradient, "output_gradient");
    linear_attention_backward<T>(inputs_of<T>(in, queries, keys, values, log_gates), slopes, out,
                                 options_of(in));
  });
}
}
