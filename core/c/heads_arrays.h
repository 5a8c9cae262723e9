#pragma once

// What softmax and linear attention over heads share in C: arrays, masks, the type that is computed with.

#include <algorithm>

#include "core/c/guarded.h"
#include "softstep/attention.h"

namespace softstep::c {

template <class T>
constexpr softstep_type type_of = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;

/// A HeadsView or HeadsSpan of the caller's array.
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

template <class Options>
HeadsShape shape_of(const Options& in) {
  return {in.batch, in.n_heads, in.n_key_heads, in.n_queries, in.n_keys, in.dim, in.value_dim};
}

/// The size of a span over entries [batch + more] of the caller's.
inline std::size_t entries(std::size_t batch, std::size_t more) {
  if (batch > static_cast<std::size_t>(-1) / sizeof(std::int64_t) - more)
    throw InvalidArgument("options.batch", std::to_string(batch) + " is too large");
  return batch + more;
}

template <class Options>
HeadsMask mask_of(const Options& in) {
  HeadsMask out;
  out.causal = in.causal != 0;
  if (in.has_before != 0) out.before = in.before;
  if (in.has_after != 0) out.after = in.after;
  if (in.key_lengths != nullptr) out.key_lengths = {in.key_lengths, entries(in.batch, 0)};
  if (in.query_offsets != nullptr) out.query_offsets = {in.query_offsets, entries(in.batch, 1)};
  if (in.key_offsets != nullptr) out.key_offsets = {in.key_offsets, entries(in.batch, 1)};
  return out;
}

/// body.operator()<T>(options) in the type that is computed with.
template <class Options, class Body>
softstep_status in_type(const Options* given, Body body) {
  return guarded([&] {
    const Options in = read(required(given, "options"), "options");
    if (in.type == SOFTSTEP_F64)
      body.template operator()<double>(in);
    else if (in.type == SOFTSTEP_F32)
      body.template operator()<float>(in);
    else
      throw InvalidArgument("options.type", std::to_string(in.type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
  });
}

}  // namespace softstep::c
