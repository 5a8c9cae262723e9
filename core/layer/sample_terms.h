#pragma once

// What the rows of one sample say of it together (docs/mathematics.md, section 13): its margin, and its gaps
// as pairs, each on the exponent of its largest part.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/layer/outcomes.h"
#include "core/layer/query_rows.h"
#include "core/layer/row_terms.h"
#include "core/losses/loss_of.h"

namespace softstep {

template <class T>
SampleTerms pooled_terms(const Outcomes<T>& outcomes, const PassRows& rows, std::size_t k,
                         const Scoring<T>& scoring, std::vector<Scaled>& space) {
  const std::size_t sample = rows.samples()[k], first = rows.first(k), m = rows.of_batch().of(sample);
  const std::size_t in_batch = rows.first_of_batch(k);
  space.resize(2 * m);
  Scaled *to_optimal = space.data(), *to_pivot = space.data() + m;
  double pivot_gap = 0.0;
  for (std::size_t q = 0; q < m; ++q) {
    const RowTerms terms = terms_of(outcomes, first + q, scoring, sample);
    const double weight = rows.of_batch().weight(in_batch + q);
    to_optimal[q] = terms.gap_to_optimal();
    to_pivot[q] = terms.gap_to_pivot();
    to_optimal[q].mantissa *= weight;
    to_pivot[q].mantissa *= weight;
    pivot_gap += weight * terms.plain(terms.pivot_gap);
  }
  SampleTerms out;
  out.optimal_score = rows.of_batch().total_weight(sample) * scoring.optimal_score(sample);
  out.score_of_pivots = out.optimal_score - pivot_gap;
  out.to_optimal = sum_scaled(to_optimal, m);
  out.to_pivots = sum_scaled(to_pivot, m);
  return out;
}

/// Of these samples.
template <class T>
void pool(const PassRows& rows, Team::Range share, const Scoring<T>& scoring, Outcomes<T>& outcomes) {
  std::vector<Scaled> space;
  for (std::size_t k = share.begin; k < share.end; ++k)
    outcomes.pooled[k] = pooled_terms(outcomes, rows, k, scoring, space);
}

}  // namespace softstep
