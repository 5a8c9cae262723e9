#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace softstep {

/// The steps that get a trace row: 0, 1, 2, ... and round(10^(k / rows_per_decade)), as a function of the
/// step number alone, so that a resumed run traces the same steps as an uninterrupted one.
class TraceSchedule {
 public:
  TraceSchedule(int rows_per_decade, std::int64_t first) : rows_per_decade_(rows_per_decade), next_(first) {
    if (rows_per_decade_ > 0) advance();
  }
  /// The step that is due next; of none, far away.
  std::int64_t next() const { return rows_per_decade_ <= 0 ? none : next_; }
  /// True once for each scheduled step, asked in increasing order.
  bool due(std::int64_t step) {
    if (rows_per_decade_ <= 0 || step < next_) return false;
    while (next_ <= step && next_ != none) advance();
    return true;
  }

 private:
  void advance() {
    const std::int64_t last = next_;
    // Powers up to last + 1/2 are not above it once rounded: of many rows far more than there are steps.
    const double passed = rows_per_decade_ * std::log10(static_cast<double>(last) + 0.5);
    k_ = std::max(k_, static_cast<std::int64_t>(passed) - 1);
    while (next_ <= last) {
      const double next = std::round(std::pow(10.0, static_cast<double>(k_++) / rows_per_decade_));
      next_ = next < 0x1p63 ? static_cast<std::int64_t>(next) : none;
      if (next_ == none) return;  // no step comes after that
    }
  }
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  int rows_per_decade_;
  std::int64_t next_;
  std::int64_t k_ = 0;
};

}  // namespace softstep
