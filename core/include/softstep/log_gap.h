#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"
#include "softstep/number_type.h"
#include "softstep/scaled.h"

namespace softstep {

// A model as the objective of somebody else's solver: L-BFGS, conjugate gradients, a line search. All blocks
// are one vector, block after block in the model's order.

/// What the functions here need between calls: one for each thread that calls them at the same time. Belongs
/// to the model that it was made for.
template <NumberType T>
class SOFTSTEP_EXPORT FlatSpace {
 public:
  /// Memory for this model; the model must outlive it.
  explicit FlatSpace(const Model<T>& model);

 private:
  template <NumberType U>
  friend class FlatEvaluation;

  std::unique_ptr<Workspace> space_;
  std::vector<std::span<const T>> views_;
  Evaluation<T> evaluation_;
};

/// Numbers in all blocks together.
template <NumberType T>
SOFTSTEP_EXPORT std::size_t flat_size(const Model<T>& model);

/// How log_gap ended.
enum class LogGapStatus {
  good,              ///< value, gap and gradient can be used
  gap_not_positive,  ///< L <= L*: there is no logarithm; value is -infinity for L = L*, else NaN; gradient is
                     ///< not written
  not_finite         ///< the loss, the gap or an entry of the gradient is NaN or infinite
};
SOFTSTEP_EXPORT const char* to_string(LogGapStatus status);

/// What log_gap returns.
struct LogGap {
  LogGapStatus status = LogGapStatus::good;  ///< whether there is a logarithm
  double value = 0.0;                        ///< log(L - L*)
  Scaled gap = {};                           ///< L - L* itself
};

/// f(W) = log(L(W) - L*), and its gradient G / (L - L*) in plain numbers: of a size that any solver can work
/// with, however small gap and gradient are, where those of L underflow. f has the minimisers of L, and where
/// L tends to L* at infinity it falls without a bound; a plain loss stalls when it no longer changes in its
/// 16th digit. In float the gradient can be had in double too.
///
/// `at` and `gradient` have flat_size() entries; an empty gradient asks for the value alone. May be called
/// from several threads, each with a space of its own. Allocates nothing after the first call. Throws
/// InvalidArgument for another size.
template <NumberType T>
SOFTSTEP_EXPORT LogGap log_gap(const Model<T>& model, std::type_identity_t<std::span<const T>> at,
                               std::type_identity_t<std::span<T>> gradient, FlatSpace<T>& space,
                               SampleSet samples = {});
SOFTSTEP_EXPORT LogGap log_gap(const Model<float>& model, std::span<const float> at,
                               std::span<double> gradient, FlatSpace<float>& space, SampleSet samples = {});

/// What plain_loss returns.
struct PlainLoss {
  double value = 0.0;             ///< L
  bool value_underflows = false;  ///< L is not zero, but `value` is
  /// Some block's gradient is not zero, but all of its plain numbers are.
  bool gradient_underflows = false;
};

/// L(W) and its gradient, true size, in plain numbers. As log_gap() otherwise.
template <NumberType T>
SOFTSTEP_EXPORT PlainLoss plain_loss(const Model<T>& model, std::type_identity_t<std::span<const T>> at,
                                     std::type_identity_t<std::span<T>> gradient, FlatSpace<T>& space,
                                     SampleSet samples = {});

extern template class FlatSpace<float>;
extern template class FlatSpace<double>;

}  // namespace softstep
