#pragma once

#include "core/losses/loss_terms.h"
#include "core/ranks/in_order.h"

namespace softstep {

/// sum_scaled() of the terms of all ranks; in their order with its bits.
inline Scaled sum_scaled(Ranks* ranks, const Scaled* terms, std::size_t n) {
  if (!are_several(ranks)) return sum_scaled(terms, n);
  double top = -INFINITY;
  for (std::size_t i = 0; i < n; ++i)
    if (terms[i].mantissa != 0.0 && terms[i].exponent > top) top = terms[i].exponent;
  top = largest_of_ranks(ranks, top);
  if (top == -INFINITY) top = 0.0;
  double sum = 0.0;
  add_over_ranks(ranks, sum, [&] {
    for (std::size_t i = 0; i < n; ++i)
      if (terms[i].mantissa != 0.0)
        sum += terms[i].mantissa * (terms[i].exponent == top ? 1.0 : std::exp(terms[i].exponent - top));
  });
  return {sum, top};
}

}  // namespace softstep
