#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "softstep/batch.h"

namespace softstep {

/// Settings of the max-margin solver.
struct MaxMarginOptions {
  /// The local problem: one token of each sample, which is to win in place of opt_i. No decoder is needed then. Empty:
  /// the optimal tokens.
  std::vector<std::size_t> selected;
  /// Stop when both the relative duality gap and the KKT residual are at most this.
  double tolerance = 1e-10;
  /// Give up (status max_sweeps) after this many passes over the constraints (or products of the same cost).
  std::size_t max_sweeps = 100000;
  /// OpenMP threads; 0 means all available. The result has the same bits for any number.
  int n_threads = 1;
  /// Called after each sweep with (sweeps, duality_gap, kkt_residual); return false to stop (status
  /// interrupted).
  std::function<bool(std::size_t, double, double)> progress;
  /// Throws InvalidArgument naming the field that is out of range.
  void validate() const;
};

enum class MaxMarginStatus {
  not_run,
  optimal,         ///< duality gap and KKT residual are at most the tolerance
  not_separable,   ///< no W satisfies all constraints; `multipliers` (with sum 1) and `certificate` show it
  max_sweeps,      ///< out of sweeps, or (sweeps < max_sweeps) rounding errors alone exceed the tolerance
  interrupted,     ///< the callback asked to stop
  no_constraints  ///< every sample has one token: W = 0
};
const char* to_string(MaxMarginStatus status);

/// W_mm and its certificate. Everything a reader needs to check the answer without trusting the solver.
struct MaxMarginResult {
  MaxMarginStatus status = MaxMarginStatus::not_run;
  std::vector<double>
      weights;  ///< W_mm, dim x dim row-major; scaled so that the smallest margin is exactly feasible
  std::vector<double>
      multipliers;            ///< lambda >= 0, one per token (0 at opt_i or the selected one), in batch order
  double norm = 0.0;          ///< ||W_mm||_F
  double margin = 0.0;        ///< min over constraints of <A_k, W>/||W||_F (1/norm at the optimum)
  double duality_gap = 0.0;   ///< (primal - dual) / primal of the problem min 1/2 ||W||^2, for the feasible W
  double kkt_residual = 0.0;  ///< max over k of |min(lambda_k / max lambda, <A_k,W> - 1)| before scaling
  std::size_t n_constraints = 0;  ///< sum_i (T_i - 1)
  std::size_t n_support = 0;      ///< multipliers above 1e-9 of the largest
  std::size_t sweeps = 0;
  bool unique_optimal_tokens = true;  ///< false: some sample has two tokens of the same best score
  /// not_separable: ||sum lambda_k A_k||_F / (sum lambda_k * max ||A_k||_F), a Farkas certificate (0 =
  /// proof).
  double certificate = 0.0;
};

/// Hard-margin problem of the attention layer ("W-SVM", arXiv 2402.05738):
///   W_mm = argmin ||W||_F  subject to  (x_i,opt - x_it)^T W z_i >= 1  for all i and t != opt_i,
/// solved in the dual without ever forming the constraint matrix or its Gram matrix. Works in double
/// precision. Throws InvalidArgument for a bad batch or bad options; data that cannot be separated are a
/// status, not an error.
template <class T>
MaxMarginResult solve_max_margin(const BatchView<T>& batch, const MaxMarginOptions& options = {});

/// argmax_t x_it^T W z_i, the first of equals: the tokens that weights (dim x dim, row-major) attend to, for
/// MaxMarginOptions::selected. Throws InvalidArgument for a bad batch or where a score is not finite.
template <class T, class W>
std::vector<std::size_t> selected_tokens(const BatchView<T>& batch, const W* weights);

/// Hard-margin problem of n labelled points (rows of `dim`, labels -1 or +1), without intercept:
///   u_mm = argmin ||u||  subject to  y_i x_i^T u >= 1.
/// In the result `weights` is u_mm [dim] and `multipliers` has one entry per point. Throws InvalidArgument naming the argument.
template <class T>
MaxMarginResult solve_linear_max_margin(const T* points, const std::int8_t* labels, std::size_t n,
                                        std::size_t dim, const MaxMarginOptions& options = {});

}  // namespace softstep
