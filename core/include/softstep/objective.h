#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/scaled.h"

namespace softstep {

template <class T>
class Layer;  // internal

/// Decreasing loss of the margin m: logistic log(1 + e^-m) or exponential e^-m.
enum class Loss { logistic, exponential };

/// What the loss gap L - L* is measured from.
enum class OptimalLoss {
  optimal,   ///< (1/n) sum_i l(gamma_i,opt): the infimum over W
  selected,  ///< (1/n) sum_i l(gamma_i,a), a = argmax_t of the current scores: local convergence
  value,     ///< a number given by the caller (plain subtraction: as exact as that number is)
  zero       ///< 0: the gap is the loss itself
};

/// How the kernels read tokens, with float32: as they are, or from a copy in 16 bits, converted in registers and computed
/// with in float32. Half the memory traffic; tokens rounded once, by 2^-11 (f16) or 2^-8 (bf16) of themselves, not at all
/// where they came from such a file. Token scores, queries and W_mm are those of the batch.
enum class StoredTokens { working, f16, bf16 };

SOFTSTEP_EXPORT const char* to_string(Loss loss);
SOFTSTEP_EXPORT const char* to_string(OptimalLoss mode);
SOFTSTEP_EXPORT const char* to_string(StoredTokens type);
SOFTSTEP_EXPORT Loss parse_loss(const std::string& name);  ///< throws InvalidArgument listing the known names
SOFTSTEP_EXPORT OptimalLoss parse_optimal_loss(const std::string& name);    ///< likewise
SOFTSTEP_EXPORT StoredTokens parse_stored_tokens(const std::string& name);  ///< likewise

struct SOFTSTEP_EXPORT ObjectiveOptions {
  Loss loss = Loss::logistic;
  OptimalLoss optimal_loss = OptimalLoss::optimal;
  double optimal_loss_value = 0.0;  ///< used with OptimalLoss::value; finite
  int n_threads = 1;                ///< OpenMP threads; 0 means all available; same bits for any number
  StoredTokens token_storage =
      StoredTokens::working;  ///< 16 bits for Objective<float>; f16 must hold every token
  std::string isa;            ///< instruction set; empty means active_isa()
  void validate() const;      ///< throws InvalidArgument naming the field
};

/// What evaluate() is asked for; everything else in Evaluation is left as it was.
enum Want : unsigned {
  want_gradient = 1u,   ///< gradient, gradient_exponent, gradient_norm
  want_loss_gap = 2u,   ///< loss_gap; of a Model the loss too
  want_attention = 4u,  ///< attention of the optimal tokens
  want_loss = 8u,       ///< loss, which no step rule needs
  want_all = 15u
};

/// Value, gap and gradient at one W. The gradient is the pair (mantissa, exponent): dL/dW = gradient *
/// exp(exponent).
template <class T>
struct Evaluation {
  double loss = 0.0;               ///< L(W), plain
  Scaled loss_gap;                 ///< L - L*, without cancellation
  std::vector<T> gradient;         ///< G', dim x dim row-major
  double gradient_exponent = 0.0;  ///< C (natural logarithm); -infinity where the gradient is exactly zero
  double gradient_norm = 0.0;      ///< ||G'||_F, of the mantissa
  double min_optimal_attention = 0.0;              ///< min_i p_i,opt
  double log10_one_minus_optimal_attention = 0.0;  ///< log10 max_i (1 - p_i,opt); right far below 1e-16
  Scaled gradient_norm_scaled() const { return {gradient_norm, gradient_exponent}; }
};

/// L(W) = (1/n) sum_i l(y_i u^T X_i^T softmax(X_i W z_i)) for a fixed decoder u, in the pivot form that
/// carries the exponent beside the mantissa. Holds views of the batch (caller keeps it alive) and all work
/// space: evaluate() allocates nothing after the first call. One object may not be used from two threads at
/// once.
///
/// Error: the direction of the gradient is within K u (1 + S) of the exact one, u the unit roundoff, S the largest
/// |x|^T |W| |z|, K of the order of dim + n_tokens; far less when one token dominates. Derived in
/// core/reference/error_bounds.h, held by tests/objective.
template <class T>
class SOFTSTEP_EXPORT Objective {
 public:
  /// Validates the batch (which must have a decoder) and the options; throws InvalidArgument.
  Objective(const BatchView<T>& batch, const ObjectiveOptions& options = {});
  ~Objective();
  Objective(Objective&&) noexcept;
  Objective& operator=(Objective&&) noexcept;

  /// Evaluates at W (dim x dim, row-major, s_i = X_i W z_i). A non-finite W gives non-finite results, never a
  /// crash.
  void evaluate(const T* weights, Evaluation<T>& out, unsigned want = want_all);

  /// Attention p_it of every token at W, in batch order: sum over samples of T_i values.
  std::vector<double> attention(const T* weights);

  const BatchView<T>& batch() const;
  const TokenScores& token_scores() const;
  const ObjectiveOptions& options() const;
  /// Name of the instruction set the kernels run on.
  const std::string& isa() const;
  /// Threads asked for in evaluate() with a gradient: 1 where the work does not pay for more.
  int threads_used() const;
  /// L* in the mode chosen; for `selected` the value at the last evaluation.
  double optimal_loss() const;

 private:
  friend class Layer<T>;
  struct SOFTSTEP_HIDDEN Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class Objective<float>;
extern template class Objective<double>;

}  // namespace softstep
