#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/objective.h"

namespace softstep {

/// One trained array of a model: W, u, K, Q, p or w. n_rows x n_cols, row-major.
struct BlockShape {
  std::string name;
  std::size_t n_rows = 0, n_cols = 0;
  std::size_t size() const { return n_rows * n_cols; }
};

/// dL/d(block) = values * exp(exponent); each block with an exponent of its own.
template <class T>
struct BlockGradient {
  std::vector<T> values;
  double exponent = 0.0;  ///< natural logarithm; -infinity where the gradient is exactly zero
  double norm = 0.0;      ///< of `values`
};

template <class T>
struct ModelEvaluation {
  double loss = 0.0;                        ///< plain
  Scaled loss_scaled;                       ///< the same where a plain number underflows
  Scaled loss_gap;                          ///< L - L*, without cancellation
  std::vector<BlockGradient<T>> gradients;  ///< one per block
  /// Attention models, as in Evaluation; NaN elsewhere.
  double min_optimal_attention = 0.0, log10_one_minus_optimal_attention = 0.0;
  /// Share of samples with y f > 0 (attention and logistic models; NaN elsewhere).
  double accuracy = 0.0;
};

/// Some of a model's samples, by index; null: all of them.
struct SampleSet {
  const std::size_t* indices = nullptr;
  std::size_t n = 0;
};

/// A matrix of a model whose norm and direction are watched: made of whole blocks.
struct Observable {
  std::string name;  ///< "weights", "decoder"
  std::size_t n_rows = 0, n_cols = 0;
  std::size_t first_block = 0, n_blocks = 1;  ///< the blocks it is made of
};

/// A system with any number of trained arrays: its loss, loss gap and gradients, in the form that carries exponents beside
/// mantissas. Holds views of its data (the caller keeps them alive) and all work space; one object may not be used from two
/// threads at once.
template <class T>
class SOFTSTEP_EXPORT Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<BlockShape>& blocks() const = 0;
  virtual std::size_t n_samples() const = 0;
  /// Evaluates at the blocks `at` (one pointer per block) over some samples: the mean over those. Fields not asked for (Want)
  /// are left as they were. Non-finite blocks give non-finite results, never a crash.
  virtual void evaluate(const std::vector<const T*>& at, ModelEvaluation<T>& out, unsigned want = want_all,
                        SampleSet samples = {}) = 0;
  /// What is watched; the first is the one whose direction decides when a run has converged.
  virtual const std::vector<Observable>& observables() const = 0;
  /// Observable k of these blocks.
  virtual std::vector<double> observe(const std::vector<const double*>& at, std::size_t k) const = 0;
  /// L* in the mode chosen.
  virtual double optimal_loss() const = 0;
  virtual const std::string& isa() const = 0;
};

/// What stands for the key-query matrix.
enum class KeyQuery {
  combined,  ///< W, dim x dim: s = X W z
  factored,  ///< W = K Q^T, K and Q dim x rank: s = X K (Q^T z); W is never formed
  prompt     ///< one trained vector p in place of W z: s = X p
};

struct AttentionModelOptions {
  KeyQuery key_query = KeyQuery::combined;
  std::size_t rank = 0;        ///< columns of K and Q, 1 to dim; factored only
  bool train_decoder = false;  ///< joint training of the decoder u; then L* is `zero` (or a `value`)
  ObjectiveOptions objective;  ///< token_storage must be `working`
};

/// The attention layer of Objective with any of its parts trained. Blocks: "weights" [dim, dim], or "keys" and "queries" [dim,
/// rank], or "prompt" [dim, 1]; then "decoder" [dim, 1] if it is trained.
///   s_it = x_it^T W z_i,  f_i = u^T X_i^T softmax(s_i),  L = (1/n) sum_i l(y_i f_i)       (arXiv 2402.05738)
///   dL/dK = G Q,  dL/dQ = G^T K,  dL/dp = (1/n) sum_i g_i,  dL/du = (1/n) sum_i l'(m_i) y_i X_i^T p_i
/// Throws InvalidArgument naming what does not fit. With a trained decoder the batch needs none.
template <class T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_attention_model(const BatchView<T>& batch,
                                                               const AttentionModelOptions& options);

/// Linear logistic regression f = w^T x on the first token of each sample (batches of one token are points): the system that
/// the paper draws its analogy from. One block "weights" [dim, 1]; L* = 0 where the data are separable.
template <class T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_logistic_model(const BatchView<T>& batch,
                                                              const ObjectiveOptions& options);

}  // namespace softstep
