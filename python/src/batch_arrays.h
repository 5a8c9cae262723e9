#pragma once

// The arrays of a batch, looked at where they lie.

#include <nanobind/nanobind.h>

#include "array.h"
#include "softstep/batch.h"

namespace softstep::python {

/// Those that are not given are empty.
struct BatchArrays {
  Array tokens = {}, offsets = {}, labels = {}, targets = {}, decoder = {}, query_index = {}, queries = {},
        query_offsets = {}, query_weights = {};
  bool all_tokens_are_queries = false;
};

/// An array that is looked at as long as the Array lives; empty for None.
Array optional_array(nb::handle object, const char* name);

/// All of a BatchView but the tokens, whose type may be another. Throws InvalidArgument where shapes, strides
/// or types do not fit.
template <NumberType T>
BatchView<T> view_without_tokens(const BatchArrays& arrays);

}  // namespace softstep::python
