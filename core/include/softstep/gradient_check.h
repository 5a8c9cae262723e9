#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"
#include "softstep/number_type.h"
#include "softstep/scaled.h"

namespace softstep {

/// How a gradient is checked.
struct SOFTSTEP_EXPORT GradientCheckOptions {
  /// Largest relative error of a block that passes. 0: 1e-6 for double, 1e-3 for float.
  double tolerance = 0.0;
  /// Entries of a block to look at, evenly spread; 0: all. An entry costs some 20 to 100 evaluations of the
  /// loss, 500 at most.
  std::size_t max_entries = 0;
  SampleSet samples = {};  ///< of which the loss is the mean
  void validate() const;   ///< throws InvalidArgument naming the field
};

/// One block's gradient beside central differences. Norms are Frobenius norms over the entries that were
/// looked at.
struct BlockGradientCheck {
  std::string name = {};        ///< of the block
  std::size_t n_entries = 0;    ///< looked at
  Scaled gradient_norm = {};    ///< of what the model returns, exponent and all
  Scaled difference_norm = {};  ///< of the central differences
  /// ||gradient - differences|| / max(||gradient||, ||differences||); 0 where both are exactly zero.
  double relative_error = 0.0;
  /// How far the differences themselves can be trusted, in the same unit: extrapolation and rounding of the
  /// loss.
  double difference_error = 0.0;
  /// Of that, the rounding of the loss alone. It is forgiven: a gradient below it cannot be told from zero.
  double rounding_error = 0.0;
  /// |BlockGradient::norm - ||mantissa||| / ||mantissa||, over the whole block.
  double norm_error = 0.0;
  std::size_t worst_row = 0;     ///< row of the entry with the largest difference
  std::size_t worst_column = 0;  ///< its column
  Scaled worst_gradient = {};    ///< what the model returns there
  Scaled worst_difference = {};  ///< what the central difference is there
  /// relative_error <= tolerance + rounding_error, and norm_error <= tolerance. False for NaN.
  bool passed = false;
};

/// What check_gradient found.
struct SOFTSTEP_EXPORT GradientCheck {
  bool passed = false;                          ///< every block did, and there is one
  double tolerance = 0.0;                       ///< that was asked for
  std::string compared_with = {};               ///< "loss_gap", or "loss" where there is no gap to difference
  std::vector<BlockGradientCheck> blocks = {};  ///< in the model's order

  /// All of it in words: a line for the whole, and one or two for each block.
  std::string report() const;
};

/// Compares the gradient that a model returns with central differences of its loss, at a point where neither
/// is NaN. It differences the loss gap where there is one measured from the same L* at all points, so that it
/// works where the plain loss stalls or underflows; else the loss. The step of each entry is the one at which
/// the loss changes by a factor of about two, or the largest that is sensible, and is halved again and again
/// with Richardson extrapolation (Ridders' method).
///
/// A gradient that is wrong in one entry, a sign or a factor fails; NaN and infinity fail. A loss with a kink
/// at the point fails too. Where differences cannot reach the tolerance (float weights so large that a step
/// is lost in their rounding), `difference_error` says so. Throws InvalidArgument for bad options and for
/// blocks of another size.
template <NumberType T>
SOFTSTEP_EXPORT GradientCheck check_gradient(const Model<T>& model, Point<T> at,
                                             const GradientCheckOptions& options = {});
template <NumberType T>
GradientCheck check_gradient(const Model<T>& model, const std::vector<std::vector<T>>& at,
                             const GradientCheckOptions& options = {}) {
  return check_gradient(model, Point<T>(views_of(at)), options);
}

extern template GradientCheck check_gradient(const Model<float>&, Point<float>, const GradientCheckOptions&);
extern template GradientCheck check_gradient(const Model<double>&, Point<double>,
                                             const GradientCheckOptions&);

}  // namespace softstep
