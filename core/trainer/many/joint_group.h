#pragma once

// The arithmetic of runs side by side that train W and the decoder, both along their gradients: W itself, one
// run to a lane. The order of sums is that of lane_samples.h.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/trainer/compensation.h"
#include "core/trainer/many/dense_products.h"
#include "core/trainer/many/joint_samples.h"

namespace softstep {

template <class T>
class JointGroup {
 public:
  static constexpr std::size_t n_blocks = 2;  // W and u

  explicit JointGroup(const RunShape& shape) : samples_(shape), products_(shape, samples_.columns()) {
    const std::size_t sizes[n_blocks] = {shape.dim * shape.dim, shape.dim};
    for (std::size_t k = 0; k < n_blocks; ++k) {
      Block& block = blocks_[k];
      block.size = sizes[k];
      for (auto* array : {&block.weights, &block.gradient}) array->assign(sizes[k] * width(), T(0));
      if (is_compensated<T>) block.remainder.assign(sizes[k] * width(), T(0));
      for (auto* by_run : {&block.squared, &block.step}) by_run->assign(width(), 0.0);
      block.unit.assign(width(), 1.0);
      block.is_moving.assign(width(), false);
    }
    is_taken_.assign(width(), false);
    one_.assign(width(), 1.0);
    squared_step_.assign(width(), 0.0);
  }

  const JointSamples<T>& samples() const { return samples_; }
  std::size_t width() const { return samples_.width(); }

  /// A block of a run, and what it has been rounded off; empty: nothing.
  struct OfRun {
    std::vector<T> weights, remainder;
  };
  /// Puts a run into a lane: its data, and where it stands.
  void take_in(std::size_t lane, const AttentionData<T>& data, const std::array<OfRun, n_blocks>& run) {
    samples_.take_in(lane, data);
    products_.take_in(samples_, lane, data);
    for (std::size_t k = 0; k < n_blocks; ++k) put(lane, run[k], blocks_[k]);
    is_taken_[lane] = true;
  }
  /// The lane is free.
  void leave(std::size_t lane) {
    samples_.leave(lane);
    is_taken_[lane] = false;
    for (Block& block : blocks_) block.is_moving[lane] = false;
  }
  /// Where a block of a run stands.
  std::vector<T> weights(std::size_t lane, std::size_t k) const {
    return taken_from_lane(lane, width(), blocks_[k].weights);
  }
  std::vector<T> remainder(std::size_t lane, std::size_t k) const {
    return taken_from_lane(lane, width(), blocks_[k].remainder);
  }
  /// The mantissa of its gradient, and the sum of its squares.
  std::vector<T> gradient(std::size_t lane, std::size_t k) const {
    return taken_from_lane(lane, width(), blocks_[k].gradient);
  }
  double squared(std::size_t lane, std::size_t k) const { return blocks_[k].squared[lane]; }

  /// The gradients of all runs.
  void evaluate() {
    products_.project(blocks_[0].weights.data(), samples_);
    samples_.score(blocks_[1].weights.data());
    samples_.attend();
    products_.multiply(samples_, blocks_[0].gradient.data(), blocks_[0].squared.data());
    samples_.find_decoder_gradients(blocks_[1].gradient.data(), blocks_[1].squared.data());
  }
  /// Steps along gradients need no more than what evaluate() has found.
  void propose() {}

  /// Block k of a run is to go `step` times its mantissa, times 2^power, against the gradient.
  void set_step(std::size_t lane, std::size_t k, double step, int power) {
    blocks_[k].step[lane] = step;
    blocks_[k].unit[lane] = std::ldexp(1.0, power);
    blocks_[k].is_moving[lane] = true;
  }
  /// Takes these steps, and no others.
  void move() {
    for (std::size_t k = 0; k < n_blocks; ++k) move(k);
  }

 private:
  struct Block {
    std::size_t size = 0;
    LineArray<T> weights, remainder, gradient;  // entry k of every run at k width + lane
    LineArray<double> squared, step, unit;
    std::vector<bool> is_moving;
  };

  void put(std::size_t lane, const OfRun& run, Block& block) const {
    put_into_lane(lane, width(), run.weights, block.weights);
    put_into_lane(lane, width(), run.remainder, block.remainder);
  }
  void move(std::size_t k) {
    Block& block = blocks_[k];
    if (std::none_of(block.is_moving.begin(), block.is_moving.end(), [](bool x) { return x; })) return;
    // A step of nothing might round what is kept beside a block.
    std::vector<std::pair<std::size_t, OfRun>> staying;
    for (std::size_t lane = 0; lane < width(); ++lane)
      if (is_taken_[lane] && !block.is_moving[lane])
        staying.emplace_back(lane, OfRun{weights(lane, k), remainder(lane, k)});
    samples_.kernels().run_descent({.size = block.size,
                                    .gradient = block.gradient.data(),
                                    .weights = block.weights.data(),
                                    .remainder = is_compensated<T> ? block.remainder.data() : nullptr,
                                    .next_weights = block.weights.data(),
                                    .next_remainder = block.remainder.data(),
                                    .step = block.step.data(),
                                    .unit = block.unit.data(),
                                    .unit_again = one_.data(),
                                    .squared = squared_step_.data()});
    for (const auto& [lane, run] : staying) put(lane, run, block);
    std::fill(block.step.begin(), block.step.end(), 0.0);
    std::fill(block.unit.begin(), block.unit.end(), 1.0);
    block.is_moving.assign(width(), false);
  }

  JointSamples<T> samples_;
  DenseProducts<T> products_;
  std::array<Block, n_blocks> blocks_;
  std::vector<bool> is_taken_;
  LineArray<double> one_, squared_step_;
};

}  // namespace softstep
