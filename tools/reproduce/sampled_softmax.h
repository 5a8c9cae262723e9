#pragma once

// Next-token models of contexts with a known target: with and without a hidden relu layer.

#include <cstddef>
#include <memory>
#include <vector>

#include "softstep/model.h"

namespace softstep::program::reproduce {

/// Contexts and what follows them.
struct Contexts {
  std::size_t n = 0, dim = 0, vocabulary = 0;
  std::vector<double> points = {};  ///< [n, dim] h_j
  std::vector<double> target = {};  ///< [n, vocabulary] p_j, what is drawn from
};

/// L = -(1/n) sum_j sum_v q_jv log softmax(U relu(W h_j))_v with shares q that may be set anew between steps,
/// or U h_j without a hidden layer (width 0). Blocks "weights" [width, dim] (not of width 0) and "outer"
/// [vocabulary, width or dim]. L* is said to be 0: no rule here asks for it.
class SampledSoftmax final : public Model<double> {
 public:
  SampledSoftmax(const Contexts& contexts, std::size_t width);
  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return contexts_.n; }
  /// [n, vocabulary] q.
  std::vector<double> shares;
  /// [n, vocabulary] softmax of the logits.
  std::vector<double> predictions(Point<double> at) const;

 protected:
  void evaluate_at(Point<double> at, Evaluation<double>& out, Workspace& space, unsigned want,
                   SampleSet samples) const override;

 private:
  void logits(Point<double> at, std::size_t context, std::vector<double>& hidden,
              std::vector<double>& out) const;
  const Contexts& contexts_;
  std::size_t width_;
  std::vector<BlockShape> blocks_;
};

/// Mean over contexts of -sum_v p_jv log p_jv.
double mean_entropy(const std::vector<double>& p, std::size_t vocabulary);

}  // namespace softstep::program::reproduce
