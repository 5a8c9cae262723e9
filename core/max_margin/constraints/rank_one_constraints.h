#pragma once

#include <cstddef>
#include <vector>

#include "softstep/batch.h"

namespace softstep {

/// The constraints A_k = D_k z_i^T of a batch, D and z written out in double, those of one query one after
/// the other; "sample" is one query of one here.
struct RankOneConstraints {
  std::size_t dim = 0, n_samples = 0, n_slots = 0;
  /// What is written here is A_k 2^exponent. Unless entries are near the ends of the range it is 0, and D and
  /// z are those given; else each z_i is near 1.
  int exponent = 0;
  std::vector<double> differences;  ///< D_k, N x dim
  std::vector<double> queries;      ///< z_i, n_samples x dim
  std::vector<std::size_t> first;   ///< [n_samples + 1] first constraint of each sample
  std::vector<std::size_t> owner;   ///< sample of constraint k
  std::vector<std::size_t> slot;    ///< token of constraint k, in batch order
  std::size_t size() const { return owner.size(); }

  const double* difference(std::size_t k) const { return differences.data() + k * dim; }
  const double* query(std::size_t i) const { return queries.data() + i * dim; }
  /// <A_k, W> for all k.
  std::vector<double> values(const std::vector<double>& weights) const;
  /// ||A_k|| in the Frobenius norm.
  std::vector<double> lengths() const;
  /// sum_k multipliers_k A_k, dim x dim row-major.
  std::vector<double> combination(const std::vector<double>& multipliers) const;
};

/// `chosen` by row of the batch (chosen_tokens).
template <class T>
RankOneConstraints written_constraints(const BatchView<T>& batch, const TokenScores& chosen);

}  // namespace softstep
