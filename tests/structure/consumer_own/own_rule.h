#pragma once

#include <softstep/step_rules.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

namespace own {

/// W <- W - step_size V,  V <- keep V + (1 - keep) G / ||G||: remembers V, and looks at the gradient's
/// direction alone.
class AveragedDirection final : public softstep::StepRule<double> {
 public:
  AveragedDirection(double step_size, double keep) : step_size_(step_size), keep_(keep) {}

  std::string_view name() const override { return "averaged-direction"; }
  std::string settings_text() const override {
    return "averaged-direction:" + std::to_string(step_size_) + "," + std::to_string(keep_);
  }
  std::vector<softstep::RuleMemory> memory() const override { return {{.name = "velocity"}}; }

  softstep::Step<double> propose(const softstep::StepContext<double>& context,
                                 const softstep::RuleState& memory,
                                 softstep::RuleState& next) const override {
    softstep::Step<double> step;
    if (!(context.gradient_norm > 0.0)) {
      step.outcome = softstep::Step<double>::Outcome::stationary;
      return step;
    }
    const std::size_t size = context.n_rows * context.n_cols;
    const auto before = memory.values.find("velocity");
    std::vector<double>& velocity = next.values["velocity"];
    velocity.resize(size);
    double square = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      const double old = before == memory.values.end() ? 0.0 : before->second[k];
      velocity[k] = keep_ * old + (1.0 - keep_) * (context.gradient[k] / context.gradient_norm);
      square += velocity[k] * velocity[k];
    }
    next.direction = velocity;
    step.coefficient = step_size_;
    step.computed = next.direction.data();
    step.length = step_size_ * std::sqrt(square);
    return step;
  }

 private:
  double step_size_, keep_;
};

}  // namespace own
