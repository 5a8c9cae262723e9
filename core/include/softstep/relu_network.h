#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/model.h"

namespace softstep {

/// A network with one hidden layer, f(x) = sum_k a_k relu(w_k^T x), and how it is trained on a batch.
struct SOFTSTEP_EXPORT ReluOptions {
  std::size_t n_neurons = 0;  ///< m
  /// a, one for each neuron, which stays as it is. Empty: a is trained, as a block of its own.
  std::vector<double> outer = {};
  Loss loss = Loss::logistic;                              ///< one of the losses that come with the library
  std::shared_ptr<const LossFunction> own_loss = nullptr;  ///< in place of `loss`: make_correlation_loss()
  /// zero or a value; a loss that is unbounded below has no L* unless a value is given.
  OptimalLoss optimal_loss = OptimalLoss::zero;
  double optimal_loss_value = 0.0;  ///< used with OptimalLoss::value; finite
  std::string isa = {};             ///< instruction set; empty means active_isa()
  void validate() const;            ///< throws InvalidArgument naming the field
};

/// The network on the first token of each sample (batches of one token are points):
///   L = (1/n) sum_i l(y_i f(x_i)),   dL/dw_k = (1/n) sum_i l'(m_i) y_i a_k [w_k^T x_i >= 0] x_i
/// Blocks: "weights" [m, dim], row k is w_k; then "outer" [m, 1] if a is trained. At a kink the derivative of
/// relu is 1. Loss and gradients with exponents of their own, right far below what a plain number holds.
/// Works in double whatever T, on one thread; a workspace holds n m numbers. The model keeps a copy of the
/// points. Throws InvalidArgument for a bad batch or options, and a loss that does not fit labels or targets.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_relu_model(const BatchView<T>& batch,
                                                          const ReluOptions& options);

/// Labelled Gaussian clusters: with probability pi_c a point of N(mu_c, sigma^2 I) and the label y_c.
struct SOFTSTEP_EXPORT GaussianClusters {
  std::size_t dim = 0;                     ///< d
  std::vector<double> means = {};          ///< [n_clusters, dim] row-major, mu_c
  std::vector<double> probabilities = {};  ///< [n_clusters] pi_c, each above 0, adding up to 1
  std::vector<std::int8_t> labels = {};    ///< [n_clusters] y_c, each -1 or +1
  double sigma = 0.0;                      ///< 0: every point lies at its mean
  /// Clusters.
  std::size_t n_clusters() const { return labels.size(); }
  void validate() const;  ///< throws InvalidArgument naming the first field that is wrong
};

/// The expected correlation loss of the same network, without samples: L = -E y f(x) over the clusters. With
/// w' = w / |w|, m_c = w'^T mu_c / sigma, Phi and phi the normal distribution and its density
///   E_c relu(w^T x) = |w| (w'^T mu_c Phi(m_c) + sigma phi(m_c))
///   -dL/dw_k = a_k sum_c pi_c y_c (Phi(m_c) mu_c + sigma phi(m_c) w'_k)
/// (B. Vasudeva, J. Lee, V. Sharan, M. Soltanolkotabi, arXiv 2505.24022; for sigma = 0 Phi is a step, 1 at
/// 0.) A neuron at 0 sees every cluster, as relu has derivative 1 there. Blocks as above: "weights"
/// [n_neurons, dim], and "outer" if `outer` is empty. A sample is a cluster. Gradients with an exponent,
/// which counts where every neuron turns away from every cluster. L is unbounded below: L* = -infinity, and
/// rules that need it are refused. Works in double whatever T, on one thread. Throws InvalidArgument naming
/// what is wrong.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_relu_population_model(const GaussianClusters& clusters,
                                                                     std::size_t n_neurons,
                                                                     const std::vector<double>& outer = {},
                                                                     const std::string& isa = "");

}  // namespace softstep
