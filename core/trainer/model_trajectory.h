#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/isa/active_isa.h"
#include "core/trainer/compensation.h"
#include "core/trainer/move_weights.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// The blocks of any model as they are, moved where the state keeps them.
template <class T>
class ModelTrajectory final : public Trajectory<T> {
 public:
  ModelTrajectory(const Model<T>& model, TrainState<T>& state)
      : model_(model),
        state_(state),
        kernels_(resolve_isa(model.isa()).template kernels<T>()),
        at_(views_of(state.blocks)),
        space_(model.make_workspace()) {
    for (std::size_t k = 0; k < state.blocks.size(); ++k)
      state.remainders[k] = is_compensated<T> && state.masters[k].empty()
                                ? remainder_of(state.blocks[k], state.remainders[k])
                                : std::vector<T>();
  }

  Form form() const override { return Form::dense; }
  int n_threads() const override { return model_.threads_used(); }
  void evaluate(Evaluation<T>& out, unsigned want, SampleSet samples) override {
    model_.evaluate(Point<T>(at_), out, *space_, want, samples);
  }
  // A workspace apart: what a model keeps in one from step to step does not depend on what is traced.
  void measure(Evaluation<T>& out) override {
    if (measuring_space_ == nullptr) measuring_space_ = model_.make_workspace();
    model_.evaluate(Point<T>(at_), out, *measuring_space_, want_all);
  }
  typename Trajectory<T>::Entries entries(std::size_t block) const override {
    const BlockShape& shape = model_.blocks()[block];
    return {shape.n_rows, shape.n_cols, state_.blocks[block].data()};
  }
  void move(std::size_t block, const Step<T>& step, std::int64_t) override {
    move_weights(kernels_, step,
                 KeptWeights<T>{state_.blocks[block], state_.masters[block], state_.remainders[block]});
  }
  void write(TrainState<T>&) const override {}

 private:
  const Model<T>& model_;
  TrainState<T>& state_;
  const simd::Kernels<T>& kernels_;
  std::vector<std::span<const T>> at_;
  std::unique_ptr<Workspace> space_, measuring_space_;
};

}  // namespace softstep
