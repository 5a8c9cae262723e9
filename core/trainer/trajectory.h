#pragma once

// Where a run stands: the blocks of a model, in whatever form makes a step cheapest (docs/mathematics.md,
// section 7).

#include <cstdint>
#include <memory>
#include <vector>

#include "softstep/trainer.h"

namespace softstep {

template <class T>
class Trajectory {
 public:
  virtual ~Trajectory() = default;
  virtual Form form() const = 0;
  /// Threads worth starting for a step.
  virtual int n_threads() const = 0;
  /// Evaluates at the current blocks. A gradient's entries are the form's own; its norm is that of
  /// dL/d(block).
  virtual void evaluate(Evaluation<T>& out, unsigned want, SampleSet samples) = 0;
  /// Everything at once over all samples, for a row of the trace. Whatever evaluate() finds again from step
  /// to step is as it was.
  virtual void measure(Evaluation<T>& out) = 0;
  /// The gradient of a block, and the block laid out alike; null in a span form.
  struct Entries {
    std::size_t n_rows, n_cols;
    const T* weights;
  };
  virtual Entries entries(std::size_t block) const = 0;
  /// A matrix of a block's shape laid out as the gradient, or back from it.
  virtual std::vector<double> laid_out(std::size_t, const std::vector<double>& matrix) const {
    return matrix;
  }
  /// Whether what this form keeps beside a block stays a number of T with the step. Changes nothing.
  virtual bool admits(std::size_t, const Step<T>&) const { return true; }
  /// block <- block - coefficient direction, the step with this index. With float32 what the block cannot
  /// take is kept beside it.
  virtual void move(std::size_t block, const Step<T>& step, std::int64_t iteration) = 0;
  /// The blocks, and what a later run needs to go on with the same bits.
  virtual void write(TrainState<T>& state) const = 0;
};

/// The trajectory that goes on from a state in the form asked for, or the cheapest. `along_gradient`:
/// StepRule::moves_along_gradient of all rules. `whole`: every step sees all samples. Throws InvalidArgument
/// where the form does not go with the model, the rule or master weights.
template <class T>
std::unique_ptr<Trajectory<T>> make_trajectory(const Model<T>& model, TrainState<T>& state,
                                               const TrainerOptions& options, bool along_gradient,
                                               bool whole);

}  // namespace softstep
