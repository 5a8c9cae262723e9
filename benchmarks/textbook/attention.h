#pragma once

// The attention kernel in the form of the textbooks, for comparison only: p = softmax(s), mu = sum_t p_t
// gap_t, r_t = p_t (mu - gap_t), g = X^T r, over the same two passes over the tokens. It loses what the pivot
// form keeps as p_opt nears 1: gaps and gradients far below the rounding unit.

#include "simd/dispatch.h"

namespace softstep::bench {

/// As the kernel `attention`, by the name of an instruction set of this build; exponent 0, mean_gap and
/// largest as in the kernel.
void textbook_attention(const char* isa, const simd::AttentionArgs<float>* samples, std::size_t n,
                        simd::AttentionStats<float>* stats);
void textbook_attention(const char* isa, const simd::AttentionArgs<double>* samples, std::size_t n,
                        simd::AttentionStats<double>* stats);

}  // namespace softstep::bench
