#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"

namespace softstep {

/// In-context linear regression: in every prompt y = w^T x with a w ~ N(0, I) of its own, N examples and a
/// query, all x ~ N(0, Lambda). Lambda is diagonal; a rotation of it rotates every matrix of the model.
struct SOFTSTEP_EXPORT InContextRegression {
  std::vector<double> spectrum = {};  ///< [dim] eigenvalues of Lambda, each above 0
  std::size_t n_examples = 0;         ///< N
  void validate() const;              ///< throws InvalidArgument naming the field
};

/// How the heads of linear attention are parametrised.
enum class HeadForm {
  merged,   ///< one matrix a head in place of keys and queries
  separate  ///< keys and queries of a rank
};
SOFTSTEP_EXPORT const char* to_string(HeadForm form);

/// Which heads are trained.
struct SOFTSTEP_EXPORT InContextOptions {
  HeadForm form = HeadForm::separate;  ///< how they are parametrised
  std::size_t n_heads = 1;             ///< H
  std::size_t rank = 1;   ///< R, of separate heads; n_heads * rank is dim or more, or L* is not reached
  std::string isa = {};   ///< instruction set; empty means active_isa()
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// Linear attention without softmax on such prompts, by the expected squared loss, without sampling (Y.
/// Zhang, A. K. Singh, P. E. Latham, A. Saxe, arXiv 2501.16265). The prediction is b^T M x_query, b the mean
/// of y x over the examples:
///   merged    M = sum_i v_i U_i                      blocks "values" [H, 1], "matrices" [H dim, dim]
///   separate  M = sum_i v_i sum_r k_ir q_ir^T        "values" [H, 1], "keys" and "queries" [H R, dim]
///   A = Lambda^2 + (Lambda + tr(Lambda) I) Lambda / N,   M* = A^-1 Lambda
///   L = tr(Lambda) - 2 tr(Lambda M Lambda) + tr(A M Lambda M^T) = L* + || A^(1/2) (M - M*) Lambda^(1/2) ||^2
///   dL/dM = 2 A (M - M*) Lambda
/// The gap is that square, without cancellation but for M - M*; gradients have exponents, which count where
/// the blocks are tiny. Observable "product" [dim, dim] is M. One sample: the population. Works in double
/// whatever T, on one thread. Throws InvalidArgument naming what is wrong.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_in_context_model(const InContextRegression& data,
                                                                const InContextOptions& options);

/// M*, diagonal: 1 / (lambda + (lambda + tr(Lambda)) / N) on the diagonal. Throws InvalidArgument.
SOFTSTEP_EXPORT std::vector<double> in_context_optimum(const InContextRegression& data);

}  // namespace softstep
