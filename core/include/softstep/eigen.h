#pragma once

// Optional adapter for users of Eigen (the only header that includes it; nothing compiled in softstep depends
// on it, so the caller's -march flags do not matter).

#include <Eigen/Core>

#include "softstep/batch.h"
#include "softstep/error.h"

namespace softstep {

/// A matrix in the order that softstep keeps matrices in.
template <NumberType T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A batch view of row-major matrices that the caller keeps alive: `tokens` is (n_samples * n_tokens) x dim,
/// sample after sample; an outer stride is honoured. Set `labels`, `decoder` and queries on the result.
template <NumberType T>
BatchView<T> batch_of(const Eigen::Ref<const RowMajorMatrix<T>, 0, Eigen::OuterStride<>>& tokens,
                      std::size_t n_samples) {
  const auto rows = static_cast<std::size_t>(tokens.rows());
  if (n_samples == 0 || rows % n_samples != 0)
    throw InvalidArgument("n_samples", std::to_string(n_samples) + " does not divide the " +
                                           std::to_string(rows) + " rows of tokens");
  BatchView<T> view;
  view.tokens = tokens.data();
  view.n_samples = n_samples;
  view.n_tokens = rows / n_samples;
  view.dim = static_cast<std::size_t>(tokens.cols());
  view.token_stride = static_cast<std::size_t>(tokens.outerStride());
  return view;
}

/// A dim x dim row-major matrix of softstep (weights, gradient) seen as an Eigen matrix, without a copy.
template <NumberType T>
Eigen::Map<const RowMajorMatrix<T>> as_matrix(const std::vector<T>& values, std::size_t dim) {
  if (values.size() != dim * dim)
    throw InvalidArgument("values", std::to_string(values.size()) +
                                        " entries (need dim * dim = " + std::to_string(dim * dim) + ")");
  const auto n = static_cast<Eigen::Index>(dim);
  return {values.data(), n, n};
}

}  // namespace softstep
