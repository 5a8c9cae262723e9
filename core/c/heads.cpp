#include <variant>

#include "core/c/guarded.h"
#include "softstep/attention.h"

struct softstep_heads_state {
  std::variant<softstep::HeadsState<double>, softstep::HeadsState<float>> of;
};

namespace softstep::c {
namespace {

template <class T>
constexpr softstep_type type_of = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;

// A HeadsView or HeadsSpan of the caller's array.
template <class Array, class T>
Array array_of(const softstep_heads_array* given, const char* name) {
  Array out;
  if (given == nullptr || given->data == nullptr) return out;
  if (given->strided != 0)
    out.strides = {given->origin, given->batch_stride, given->head_stride, given->row_stride};
  else
    out.strides.origin = given->origin;
  switch (given->type) {
    case SOFTSTEP_F16:
      out.storage = StoredType::f16;
      break;
    case SOFTSTEP_BF16:
      out.storage = StoredType::bf16;
      break;
    case type_of<T>:
      break;
    default:
      throw InvalidArgument(std::string(name) + ".type",
                            std::to_string(given->type) + " (need options.type, or 16 bits)");
  }
  if (in_16_bits(out.storage))
    out.halves = {static_cast<std::uint16_t*>(given->data), given->size};
  else
    out.numbers = {static_cast<T*>(given->data), given->size};
  return out;
}
template <class T>
HeadsView<T> view_of(const softstep_heads_array* given, const char* name) {
  return array_of<HeadsView<T>, T>(given, name);
}
template <class T>
HeadsSpan<T> span_of(const softstep_heads_array* given, const char* name) {
  return array_of<HeadsSpan<T>, T>(given, name);
}

template <class T>
HeadsInputs<T> inputs_of(const softstep_heads_options& in, const softstep_heads_array* queries,
                         const softstep_heads_array* keys, const softstep_heads_array* values) {
  HeadsInputs<T> out;
  out.shape = {in.batch, in.n_heads, in.n_key_heads, in.n_queries, in.n_keys, in.dim, in.value_dim};
  out.queries = view_of<T>(required(queries, "queries"), "queries");
  out.keys = view_of<T>(required(keys, "keys"), "keys");
  out.values = view_of<T>(required(values, "values"), "values");
  if (in.bias != nullptr)
    out.bias = {
        {static_cast<const T*>(in.bias), in.bias_size}, in.bias_per_batch != 0, in.bias_per_head != 0};
  return out;
}

HeadsOptions options_of(const softstep_heads_options& in) {
  HeadsOptions out;
  if (in.has_scale != 0) out.scale = in.scale;
  out.soft_cap = in.soft_cap;
  out.mask.causal = in.causal != 0;
  if (in.has_before != 0) out.mask.before = in.before;
  if (in.has_after != 0) out.mask.after = in.after;
  if (in.key_lengths != nullptr) out.mask.key_lengths = {in.key_lengths, in.batch};
  if (in.query_offsets != nullptr) out.mask.query_offsets = {in.query_offsets, in.batch + 1};
  if (in.key_offsets != nullptr) out.mask.key_offsets = {in.key_offsets, in.batch + 1};
  out.threads = in.n_threads;
  out.isa = word(in.isa);
  return out;
}

// Rows of queries of all heads and the batch, for the arrays whose size follows from the options.
std::size_t n_rows(const softstep_heads_options& in) {
  const std::size_t rows = in.query_offsets != nullptr ? static_cast<std::size_t>(in.query_offsets[in.batch])
                                                       : in.batch * in.n_queries;
  return rows * in.n_heads;
}

template <class T, class State>
auto* state_of(State* state) {
  if (state == nullptr) throw InvalidArgument("state", "null");
  auto* found = std::get_if<HeadsState<T>>(&state->of);
  if (found == nullptr) throw InvalidArgument("state", "of another type than options.type");
  return found;
}

// body.operator()<T>(options) in the type that is computed with.
template <class Body>
softstep_status in_type(const softstep_heads_options* given, Body body) {
  return guarded([&] {
    const softstep_heads_options in = read(required(given, "options"), "options");
    if (in.type == SOFTSTEP_F64)
      body.template operator()<double>(in);
    else if (in.type == SOFTSTEP_F32)
      body.template operator()<float>(in);
    else
      throw InvalidArgument("options.type", std::to_string(in.type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
  });
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
    *state = out.release();
  });
}
void softstep_heads_state_destroy(softstep_heads_state* state) { delete state; }

softstep_status softstep_heads_forward(const softstep_heads_options* options,
                                       const softstep_heads_array* queries, const softstep_heads_array* keys,
                                       const softstep_heads_array* values,
                                       const softstep_heads_array* outputs, void* log_sum_exp,
                                       softstep_heads_state* state) {
  return in_type(options, [&]<class T>(const softstep_heads_options& in) {
    HeadsOutputs<T> out;
    out.outputs = span_of<T>(required(outputs, "outputs"), "outputs");
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
    out.queries = span_of<T>(query_gradient, "query_gradient");
    out.keys = span_of<T>(key_gradient, "key_gradient");
    out.values = span_of<T>(value_gradient, "value_gradient");
    if (bias_gradient != nullptr) out.bias = {static_cast<T*>(bias_gradient), in.bias_size};
    if (query_exponents != nullptr) out.query_exponents = {query_exponents, n_rows(in)};
    if (key_exponents != nullptr)
      out.key_exponents = {key_exponents, in.batch * (in.n_key_heads != 0 ? in.n_key_heads : in.n_heads)};
    attention_backward<T>(inputs_of<T>(in, queries, keys, values), *state_of<T>(state),
                          view_of<T>(required(output_gradient, "output_gradient"), "output_gradient"), out,
                          options_of(in));
  });
}
}
