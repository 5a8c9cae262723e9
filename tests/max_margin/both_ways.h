#pragma once

// Small problems are solved by pivoting in their Gram matrix, larger ones by the ascent: tests of small ones
// take both ways.

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "softstep/max_margin.h"

namespace softstep::test {

/// What is the same however it has been found.
inline void check_same_answer(const MaxMarginResult& a, const MaxMarginResult& b) {
  INFO("one way " << to_string(a.status) << ", the other " << to_string(b.status));
  CHECK((a.status == MaxMarginStatus::not_separable) == (b.status == MaxMarginStatus::not_separable));
  CHECK(a.n_constraints == b.n_constraints);
  CHECK(a.unique_optimal_tokens == b.unique_optimal_tokens);
  if (a.status != MaxMarginStatus::optimal || b.status != MaxMarginStatus::optimal) return;
  // Of a feasible W: ||W - W_mm||^2 <= ||W||^2 - ||W_mm||^2 <= gap ||W||^2; the gap is known to some rounding
  // units of the longest sums.
  const double rounding = 1e3 * 0x1p-53;
  const double apart = std::sqrt(a.duality_gap + rounding) + std::sqrt(b.duality_gap + rounding);
  REQUIRE(a.weights.size() == b.weights.size());
  double squared = 0.0;
  for (std::size_t j = 0; j < a.weights.size(); ++j) {
    const double difference = a.weights[j] / a.norm - b.weights[j] / b.norm;
    squared += difference * difference;
  }
  // Two vectors of almost one length, each scaled to 1: twice as far apart at most.
  CHECK(std::sqrt(squared) <= 2.0 * apart);
}

/// The answer by the ascent and the usual one, held against each other; the usual one is returned, for the
/// test's own checks.
template <class T>
MaxMarginResult solve_both_ways(const BatchView<T>& batch, MaxMarginOptions options = {}) {
  MaxMarginResult usual = solve_max_margin(batch, options);
  options.max_gram_rows = 0;
  check_same_answer(solve_max_margin(batch, options), usual);
  return usual;
}

}  // namespace softstep::test
