#pragma once

// What softmax and linear attention over heads share in C: arrays, masks, the type that is computed with.

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/guarded.h"
#include "softstep/attention.h"

namespace softstep::c {

template <class T>
constexpr softstep_type type_of = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;

[[noreturn]] inline void refuse_type(const char* name, softstep_type type) {
  throw InvalidArgument(std::string(name) + ".type",
                        std::to_string(type) + " (need options.type, or 16 bits)");
}

/// Sets a HeadsView<T> or HeadsSpan<T> to the caller's array; null or empty: leaves it as it is, not given.
template <class T, class Array>
void set_array(Array& out, const softstep_heads_array* given, const char* name) {
  if (given == nullptr || given->data == nullptr) return;
  out.strides.origin = given->origin;
  if (given->strided != 0) {
    out.strides.batch = given->batch_stride;
    out.strides.head = given->head_stride;
    out.strides.row = given->row_stride;
  }
  if (given->type == type_of<T>) {
    out.numbers = {static_cast<T*>(given->data), given->size};
    return;
  }
  if (given->type != SOFTSTEP_F16 && given->type != SOFTSTEP_BF16) refuse_type(name, given->type);
  out.storage = given->type == SOFTSTEP_F16 ? StoredType::f16 : StoredType::bf16;
  out.halves = {static_cast<std::uint16_t*>(given->data), given->size};
}

/// The same for an array that is needed.
template <class T, class Array>
void set_needed(Array& out, const softstep_heads_array* given, const char* name) {
  set_array<T>(out, required(given, name), name);
}

// Filled in where they lie: a struct that is made and then copied is read in other pieces than it was written
// in, which waits for the writes to reach the cache.
template <class Options>
void set_shape(HeadsShape& out, const Options& in) {
  out.batch = in.batch;
  out.n_heads = in.n_heads;
  out.n_key_heads = in.n_key_heads;
  out.n_queries = in.n_queries;
  out.n_keys = in.n_keys;
  out.dim = in.dim;
  out.value_dim = in.value_dim;
}

template <class Options>
void set_mask(HeadsMask& out, const Options& in) {
  out.causal = in.causal != 0;
  if (in.has_before != 0) out.before = in.before;
  if (in.has_after != 0) out.after = in.after;
  if (in.key_lengths != nullptr) out.key_lengths = {in.key_lengths, entries(in.batch, 0, "options.batch")};
  if (in.query_offsets != nullptr)
    out.query_offsets = {in.query_offsets, entries(in.batch, 1, "options.batch")};
  if (in.key_offsets != nullptr) out.key_offsets = {in.key_offsets, entries(in.batch, 1, "options.batch")};
}

/// body.operator()<T>(options) in the type that is computed with.
template <class Options, class Body>
softstep_status in_type(const Options* given, Body body) {
  return guarded([&] {
    const Given<Options> read_in(required(given, "options"), "options");
    const Options& in = *read_in;
    if (in.type == SOFTSTEP_F64)
      body.template operator()<double>(in);
    else if (in.type == SOFTSTEP_F32)
      body.template operator()<float>(in);
    else
      throw InvalidArgument("options.type", std::to_string(in.type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
  });
}

}  // namespace softstep::c
