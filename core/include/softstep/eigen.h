#pragma once

// Optional adapter for users of Eigen (the only header that includes it; nothing compiled in softstep depends
// on it, so the caller's -march flags do not matter).

#include <Eigen/Core>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include "softstep/batch.h"
#include "softstep/error.h"

namespace softstep {

/// A matrix in the order that softstep keeps matrices in.
template <NumberType T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Whether batch_of<T>() can look at a matrix where it lies. Eigen::Ref takes any other by a copy that is
/// gone when the function returns: a column-major one (Eigen::MatrixXd), an expression, another number type.
template <class Matrix, class T>
concept LiesRowMajor = std::same_as<typename Matrix::Scalar, T> &&
                           (static_cast<unsigned>(Matrix::Flags) & Eigen::DirectAccessBit) != 0 &&
                       (static_cast<int>(Matrix::IsRowMajor) != 0 ||
                        static_cast<int>(Matrix::IsVectorAtCompileTime) != 0) &&
                       static_cast<int>(Matrix::InnerStrideAtCompileTime) == 1;

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

/// Matrices that cannot be looked at, and temporary ones, do not compile.
template <NumberType T, class Tokens>
requires std::derived_from<std::remove_cvref_t<Tokens>, Eigen::DenseBase<std::remove_cvref_t<Tokens>>> &&
    (!LiesRowMajor<std::remove_cvref_t<Tokens>, T> ||
     (!std::is_lvalue_reference_v<Tokens> &&
      std::derived_from<std::remove_cvref_t<Tokens>, Eigen::PlainObjectBase<std::remove_cvref_t<Tokens>>>))
        BatchView<T> batch_of(Tokens&&, std::size_t) = delete;

/// A dim x dim row-major matrix of softstep (weights, gradient) seen as an Eigen matrix, without a copy.
template <NumberType T>
Eigen::Map<const RowMajorMatrix<T>> as_matrix(const std::vector<T>& values, std::size_t dim) {
  const bool fits = dim == 0 ? values.empty() : values.size() % dim == 0 && values.size() / dim == dim;
  if (!fits)
    throw InvalidArgument("values", std::to_string(values.size()) +
                                        " entries (need dim * dim, dim = " + std::to_string(dim) + ")");
  const auto n = static_cast<Eigen::Index>(dim);
  return {values.data(), n, n};
}

}  // namespace softstep
