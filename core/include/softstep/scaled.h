#pragma once

#include <cmath>
#include <limits>

namespace softstep {

/// A real number mantissa * exp(exponent): the exponent (natural logarithm, unbounded for our purposes)
/// travels beside the mantissa, so that a loss gap of 1e-2000 keeps all its digits. Zero is {0, anything}.
struct Scaled {
  double mantissa = 0.0;  ///< of ordinary size, with the sign
  double exponent = 0.0;  ///< natural logarithm of the factor

  /// The plain value; 0 or infinity where double cannot hold it.
  double value() const {
    if (mantissa == 0.0) return 0.0;
    // In two factors where e^exponent is no normal number, so that a mantissa that makes up for it is not
    // lost.
    const bool is_whole = std::fabs(exponent) <= 708.0;
    const double factor = std::exp(is_whole ? exponent : 0.5 * exponent);
    return mantissa * factor * (is_whole ? 1.0 : factor);
  }

  /// Whether value() is 0 although the number is not.
  bool underflows() const { return mantissa != 0.0 && value() == 0.0; }

  /// Natural logarithm of the value: -infinity for zero, NaN for a negative or NaN mantissa.
  double log() const {
    if (mantissa == 0.0) return -std::numeric_limits<double>::infinity();
    return std::log(mantissa) + exponent;
  }

  /// log10 of the value: -infinity for zero, NaN for a negative or NaN mantissa.
  double log10() const {
    if (mantissa == 0.0) return -std::numeric_limits<double>::infinity();
    return std::log10(mantissa) + exponent * 0.43429448190325182765;
  }
};

/// a b. The product of the mantissas must be a number of double.
inline Scaled operator*(Scaled a, Scaled b) {
  if (a.mantissa == 0.0 || b.mantissa == 0.0) return {a.mantissa * b.mantissa, 0.0};
  return {a.mantissa * b.mantissa, a.exponent + b.exponent};
}

/// a / b, the mantissas divided: infinite or NaN where b is zero.
inline Scaled operator/(Scaled a, Scaled b) {
  if (a.mantissa == 0.0 || b.mantissa == 0.0) return {a.mantissa / b.mantissa, 0.0};
  return {a.mantissa / b.mantissa, a.exponent - b.exponent};
}

/// -a.
inline Scaled operator-(Scaled a) { return {-a.mantissa, a.exponent}; }

}  // namespace softstep
