#pragma once

// Hessian-vector products of an attention model (docs/mathematics.md, section 10), with the memory that one
// at a time needs.
//
// Every row and vector of a sample is kept as mantissas near 1 with an exponent of its own. A block is a sum
// of outer products of such rows, on the exponent of the largest. Tokens and queries are multiplied in T, all
// else is in double.

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

#include "core/models/attention/attention_space.h"
#include "core/models/attention/hessian_weights.h"

namespace softstep {

template <class T>
class AttentionHessian {
 public:
  explicit AttentionHessian(const AttentionData<T>& data);
  /// `layer` has chosen its samples. `shapes`: the model's blocks. Throws NotSupported where the loss has no
  /// second derivative.
  void product(AttentionSpace<T>& layer, std::span<const BlockShape> shapes, Point<T> at, Point<T> direction,
               std::vector<BlockGradient<T>>& out, int n_threads);

 private:
  /// Vectors, one a query of a sample: values(row) e^exponent[row].
  struct Rows {
    std::size_t width = 0;
    LargeArray<T> values;
    std::vector<double> exponent;
    void resize(std::size_t n, std::size_t n_cols) {
      width = n_cols;
      values.resize(n * n_cols);
      exponent.assign(n, 0.0);
    }
    T* row(std::size_t i) { return values.data() + i * width; }
    void normalise(std::size_t i);
    /// Adds a row of others; both have been normalised.
    void add(std::size_t i, Rows& others);
  };
  /// sum_i left_i right_i^T; without `right`, sum_i left_i.
  struct Product {
    Rows* left;
    Rows* right;
  };

  void scale_direction(Point<T> direction);
  void resize(std::size_t n);
  void project(std::size_t begin, std::size_t end, const AttentionSpace<T>& layer, Point<T> at);
  struct Tokens {
    const T* first;
    std::size_t stride;
  };
  /// The k-th sample. Returns false where the loss has no second derivative.
  bool do_sample(std::size_t k, const AttentionSpace<T>& layer, HessianWeights& weights,
                 std::vector<T>& decoded);
  Tokens tokens_of(std::size_t sample, std::vector<T>& decoded) const;
  /// What is given of a row.
  void score(std::size_t row, std::size_t sample, const AttentionSpace<T>& layer, Tokens tokens,
             HessianWeights& weights);
  HessianWeights::Slopes slopes_of(std::size_t sample, double pivot_score,
                                   const std::vector<HessianWeights::Margin>& margins, double poison) const;
  void make_row(const TokenWeights& weights, const T* tokens, std::size_t stride, double sign, Rows& rows,
                std::size_t row);
  void through_factors(std::size_t begin, std::size_t end, Point<T> at);
  void sum(std::span<const Product> products, int n_threads, BlockGradient<T>& out, std::size_t size);

  const AttentionData<T>& data_;
  const std::size_t d_, r_;
  std::size_t n_ = 0, n_samples_ = 0;      // rows, and what they are divided by
  std::vector<std::vector<T>> direction_;  // block k in units of e^log_unit_ 2^powers_[k]
  std::vector<int> powers_;
  double log_unit_ = 0.0;
  Rows queries_;                      // z
  Rows projected_, moved_;            // V and its derivative
  Rows moved_by_queries_;             // factored: the part of dQ in it
  Rows change_, gradient_, decoder_;  // X^T dr, X^T r, d(l' y X^T p)
  // Factored: Q^T z and dQ^T z; K^T X^T dr and dK^T X^T r.
  Rows query_factor_, query_change_, key_change_, key_gradient_;
  std::vector<HessianWeights> weights_;  // of each thread
  std::vector<std::vector<T>> tokens_;   // decoded from 16 bits
  LargeArray<T> scaled_;
  std::vector<double> total_;
};

extern template class AttentionHessian<float>;
extern template class AttentionHessian<double>;

}  // namespace softstep
