#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"

namespace softstep {

/// In-context linear regression from several tasks: a prompt has examples of K tasks, one task after the
/// other, and a query. y = x^T b_k + noise for an example of task k, x^T b + noise for the query; x ~ N(0, S)
/// with a diagonal S, all b ~ N(0, I), E b_k b^T = rho_k I, and the tasks independent of each other given
/// that of the query.
struct SOFTSTEP_EXPORT MultitaskRegression {
  /// [dim] eigenvalues of S, each above 0, and at least 1e-80 of tr S + noise
  std::vector<double> spectrum = {};
  std::vector<std::size_t> n_examples = {};  ///< [K] examples of each task, in the order of the prompt
  std::vector<double> correlations = {};     ///< [K] rho_k, from -1 to 1, one of them at least 1e-30 in size
  double noise = 0.0;                        ///< variance of the noise, 0 or more
  /// Tasks.
  std::size_t n_tasks() const { return n_examples.size(); }
  /// n, of all tasks.
  std::size_t n_all_examples() const;
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// What the examples are weighted by.
enum class ExampleWeights {
  free,     ///< any numbers: weighted preconditioned gradient descent
  gated,    ///< products of gates, one behind each task but the last, trained as their log-odds
  constant  ///< products of gates that are given, as 1 for linear attention
};
SOFTSTEP_EXPORT const char* to_string(ExampleWeights weights);

/// Which weights are trained.
struct SOFTSTEP_EXPORT GatedOptions {
  ExampleWeights weights = ExampleWeights::gated;  ///< what the examples are weighted by
  std::vector<double> gates = {};  ///< [K - 1] of `constant` weights, each above 0 and at most 1
  std::string isa = {};            ///< instruction set; empty means active_isa()
  void validate() const;           ///< throws InvalidArgument naming the field
};

/// Gated linear attention on such prompts by the expected squared loss, without sampling (Y. Li, D.
/// Tarzanagh, A. S. Rawat, M. Fazel, S. Oymak, arXiv 2504.04308; the closed form of the loss is derived
/// here). A state Z_i = g_i Z_{i-1} + y_i x_i over the examples, and the prediction x^T P Z_n = x^T P sum_i
/// w_i y_i x_i: an example is weighted by the product of the gates behind it. With R_ij = E of b of examples
/// i and j, r_i = rho of example i, B = S^2 + (tr S + noise) S
///   L = tr S + noise - 2 (r^T w) tr(S P S) + (w^T R w) tr(S P S^2 P^T) + |w|^2 tr(S P B P^T)
/// Blocks: "matrix" P [dim, dim]; then "weights" w [n, 1], or "gates" [K - 1, 1], the log-odds of gates.
/// Observable "map" [n, dim^2]: row i is w_i P, which is what the prediction depends on. L* is the least loss
/// of free weights: gates reach it only where its weights ascend from task to task. The gap is a sum of
/// squares, without cancellation but for P and w less their optima; gradients have exponents, which count
/// where blocks are tiny or gates are shut. One sample: the population. Works in double whatever T, on one
/// thread. Throws InvalidArgument naming what is wrong.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_gated_model(const MultitaskRegression& data,
                                                           const GatedOptions& options = {});

/// The best weight of an example of each task, [K], over that of the last example whose task has one: w =
/// (R + h I)^-1 r up to a factor. Throws InvalidArgument.
SOFTSTEP_EXPORT std::vector<double> multitask_weights(const MultitaskRegression& data);

/// The least loss of all P for given weights of the tasks, [K]. Throws InvalidArgument for weights of another
/// number or not finite.
SOFTSTEP_EXPORT double multitask_loss(const MultitaskRegression& data, const std::vector<double>& weights);

}  // namespace softstep
