#pragma once

// The parts of self_check(), and what they share.

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "simd/dispatch.h"
#include "softstep/self_check.h"

namespace softstep::self_check_parts {

template <class T>
inline constexpr double unit_roundoff = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2.0;

/// Numbers in [-1, 1), the same everywhere (xorshift of G. Marsaglia, 2003).
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : state_(seed * 2685821657736338717u + 88172645463325252u) {}
  double next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<double>(state_ >> 11) * 0x1p-52 - 1.0;
  }
  template <class T>
  std::vector<T> numbers(std::size_t n, double scale = 1.0) {
    std::vector<T> out(n);
    for (T& x : out) x = static_cast<T>(scale * next());
    return out;
  }

 private:
  std::uint64_t state_;
};

/// The worst of many errors, each relative to its own bound; once NaN it stays NaN.
class Worst {
 public:
  void add(double error, double bound) {
    used_ = true;
    const double ratio = error == 0.0 ? 0.0 : error / bound;
    if (!(ratio <= worst_)) worst_ = ratio;
    nan_ = nan_ || ratio != ratio;
  }
  bool is_used() const { return used_; }
  double value() const { return nan_ ? std::numeric_limits<double>::quiet_NaN() : worst_; }

 private:
  double worst_ = 0.0;
  bool nan_ = false, used_ = false;
};

template <class T>
void check_kernels(const simd::Isa& isa, std::vector<CheckRow>& rows);
template <class T>
void check_blocks(const simd::Isa& isa, std::vector<CheckRow>& rows);
template <class T>
void check_attention(const simd::Isa& isa, std::vector<CheckRow>& rows);
template <class T>
void check_runs(const simd::Isa& isa, std::vector<CheckRow>& rows);
template <class T>
void check_run_rules(const simd::Isa& isa, std::vector<CheckRow>& rows);
template <class T>
void check_gradients(const simd::Isa& isa, std::vector<CheckRow>& rows);

template <class T>
void add_row(std::vector<CheckRow>& rows, const simd::Isa& isa, const std::string& what, double error,
             double bound) {
  rows.push_back({isa.name, sizeof(T) == 4 ? "float32" : "float64", what, error, bound, error <= bound});
}

}  // namespace softstep::self_check_parts
