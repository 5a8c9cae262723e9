#pragma once

// Where a run stands: W in one of its forms (docs/mathematics.md, section 7).

#include <cstdint>
#include <memory>
#include <vector>

#include "core/objective/layer.h"
#include "softstep/trainer.h"

namespace softstep {

template <class T>
class Trajectory {
 public:
  virtual ~Trajectory() = default;
  virtual Form form() const = 0;
  /// Threads worth starting for a step.
  virtual int n_threads() const = 0;
  /// Evaluates at the current W. The gradient's entries are the form's own; its norm is ||G'||_F.
  virtual void evaluate(Evaluation<T>& out, unsigned want) = 0;
  struct Shape {
    std::size_t n_rows, n_cols;
  };
  virtual Shape gradient_shape() const = 0;
  /// W laid out as the gradient; null in a span form.
  virtual const T* weights() const { return nullptr; }
  /// A matrix dim x dim laid out as the gradient, or back from it.
  virtual std::vector<double> laid_out(const std::vector<double>& matrix) const { return matrix; }
  /// W <- W - coefficient direction, the step with this index.
  virtual void move(const Step<T>& step, std::int64_t iteration) = 0;
  /// W, and what a later run needs to go on with the same bits.
  virtual void write(TrainState<T>& state) const = 0;
};

/// The trajectory that goes on from a state, in this form. `along_gradient`: StepRule::moves_along_gradient.
template <class T>
std::unique_ptr<Trajectory<T>> make_trajectory(Form form, Layer<T>& layer, const TrainState<T>& state,
                                               bool along_gradient);

/// The cheapest form by the model of choose_form.cpp, for a rule that moves along the gradient and a run of many steps.
template <class T>
Form cheapest_form(const Layer<T>& layer);

/// A dense run keeps small batches with the sample index last (Layer::pack_lanes).
template <class T>
bool fits_lanes(const Layer<T>& layer);

/// A dense run with a rule that moves along the gradient, sample by sample, does not form it where W is large.
template <class T>
bool pays_without_gradient(const Layer<T>& layer);

}  // namespace softstep
