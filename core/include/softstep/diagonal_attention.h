#pragma once

#include <memory>
#include <string>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/model.h"

namespace softstep {

/// What is trained of a diagonal key-query matrix W = diag(w).
enum class DiagonalForm {
  factored,  ///< w_j = k_j q_j, the diagonals of K and Q
  combined   ///< w
};
SOFTSTEP_EXPORT const char* to_string(DiagonalForm form);

/// How the layer with a diagonal W is trained.
struct SOFTSTEP_EXPORT DiagonalAttentionOptions {
  DiagonalForm form = DiagonalForm::factored;       ///< what is trained
  Loss loss = Loss::logistic;                       ///< one of the losses that come with the library
  OptimalLoss optimal_loss = OptimalLoss::optimal;  ///< what the loss gap is measured from
  double optimal_loss_value = 0.0;                  ///< used with OptimalLoss::value; finite
  int n_threads = 1;      ///< OpenMP threads; 0 means all available; same bits for any number
  std::string isa = {};   ///< instruction set; empty means active_isa()
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// The attention layer with K and Q diagonal and a fixed decoder (H. Sheen, S. Chen, T. Wang, H. H. Zhou,
/// arXiv 2403.08699, the diagonal case): s_it = sum_j x_itj w_j z_ij, else as AttentionModel.
///   factored  w = k q entry by entry     blocks "keys" and "queries", each [dim, 1]
///   combined  w                          block "weights" [dim, 1]
///   dL/dk = q dL/dw,  dL/dq = k dL/dw,   dL/dw = (1/n) sum_i sum_t dL/ds_it x_it z_i
/// It is computed as a prompt w over the tokens x_it z_i, to which their scores u^T x_it are added as a
/// coordinate of their own: pivot form, exponents and error as those of AttentionModel. Products k q are
/// formed in double. Observable "weights" [dim, 1] is w. The model keeps a copy of the data. Samples have one
/// query each. Throws InvalidArgument naming what does not fit.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_diagonal_attention_model(
    const BatchView<T>& batch, const DiagonalAttentionOptions& options = {});

}  // namespace softstep
