#pragma once

// The forms a step is measured in: one row each.

#include "shapes.h"
#include "softstep/trainer.h"

namespace softstep::bench {

struct FormRow {
  softstep::Form form;
  bool does_dense_work;  ///< products with W, attention pass, update of W: what flops and shares count

  const char* name() const { return to_string(form); }
  /// Whether the form is a sensible one for a shape: no Gram matrix that dwarfs the tokens.
  bool fits(const Shape& shape) const {
    const std::size_t tokens = shape.n_samples * shape.n_tokens;
    if (form == softstep::Form::query_span) return shape.n_samples <= 4 * shape.dim;
    if (form == softstep::Form::token_span) return tokens <= 4096;
    return true;
  }
};

inline constexpr FormRow forms[] = {
    {softstep::Form::dense, true},
    {softstep::Form::query_span, false},
    {softstep::Form::token_span, false},
    {softstep::Form::automatic, false},
};

}  // namespace softstep::bench
