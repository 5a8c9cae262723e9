#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/model.h"
#include "softstep/stored_type.h"

namespace softstep {

class Ranks;

/// What stands for the key-query matrix.
enum class KeyQuery {
  combined,  ///< W, dim x dim: s = X W z
  factored,  ///< W = K Q^T, K and Q dim x rank: s = X K (Q^T z); W is never formed
  prompt     ///< one trained vector p in place of W z, of samples with one query: s = X p
};

/// What of the layer is trained, by which loss, and how it is computed.
struct SOFTSTEP_EXPORT AttentionOptions {
  KeyQuery key_query = KeyQuery::combined;  ///< what is trained in the place of W
  std::size_t rank = 0;                     ///< columns of K and Q, 1 to dim; factored only
  bool train_decoder = false;  ///< joint training of the decoder u; then L* is `zero` (or a `value`)
  Loss loss = Loss::logistic;  ///< one of the losses that come with the library
  std::shared_ptr<const LossFunction> own_loss = nullptr;  ///< in place of `loss`
  OptimalLoss optimal_loss = OptimalLoss::optimal;         ///< what the loss gap is measured from
  double optimal_loss_value = 0.0;                         ///< used with OptimalLoss::value; finite
  int n_threads = 1;  ///< OpenMP threads; 0 means all available; same bits for any number
  /// How the kernels read tokens: as they are (`working`), or f16 or bf16, a copy that is converted in
  /// registers and computed with in float32. Half the memory traffic; tokens rounded once, by 2^-11 (f16,
  /// which must hold every token) or 2^-8 (bf16) of themselves, not at all where they came from such a file.
  /// Token scores, queries and W_mm are those of the batch. 16 bits go with float32, W combined and a fixed
  /// decoder.
  StoredType token_storage = StoredType::working;
  std::string isa = {};  ///< instruction set; empty means active_isa()
  /// Processes that the samples are split over (softstep/ranks.h): the batch has those of this rank, and the
  /// model is that of all samples, with the same bits for any number of ranks. Making the model, making a
  /// workspace and evaluating are then done by all ranks together. Null: this process has all samples.
  std::shared_ptr<Ranks> ranks = nullptr;
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// The softmax attention layer, L = (1/n) sum_i l(y_i f_i), with any of its parts trained:
///   s_it = x_it^T W z_i,  f_i = u^T X_i^T softmax(s_i)                                  (arXiv 2402.05738)
///   dL/dW = (1/n) sum_i g_i z_i^T,  dL/dK = G Q,  dL/dQ = G^T K,  dL/dp = (1/n) sum_i g_i,
///   dL/du = (1/n) sum_i l'(m_i) y_i X_i^T p_i
/// A batch may have several queries a sample (BatchView), f_i = sum_q w_iq u^T X_i^T softmax(X_i W z_iq):
/// then g_i z_i^T is a sum over them, X_i^T p_i one with weights, and the optimal loss that of m_i =
/// gamma_i,opt sum_q w_iq (docs/mathematics.md, section 13). A prompt stands in place of one query.
///
/// Blocks: "weights" [dim, dim], or "keys" and "queries" [dim, rank], or "prompt" [dim, 1]; then "decoder"
/// [dim, 1] if it is trained. Gradients are in pivot form, which carries the exponent beside the mantissa
/// (docs/mathematics.md, section 2).
///
/// Error: the direction of the gradient is within K u (1 + S) of the exact one, u the unit roundoff, S the
/// largest |x|^T |W| |z|, K of the order of dim + n_tokens; far less when one token dominates. Derived in
/// core/reference/error_bounds.h, held by tests/models.
///
/// hessian_product: one mantissa in the shape of each block, with the block's exponent, exact zero at
/// -infinity; all blocks together, with their cross terms. Error of each block: K u (1 + S) times the sum of
/// its terms in absolute value, as they may cancel (docs/mathematics.md, sections 9.4 and 10). The softmax is
/// in double. Throws NotSupported for a loss without second derivative.
template <NumberType T>
class SOFTSTEP_EXPORT AttentionModel final : public Model<T> {
 public:
  /// Validates the batch and the options; throws InvalidArgument naming what does not fit. The batch must
  /// have a decoder unless it is trained.
  explicit AttentionModel(const BatchView<T>& batch, const AttentionOptions& options = {});
  /// A model of tokens in 16 bits where they lie: the same bits as that of the same tokens in float32 with
  /// `token_storage` set to their type, without a copy or a float32 form of them. `token_storage` is the
  /// batch's, or working, which means it here. W is combined and the decoder given.
  explicit AttentionModel(const HalfBatchView& batch,
                          const AttentionOptions& options = {}) requires std::same_as<T, float>;
  ~AttentionModel() override;
  /// A model can be moved; what is left may be destroyed or assigned to.
  AttentionModel(AttentionModel&&) noexcept;
  /// As the constructor above.
  AttentionModel& operator=(AttentionModel&&) noexcept;

  const std::vector<BlockShape>& blocks() const override;
  std::size_t n_samples() const override;
  std::vector<Observable> observables() const override;
  double optimal_loss() const override;
  std::string isa() const override;
  int threads_used() const override;
  std::string identity() const override;
  std::unique_ptr<Workspace> make_workspace() const override;

  /// Attention p_it of every token, in batch order: sum over samples of T_i values. Of several queries the
  /// mean by weight.
  std::vector<double> attention(Point<T> at) const;
  std::vector<double> attention(std::span<const T> block) const;  ///< of a model of one block

  /// Its tokens are null if the model was made of a HalfBatchView.
  const BatchView<T>& batch() const;
  /// The options that it was made with.
  const AttentionOptions& options() const;
  /// Of the batch's decoder. Throws InvalidArgument if the decoder is trained.
  const TokenScores& token_scores() const;

  struct SOFTSTEP_HIDDEN Parts;  ///< internal
  const Parts& parts() const { return *parts_; }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want,
                   SampleSet samples) const override;
  std::vector<double> observe_at(Point<double> at, std::size_t k) const override;
  void hessian_product_at(Point<T> at, Point<T> direction, std::vector<BlockGradient<T>>& out,
                          Workspace& space, SampleSet samples) const override;

 private:
  void build(const BatchView<T>& batch, const AttentionOptions& options, const HalfBatchView* halves);
  std::unique_ptr<Parts> parts_;
};

/// A model on the heap, of the batch's precision.
template <NumberType T>
std::unique_ptr<AttentionModel<T>> make_attention_model(const BatchView<T>& batch,
                                                        const AttentionOptions& options = {}) {
  return std::make_unique<AttentionModel<T>>(batch, options);
}

inline std::unique_ptr<AttentionModel<float>> make_attention_model(const HalfBatchView& batch,
                                                                   const AttentionOptions& options = {}) {
  return std::make_unique<AttentionModel<float>>(batch, options);
}

extern template class AttentionModel<float>;
extern template class AttentionModel<double>;

}  // namespace softstep
