#pragma once

#include "core/objective/gradient_size.h"
#include "core/trainer/move_weights.h"
#include "core/trainer/pass.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// W itself, transposed where the pass has it so; in double beside it with float64 master weights.
template <class T>
class DenseTrajectory final : public Trajectory<T> {
 public:
  DenseTrajectory(Layer<T>& layer, const TrainState<T>& state)
      : pass_(layer, fits_lanes(layer)),
        dim_(layer.batch.dim),
        weights_(pass_.laid_out(state.weights)),
        master_(pass_.laid_out(state.master_weights)),
        projected_(pass_.size(), T(0)),
        rows_(pass_.size(), T(0)) {}

  Form form() const override { return Form::dense; }
  typename Trajectory<T>::Shape gradient_shape() const override { return {dim_, dim_}; }
  const T* weights() const override { return weights_.data(); }

  void evaluate(Evaluation<T>& out, unsigned want) override {
    Layer<T>& layer = pass_.layer();
    const bool want_rows = (want & want_gradient) != 0;
    pass_.project(weights_.data(), projected_.data());
    pass_.attend(projected_.data(), want_rows ? rows_.data() : nullptr);
    if ((want & want_loss_gap) != 0) layer.loss_gap(out);
    if ((want & want_attention) != 0) layer.attention_of_optimal(out);
    if (!want_rows) return;
    out.gradient.resize(dim_ * dim_);
    out.gradient_exponent = layer.set_factors();
    if (is_without_rows(out)) return;
    pass_.scale(rows_.data());
    pass_.outer_product(rows_.data(), out.gradient.data());
    set_gradient_norm(layer, out);
  }

  void move(const Step<T>& step, std::int64_t) override {
    move_weights(pass_.layer().kernels, step, weights_, master_);
  }

  void write(TrainState<T>& state) const override {
    state.weights = pass_.laid_out(weights_);
    state.master_weights = pass_.laid_out(master_);
    state.span = {};
  }

 private:
  Pass<T> pass_;
  std::size_t dim_;
  std::vector<T> weights_;
  std::vector<double> master_;
  std::vector<T> projected_, rows_;
};

}  // namespace softstep
