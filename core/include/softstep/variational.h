#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/model.h"

namespace softstep {

/// How a variational linear model is trained.
struct SOFTSTEP_EXPORT VariationalOptions {
  std::size_t rank = 0;       ///< columns of S; 0: as many as dimensions
  Loss loss = Loss::squared;  ///< squared, or exponential for labels
  std::string isa = {};       ///< instruction set; empty means active_isa()
  void validate() const;      ///< throws InvalidArgument naming the field
};

/// A linear model f(x) = x^T w whose weights are drawn, w ~ N(mu, S S^T), trained by the expected loss alone
/// (J. Wenger et al., arXiv 2505.20235) on the first token of each sample:
///   squared      L = (1/2n) sum_i ((y_i - x_i^T mu)^2 + |S^T x_i|^2)
///   exponential  L = (1/n) sum_i exp(-y_i x_i^T mu + |S^T x_i|^2 / 2)
/// Blocks: "mean" mu [dim, 1], "factor" S [dim, rank]. L* = 0: with the squared loss where mu can fit all
/// samples, with the exponential one where they can be separated. Loss and gradients with exponents of their
/// own, right far below what a plain number holds. Works in double whatever T, on one thread. The model keeps
/// a copy of the points. Throws InvalidArgument for a bad batch or options, and a loss that does not fit
/// labels or targets.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_variational_model(const BatchView<T>& batch,
                                                                 const VariationalOptions& options = {});

}  // namespace softstep
