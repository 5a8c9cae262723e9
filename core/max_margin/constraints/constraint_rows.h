#pragma once

#include <cstddef>
#include <vector>

#include "core/data/batch_rows.h"
#include "core/max_margin/constraints/constraint_map.h"
#include "core/max_margin/constraints/query_basis.h"
#include "core/max_margin/constraints/rows_of_ranks.h"
#include "core/ranks/ordered_product.h"
#include "simd/dispatch.h"

namespace softstep {

/// The constraints A_k = D_k z_iq^T, D_k = x_i,opt - x_it, of a batch, one per query and token of its sample
/// in batch order (zero at the optimal tokens), each scaled to unit norm. For N constraints and n queries
/// products cost 2 N d + 2 n d rank multiply-adds and read the tokens where they lie; beside them are kept
/// two n x d arrays and the queries' coordinates.
///
/// Differences are formed in double: exact for most float32 tokens, else rounded once. A difference near the
/// ends of the range of double is taken times a power of two, so that its norm and the inverse keep all
/// digits.
///
/// With ranks the batch has the samples of this one, and the map has the rows of all: multipliers and values
/// are those of all samples on every rank, and each rank computes what its own samples give to them. The
/// numbers have the bits of one process that has all samples.
template <class T>
class ConstraintRows final : public ConstraintMap {
 public:
  /// `scores` by row of the batch (chosen_tokens). `ranks` may be null.
  ConstraintRows(const BatchView<T>& batch, const TokenScores& scores, const simd::Kernels<double>& kernels,
                 int n_threads, Ranks* ranks = nullptr);

  std::size_t n_rows() const override { return sizes_.size(); }
  std::size_t span_size() const override { return batch_.dim * basis_.rank; }
  void adjoint(const double* multipliers, double* span) override;
  void apply(const double* span, double* values) override;
  double squared_norm(const double* span) const override { return kernels_.dot(span_size(), span, span); }
  std::vector<std::pair<std::size_t, std::size_t>> blocks() const override;
  void share(double* values) override { all_.share(values); }
  /// Where its rows lie among those of all ranks.
  const RowsOfRanks& of_ranks() const { return all_; }
  void block_gram(std::size_t first, std::size_t count, double* gram) override;
  void unit_row(std::size_t k, double* span) const override;
  double product_cost() const override;
  std::vector<double> gram() override;

  const std::vector<double>& sizes() const override { return sizes_; }
  int exponent() const override { return exponent_; }
  std::size_t zero_row() const override { return zero_row_; }
  std::size_t matrix_size() const override { return batch_.dim * batch_.dim; }
  std::vector<double> matrix(const double* span) const override;
  void apply_matrix(const double* matrix, double* values) override;

 private:
  struct ScaledNorm {
    double norm;  // 0, or from 1 to 2
    int exponent;
  };
  ScaledNorm unit_query(std::size_t i, double* z) const;
  int choose_scale(std::size_t i, std::size_t t, double* row);
  void difference(std::size_t i, std::size_t t, double* out) const;
  void score_rows(double* values);
  void unit_differences(std::size_t i, std::size_t first_token, std::size_t count, double* out) const;

  data::BatchRows<T> batch_;
  const RowsOfRanks all_;  // every index of a row counts among these
  const TokenScores& scores_;
  const simd::Kernels<double>& kernels_;
  int n_threads_, row_threads_, product_threads_;
  OrderedProduct<double> product_;     // over the queries of all ranks
  std::vector<double> scales_;         // powers of two that difference() multiplies D_k by; 1 nearly always
  std::vector<double> inverse_norms_;  // 1 / (scale ||D_k||), 0 at optimal tokens
  std::vector<double> sizes_;          // of all rows; the other arrays are of those of this rank
  int exponent_ = 0;
  std::size_t zero_row_;
  QueryBasis basis_;
  std::vector<double> sums_;       // b_i = sum_t lambda_it D_it / ||D_it||, n x d
  std::vector<double> projected_;  // v_i = W z_i / ||z_i||, n x d
  std::vector<double> scratch_;    // one difference per thread
};

}  // namespace softstep
