#pragma once

// The arrays that softmax attention over heads reads.

#include <span>
#include <vector>

#include "array.h"
#include "head_arrays.h"
#include "softstep/attention.h"
#include "softstep/error.h"

namespace softstep::python {

struct HeadInputs {
  HeadInputs(Array q, Array k, Array v, Array b, const HeadOptions& options)
      : queries(std::move(q)), keys(std::move(k)), values(std::move(v)), bias(std::move(b)) {
    shape = shape_of_heads(queries, keys, values, options);
  }

  template <NumberType T>
  HeadsInputs<T> in() const {
    HeadsInputs<T> out{.shape = shape,
                       .queries = view_of_heads<T>(queries),
                       .keys = view_of_heads<T>(keys),
                       .values = view_of_heads<T>(values)};
    if (bias.given()) {
      bias.require(number_of<T>, ", as is computed with");
      bias.require_dims(4, "(batch or 1, heads or 1, queries, keys)");
      bias.require_contiguous();
      out.bias.per_batch = bias.extent(0) != 1;
      out.bias.per_head = bias.extent(1) != 1;
      const bool fits = (bias.extent(0) == 1 || bias.extent(0) == shape.batch) &&
                        (bias.extent(1) == 1 || bias.extent(1) == shape.n_heads) &&
                        bias.extent(2) == shape.n_queries && bias.extent(3) == shape.n_keys;
      if (!fits)
        throw InvalidArgument(
            "bias", "shape " + bias.shape_text() + " (need (batch or 1, heads or 1, queries, keys))");
      out.bias.numbers = bias.span<T>();
    }
    return out;
  }

  Array queries, keys, values, bias;
  HeadsShape shape = {};
};

/// All numbers of a contiguous array that is written; none where it is not given.
template <NumberType T>
std::span<T> packed(const Array& array) {
  if (!array.given()) return {};
  array.require(number_of<T>);
  array.require_contiguous();
  return {array.writable<T>(), array.size()};
}

}  // namespace softstep::python
