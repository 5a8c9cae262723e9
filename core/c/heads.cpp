#include <variant>

#include "core/c/heads_arrays.h"
#include "core/c/live_handles.h"

struct softstep_heads_state {
  std::variant<softstep::HeadsState<double>, softstep::HeadsState<float>> of;
};

namespace softstep::c {
namespace {

template <class T>
HeadsInputs<T> inputs_of(const softstep_heads_options& in, const softstep_heads_array* queries,
                         const softstep_heads_array* keys, const softstep_heads_array* values) {
  HeadsInputs<T> out;
  set_shape(out.shape, in);
  set_needed<T>(out.queries, queries, "queries");
  set_needed<T>(out.keys, keys, "keys");
  set_needed<T>(out.values, values, "values");
  if (in.bias != nullptr && in.bias_size == 0 && in.n_queries != 0 && in.n_keys != 0)
    throw InvalidArgument("options.bias_size", "0 (need the numbers that options.bias has)");
  if (in.bias != nullptr)
    out.bias = {
        {static_cast<const T*>(in.bias), in.bias_size}, in.bias_per_batch != 0, in.bias_per_head != 0};
  return out;
}

HeadsOptions options_of(const softstep_heads_options& in) {
  HeadsOptions out;
  if (in.has_scale != 0) out.scale = in.scale;
  out.soft_cap = in.soft_cap;
  set_mask(out.mask, in);
  out.threads = in.n_threads;
  if (in.isa != nullptr) out.isa = in.isa;
  return out;
}

// Rows of queries of all heads and the batch, for the arrays whose size follows from the options.
std::size_t n_rows(const softstep_heads_options& in) {
  const std::size_t rows = in.query_offsets != nullptr
                               ? static_cast<std::size_t>(std::max<std::int64_t>(
                                     in.query_offsets[entries(in.batch, 1, "options.batch") - 1], 0))
                               : in.batch * in.n_queries;
  return rows * in.n_heads;
}

template <class T>
void set_exponents(const softstep_heads_options& in, double* of_queries, double* of_keys,
                   HeadsGradients<T>& out) {
  if (of_queries != nullptr) out.query_exponents = {of_queries, n_rows(in)};
  if (of_keys != nullptr)
    out.key_exponents = {of_keys, in.batch * (in.n_key_heads != 0 ? in.n_key_heads : in.n_heads)};
}

template <class T>
HeadsDirection<T> direction_of(const softstep_heads_array* queries, const softstep_heads_array* keys,
                               const softstep_heads_array* values) {
  HeadsDirection<T> out;
  set_array<T>(out.queries, queries, "query_direction");
  set_array<T>(out.keys, keys, "key_direction");
  set_array<T>(out.values, values, "value_direction");
  return out;
}

template <class T, class State>
auto* state_of(State* state) {
  auto* found = std::get_if<HeadsState<T>>(&live(state, "state")->of);
  if (found == nullptr) throw InvalidArgument("state", "of another type than options.type");
  return found;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_heads_state_create(softstep_type type, softstep_heads_state** state) {
  return guarded([&] {
    required(state, "state");
    if (type != SOFTSTEP_F32 && type != SOFTSTEP_F64)
      throw InvalidArgument("type", std::to_string(type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
    auto out = std::make_unique<softstep_heads_state>();
    if (type == SOFTSTEP_F32) out->of.emplace<HeadsState<float>>();
    *state = hand_out(std::move(out));
  });
}
void softstep_heads_state_destroy(softstep_heads_state* state) { destroy(state, "state"); }

softstep_status softstep_heads_forward(const softstep_heads_options* options,
                                       const softstep_heads_array* queries, const softstep_heads_array* keys,
                                       const softstep_heads_array* values,
                                       const softstep_heads_array* outputs, void* log_sum_exp,
                                       softstep_heads_state* state) {
  return in_type(options, [&]<class T>(const softstep_heads_options& in) {
    HeadsOutputs<T> out;
    set_needed<T>(out.outputs, outputs, "outputs");
    if (log_sum_exp != nullptr) out.log_sum_exp = {static_cast<T*>(log_sum_exp), n_rows(in)};
    if (state != nullptr) out.state = state_of<T>(state);
    attention_forward<T>(inputs_of<T>(in, queries, keys, values), out, options_of(in));
  });
}

softstep_status softstep_heads_backward(const softstep_heads_options* options,
                                        const softstep_heads_array* queries, const softstep_heads_array* keys,
                                        const softstep_heads_array* values, const softstep_heads_state* state,
                                        const softstep_heads_array* output_gradient,
                                        const softstep_heads_array* query_gradient,
                                        const softstep_heads_array* key_gradient,
                                        const softstep_heads_array* value_gradient, void* bias_gradient,
                                        double* query_exponents, double* key_exponents) {
  return in_type(options, [&]<class T>(const softstep_heads_options& in) {
    HeadsGradients<T> out;
    set_array<T>(out.queries, query_gradient, "query_gradient");
    set_array<T>(out.keys, key_gradient, "key_gradient");
    set_array<T>(out.values, value_gradient, "value_gradient");
    if (bias_gradient != nullptr && in.bias == nullptr)
      throw InvalidArgument("bias_gradient", "given (options.bias is null)");
    if (bias_gradient != nullptr) out.bias = {static_cast<T*>(bias_gradient), in.bias_size};
    set_exponents(in, query_exponents, key_exponents, out);
    HeadsView<T> slopes;
    set_needed<T>(slopes, output_gradient, "output_gradient");
    attention_backward<T>(inputs_of<T>(in, queries, keys, values), *state_of<T>(state), slopes, out,
                          options_of(in));
  });
}

softstep_status softstep_heads_tangent(const softstep_heads_options* options,
                                       const softstep_heads_array* queries, const softstep_heads_array* keys,
                                       const softstep_heads_array* values, const softstep_heads_state* state,
                                       const softstep_heads_array* query_direction,
                                       const softstep_heads_array* key_direction,
                                       const softstep_heads_array* value_direction,
                                       const softstep_heads_array* output_tangent) {
  return in_type(options, [&]<class T>(const softstep_heads_options& in) {
    HeadsSpan<T> out;
    set_needed<T>(out, output_tangent, "output_tangent");
    attention_tangent<T>(inputs_of<T>(in, queries, keys, values), *state_of<T>(state),
                         direction_of<T>(query_direction, key_direction, value_direction), out,
                         options_of(in));
  });
}

softstep_status softstep_heads_hessian_product(
    const softstep_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values, const softstep_heads_state* state,
    const softstep_heads_array* output_gradient, const softstep_heads_array* query_direction,
    const softstep_heads_array* key_direction, const softstep_heads_array* value_direction,
    const softstep_heads_array* output_gradient_direction, const softstep_heads_array* query_product,
    const softstep_heads_array* key_product, const softstep_heads_array* value_product,
    double* query_exponents, double* key_exponents) {
  return in_type(options, [&]<class T>(const softstep_heads_options& in) {
    HeadsDirection<T> direction = direction_of<T>(query_direction, key_direction, value_direction);
    set_array<T>(direction.output_gradient, output_gradient_direction, "output_gradient_direction");
    HeadsGradients<T> out;
    set_array<T>(out.queries, query_product, "query_product");
    set_array<T>(out.keys, key_product, "key_product");
    set_array<T>(out.values, value_product, "value_product");
    set_exponents(in, query_exponents, key_exponents, out);
    HeadsView<T> slopes;
    set_needed<T>(slopes, output_gradient, "output_gradient");
    attention_hessian_product<T>(inputs_of<T>(in, queries, keys, values), *state_of<T>(state), slopes,
                                 direction, out, options_of(in));
  });
}
}
