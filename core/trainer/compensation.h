#pragma once

// Weights of float32 that take steps smaller than their rounding: what the additions round off is kept beside
// them and comes in with later steps (simd/kernels/axpy_compensated.h). What the kernels read stays the
// rounded sum.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace softstep {

/// Whether weights of this type are kept so. float64 has the digits for 1e15 steps of one size.
template <class T>
constexpr bool is_compensated = sizeof(T) < sizeof(double);

/// Whether `part` can be what was rounded off of `sum`: at most half a unit in its last place. Their sum need
/// not be `sum` again, as exactly half a unit is rounded to the even one of two.
template <class T>
bool is_rounded_off(T part, T sum) {
  const T size = std::fabs(sum);
  return std::fabs(part) <= (std::nextafter(size, std::numeric_limits<T>::infinity()) - size) / 2;
}

/// What is kept beside `sum`: `saved` if that belongs to it, else zeros. A part that is larger than what is
/// rounded off belongs to weights that have been set to others since.
template <class T>
std::vector<T> remainder_of(const std::vector<T>& sum, const std::vector<T>& saved) {
  bool belongs = saved.size() == sum.size();
  for (std::size_t k = 0; belongs && k < sum.size(); ++k) belongs = is_rounded_off(saved[k], sum[k]);
  return belongs ? saved : std::vector<T>(sum.size(), T(0));
}

/// The relative rounding of what is kept: of T, of T twice over, or of double.
template <class T>
double rounding_of_weights(bool has_master) {
  const double u = 0.5 * static_cast<double>(std::numeric_limits<T>::epsilon());
  return has_master ? 0.5 * std::numeric_limits<double>::epsilon() : is_compensated<T> ? u * u : u;
}

/// Finds steps that weights cannot take: those shorter than the rounding of adding them, u |W|.
class RoundingWatch {
 public:
  RoundingWatch(double unit, double norm) : unit_(unit), norm_(norm), bound_(norm) {}

  /// Whether a step of this length might be one. Where not, taken() is all that is_below() does.
  bool may_be_below(double length) const { return !(length >= unit_ * (bound_ + length)); }
  void taken(double length) {
    bound_ += length;
    path_ += length;
  }
  /// Whether a step that is being taken is one. norm_now() gives |W|; it is asked for rarely.
  template <class Norm>
  bool is_below(double length, Norm norm_now) {
    taken(length);
    if (!(length < unit_ * bound_)) return false;
    // The bound may be far above by now.
    if (path_ > 0.01 * norm_) {
      norm_ = bound_ = norm_now();
      path_ = 0.0;
    }
    return length < unit_ * norm_;
  }

 private:
  double unit_, norm_, bound_, path_ = 0.0;
};

}  // namespace softstep
