#pragma once

#include <softstep/loss.h>

#include <cmath>
#include <string>

namespace own {

/// l = 1 / (1 + e^m): bounded, falls as m grows.
class Sigmoid final : public softstep::LossFunction {
 public:
  std::string name() const override { return "sigmoid"; }
  softstep::Scaled value(double m, double) const override { return {at(m), 0.0}; }
  softstep::Scaled derivative(double m, double) const override { return {-at(m) * at(-m), 0.0}; }
  softstep::Scaled second_derivative(double m, double) const override {
    return {at(m) * at(-m) * (at(-m) - at(m)), 0.0};
  }
  bool is_decreasing() const override { return true; }

 private:
  static double at(double m) { return 1.0 / (1.0 + std::exp(m)); }
};

}  // namespace own
