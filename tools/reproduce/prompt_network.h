#pragma once

// A network of several relu layers with biases on whole prompts, for a target at each place.

#include <cstddef>
#include <vector>

#include "softstep/model.h"

namespace softstep::program::reproduce {

/// f(x) = W_L relu(... relu(W_1 x + b_1) ...) + b_L,   L = (1 / (2 n N)) sum_i |f(x_i) - y_i|^2
/// Blocks "weights 1" [in, out], the transpose of W_1, "bias 1" [1, out], and so on. relu has derivative 0 at
/// 0. Inputs and targets may be set anew between steps. L* = 0.
class PromptNetwork final : public Model<double> {
 public:
  /// widths: inputs, neurons of each hidden layer, outputs N.
  explicit PromptNetwork(std::vector<std::size_t> widths);
  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return targets.size() / widths_.back(); }
  std::unique_ptr<Workspace> make_workspace() const override;
  std::vector<double> inputs;   ///< [n, widths.front()]
  std::vector<double> targets;  ///< [n, widths.back()]

 protected:
  void evaluate_at(Point<double> at, Evaluation<double>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override;

 private:
  std::vector<std::size_t> widths_;
  std::vector<BlockShape> blocks_;
};

}  // namespace softstep::program::reproduce
