#pragma once

#include <memory>
#include <string>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/model.h"

namespace softstep {

/// By which loss a linear model is trained.
struct SOFTSTEP_EXPORT LinearOptions {
  Loss loss = Loss::logistic;                              ///< one of the losses that come with the library
  std::shared_ptr<const LossFunction> own_loss = nullptr;  ///< in place of `loss`
  OptimalLoss optimal_loss = OptimalLoss::zero;            ///< zero or a value
  double optimal_loss_value = 0.0;                         ///< used with OptimalLoss::value; finite
  std::string isa = {};                                    ///< instruction set; empty means active_isa()
  void validate() const;                                   ///< throws InvalidArgument naming the field
};

/// A linear model f = w^T x on the first token of each sample (batches of one token are points); with the
/// logistic loss the system that the paper draws its analogy from. One block "weights" [dim, 1]; L* = 0 where
/// the data are separable.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_linear_model(const BatchView<T>& batch,
                                                            const LinearOptions& options = {});

}  // namespace softstep
