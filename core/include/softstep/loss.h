#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "softstep/export.h"
#include "softstep/scaled.h"

namespace softstep {

/// A loss l(m; y) of one sample. Where the batch has labels -1 and +1, m is the margin label * f and the
/// target y is 1; where it has real targets (BatchView::targets), m is the prediction f itself and y the
/// sample's target.
///
/// Derive from this class for a loss of your own. Everything is returned as mantissa and exponent, so that
/// losses which fall like e^-m stay right where a plain number underflows; a loss without that need returns
/// {value, 0}. The functions are called from several threads at once and must not throw.
class SOFTSTEP_EXPORT LossFunction {
 public:
  virtual ~LossFunction() = default;
  /// One word for messages and saved states.
  virtual std::string name() const = 0;
  /// l
  virtual Scaled value(double m, double target) const = 0;
  /// dl/dm
  virtual Scaled derivative(double m, double target) const = 0;
  /// d^2 l/dm^2, for Hessian-vector products. The default says that there is none (NaN).
  virtual Scaled second_derivative(double m, double target) const;
  /// l(m - delta) - l(m) without cancellation, delta as mantissa and exponent. The default is right to about
  /// 1e-8 of itself: a Taylor polynomial for small delta, else a subtraction.
  virtual Scaled difference(double m, Scaled delta, double target) const;
  /// Whether l falls as m grows. Only then are the optimal tokens those of the largest label * u^T x, and L*
  /// can be theirs (OptimalLoss::optimal and selected).
  virtual bool is_decreasing() const = 0;
  /// Whether l has a lower bound. The default says so. Where it has none, a model whose outputs grow without
  /// bound has no L*.
  virtual bool is_bounded_below() const { return true; }
};

/// The losses that come with the library. With them gradients are taken by vectorised code.
enum class Loss {
  logistic,     ///< log(1 + e^-m), for labels
  exponential,  ///< e^-m, for labels
  squared       ///< (m - y)^2 / 2, for real targets or labels; L* is `zero` or a `value`
};

SOFTSTEP_EXPORT const char* to_string(Loss loss);
SOFTSTEP_EXPORT Loss parse_loss(const std::string& name);  ///< throws InvalidArgument listing the known names

/// One of them as an object.
SOFTSTEP_EXPORT std::shared_ptr<const LossFunction> make_loss(Loss loss);
/// The correlation loss -m, for labels; unbounded below.
SOFTSTEP_EXPORT std::shared_ptr<const LossFunction> make_correlation_loss();

/// What the loss gap L - L* is measured from.
enum class OptimalLoss {
  optimal,   ///< (1/n) sum_i l(gamma_i,opt): the infimum over W, of a decreasing loss and a fixed decoder
  selected,  ///< (1/n) sum_i l(gamma_i,a), a = argmax_t of the current scores: local convergence
  value,     ///< a number given by the caller (plain subtraction: as exact as that number is)
  zero       ///< 0: the gap is the loss itself
};

SOFTSTEP_EXPORT const char* to_string(OptimalLoss mode);
SOFTSTEP_EXPORT OptimalLoss
parse_optimal_loss(const std::string& name);  ///< throws InvalidArgument listing the known names

}  // namespace softstep
