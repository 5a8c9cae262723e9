#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/metrics.h"

namespace softstep {

class Ranks;

/// Settings of the max-margin solver.
struct SOFTSTEP_EXPORT MaxMarginOptions {
  /// The local problem: one token of each sample, or for each query, which is to win in place of opt_i. No
  /// decoder is needed then. Empty: the optimal tokens.
  std::vector<std::size_t> selected = {};
  /// Stop when both the relative duality gap and the KKT residual are at most this.
  double tolerance = 1e-10;
  /// Give up (status max_sweeps) after this many passes over the constraints (or products of the same cost).
  std::size_t max_sweeps = 100000;
  /// OpenMP threads; 0 means all available. The result has the same bits for any number.
  int n_threads = 1;
  /// Called after each sweep with (sweeps, duality_gap, kkt_residual), and within long work between sweeps;
  /// return false to stop (status interrupted).
  std::function<bool(std::size_t, double, double)> progress = {};
  /// With at most so many rows (tokens of every query, of tied ones none) their Gram matrix is formed, and
  /// the dual solved by pivoting from face to face: one sweep in place of tens, and the same certificate.
  /// Where that does not reach the tolerance the ascent begins as it does for more rows. 0: never.
  std::size_t max_gram_rows = 128;
  /// solve_max_margin() alone: processes that the samples are split over (softstep/ranks.h). The batch has
  /// those of this rank, and so has `selected`; all ranks call together with settings that are alike, and
  /// return the answer for all samples, with its multipliers, with the same bits for any number of ranks. One
  /// whose callback asks to stop, or that Ranks::wants_stop(), stops all. Null: all samples are here.
  std::shared_ptr<Ranks> ranks = nullptr;
  /// Throws InvalidArgument naming the field that is out of range.
  void validate() const;
};

/// How a max-margin solver ended.
enum class MaxMarginStatus {
  not_run,         ///< no solver has run
  optimal,         ///< duality gap and KKT residual are at most the tolerance
  not_separable,   ///< proven: no W satisfies the constraints; `multipliers` and `certificate` show it
  max_sweeps,      ///< out of sweeps before the tolerance was reached
  interrupted,     ///< the callback asked to stop
  no_constraints,  ///< every sample has one token: W = 0
  inconsistent_equalities,  ///< equal scores force a margin to 0 (ties): `multipliers` and `certificate` show
                            ///< it
  at_rounding,  ///< in double precision nothing improves the answer further, and it does not reach the
                ///< tolerance
  undecided     ///< no W has a margin above 1e-13 of the constraints' lengths; whether one has any was not
                ///< decided
};
SOFTSTEP_EXPORT const char* to_string(MaxMarginStatus status);

/// W_mm and its certificate. Everything a reader needs to check the answer without trusting the solver.
struct MaxMarginResult {
  MaxMarginStatus status = MaxMarginStatus::not_run;  ///< how the solver ended
  std::vector<double> weights =
      {};  ///< W_mm, dim x dim row-major; scaled so that the smallest margin is exactly feasible
  std::vector<double> multipliers = {};  ///< lambda >= 0, one per token (0 at opt_i or the selected one), in
                                         ///< batch order; of several queries one per token of each
  double norm = 0.0;                     ///< ||W_mm||_F
  double margin = 0.0;                   ///< min over constraints of <A_k, W>/||W||_F (1/norm at the optimum)
  double duality_gap = 0.0;   ///< (primal - dual) / primal of the problem min 1/2 ||W||^2, for the feasible W
  double kkt_residual = 0.0;  ///< max over k of |min(lambda_k / max lambda, <A_k,W> - 1)| before scaling
  std::size_t n_constraints = 0;      ///< sum_i m_i (T_i - 1) for m_i queries
  std::size_t n_support = 0;          ///< multipliers above 1e-9 of the largest
  std::size_t sweeps = 0;             ///< passes over the constraints, or products of the same cost
  bool unique_optimal_tokens = true;  ///< false: some sample has two tokens of the same best score
  /// not_separable, undecided: ||sum lambda_k A_k||_F / (sum lambda_k * max ||A_k||_F), which bounds the
  /// margin that a W may have. not_separable is said only where an exact ray, sum mu_k A_k = 0 with mu >= 0,
  /// is proven to lie beside the rounded multipliers (docs/mathematics.md, section 6.2).
  double certificate = 0.0;
};

/// Hard-margin problem of the attention layer ("W-SVM", arXiv 2402.05738):
///   W_mm = argmin ||W||_F  subject to  (x_i,opt - x_it)^T W z_iq >= 1  for all i, t != opt_i and queries q,
/// solved in the dual without forming the constraint matrix, nor but for few rows its Gram matrix. Works in
/// double precision. Throws InvalidArgument for a bad batch or bad options; data that cannot be separated are
/// a status, not an error. With ranks it throws on all of them where it does on one (softstep/ranks.h).
template <NumberType T>
SOFTSTEP_EXPORT MaxMarginResult solve_max_margin(const BatchView<T>& batch,
                                                 const MaxMarginOptions& options = {});

/// argmax_t x_it^T W z_iq for every query, the first of equals: the tokens that weights (dim x dim,
/// row-major) attend to, for MaxMarginOptions::selected. Throws InvalidArgument for a bad batch or where a
/// score is not finite.
template <NumberType T>
SOFTSTEP_EXPORT std::vector<std::size_t> selected_tokens(const BatchView<T>& batch,
                                                         std::span<const float> weights);
template <NumberType T>
SOFTSTEP_EXPORT std::vector<std::size_t> selected_tokens(const BatchView<T>& batch,
                                                         std::span<const double> weights);

/// Hard-margin problem of labelled points (n rows of `dim`, n labels -1 or +1), without intercept:
///   u_mm = argmin ||u||  subject to  y_i x_i^T u >= 1.
/// In the result `weights` is u_mm [dim] and `multipliers` has one entry per point. Throws InvalidArgument
/// naming the argument.
SOFTSTEP_EXPORT MaxMarginResult solve_linear_max_margin(std::span<const float> points,
                                                        std::span<const std::int8_t> labels, std::size_t dim,
                                                        const MaxMarginOptions& options = {});
SOFTSTEP_EXPORT MaxMarginResult solve_linear_max_margin(std::span<const double> points,
                                                        std::span<const std::int8_t> labels, std::size_t dim,
                                                        const MaxMarginOptions& options = {});

/// W_mm under equalities, and their part of the certificate. `solution.duality_gap` is that of
/// sum_k lambda_k A_k + sum_e mu_e E_e against W; `solution.kkt_residual` is the worst of complementarity and
/// of the two residuals here.
struct TiedMaxMarginResult {
  /// As ever; one multiplier per token, 0 at the tied ones.
  MaxMarginResult solution = {};
  /// mu, one per token, of E = (x_i,first - x_is) z_i^T for the tied tokens s but the first of each sample; 0
  /// elsewhere.
  std::vector<double> equality_multipliers = {};
  double equality_residual = 0.0;      ///< max_e |<E_e, W>| / (||E_e|| ||W||)
  double stationarity_residual = 0.0;  ///< ||W - sum lambda A - sum mu E|| / ||W||
  std::size_t n_equalities = 0;        ///< equalities between tied tokens
  std::size_t equality_rank = 0;       ///< linearly independent equalities
};

/// The general problem, several tokens S_i of each sample that share the best score:
///   argmin ||W||_F  subject to  (x_is - x_is')^T W z_i = 0 for s, s' in S_i,
///                               (x_is - x_it)^T W z_i >= 1 for t not in S_i, each for every query z_i.
/// `tied` holds S_i, indices of distinct tokens, at least one a sample. No decoder is needed. The constraints
/// are written out, so for small problems: memory (sum_i T_i) d^2, time quadratic in the number of
/// equalities. Data that cannot be separated, or equalities that contradict a margin, are a status. Throws
/// InvalidArgument naming field and sample.
template <NumberType T>
SOFTSTEP_EXPORT TiedMaxMarginResult
solve_max_margin_with_ties(const BatchView<T>& batch, const std::vector<std::vector<std::size_t>>& tied,
                           const MaxMarginOptions& options = {});

/// Next-token prediction ("NTP-SVM"): context z_i (row i of `contexts`, `dim` elements) may be followed by
/// the tokens of supports[i], among n_vocabulary. The problem above with the unit vectors e_v as tokens:
///   argmin ||W||_F  subject to  (e_v - e_v')^T W z_i = 0 within the support,
///                               >= 1 between the support and the rest.
/// W is n_vocabulary x dim; multipliers have an entry per context and vocabulary token, n x n_vocabulary.
SOFTSTEP_EXPORT TiedMaxMarginResult solve_next_token_max_margin(
    std::span<const float> contexts, std::size_t dim, std::size_t n_vocabulary,
    const std::vector<std::vector<std::size_t>>& supports, const MaxMarginOptions& options = {});
SOFTSTEP_EXPORT TiedMaxMarginResult solve_next_token_max_margin(
    std::span<const double> contexts, std::size_t dim, std::size_t n_vocabulary,
    const std::vector<std::vector<std::size_t>>& supports, const MaxMarginOptions& options = {});

/// Settings of the max-margin solver in other norms.
struct SOFTSTEP_EXPORT NormMaxMarginOptions {
  MatrixNorm norm = MatrixNorm::nuclear;   ///< frobenius, l_p or nuclear
  double p = 2.0;                          ///< of l_p, above 1
  double tolerance = 1e-8;                 ///< relative duality gap to reach
  std::size_t max_sweeps = 100000;         ///< sweeps for W_mm, where it starts, and Newton steps together
  int n_threads = 1;                       ///< for W_mm
  std::vector<std::size_t> selected = {};  ///< as in MaxMarginOptions
  std::function<bool(std::size_t, double, double)> progress =
      {};                 ///< likewise; infinite before there is a gap
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// argmin ||W|| subject to (x_i,chosen - x_it)^T W z_i >= 1 in the entrywise l_p norm or the nuclear norm, by
/// interior-point methods for small problems: a Newton step costs N^3 / 3 + N^2 d + n^2 d^2 multiply-adds for
/// N constraints (l_p) or N^3 / 3 + 3 N^2 d (nuclear), and stores N^2 numbers.
///
/// Of the result `norm`, `margin` and `duality_gap` are in that norm: with the dual norm ||.||_* (l_q,
/// spectral) any lambda >= 0 gives the lower bound sum lambda / ||sum lambda A||_*, and duality_gap = (norm -
/// bound) / norm. `multipliers` are scaled so that the bound is their sum. `kkt_residual` is the worst of
/// |min(lambda_k / max lambda, <A_k, W> - 1)| and 1 - <sum lambda A, W> / (||W|| ||sum lambda A||_*);
/// interior points leave it of the order of the root of the gap where a constraint is all but active. Status
/// optimal: the gap is at most the tolerance; at_rounding: the steps lead no further in double precision and
/// leave the gap that is reported (measured on samples of like size: below 1e-8 for p from 1.01 to 10 and for
/// the nuclear norm, below 1e-7 up to p = 1000; with samples and queries from 1e-4 to 1e4 below 1e-6 for the
/// nuclear norm and p up to 3). `n_support` counts multipliers above 1e-6 of the largest. Not separable and
/// no constraints as solve_max_margin. Throws InvalidArgument.
template <NumberType T>
SOFTSTEP_EXPORT MaxMarginResult solve_max_margin_in_norm(const BatchView<T>& batch,
                                                         const NormMaxMarginOptions& options = {});

}  // namespace softstep
