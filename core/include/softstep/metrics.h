#pragma once

#include <cstddef>
#include <vector>

#include "softstep/batch.h"

namespace softstep {

/// ||A||_F without overflow or underflow. `size` elements.
template <class T>
double frobenius_norm(const T* a, std::size_t size);

/// Angle between two directions, computed from the unit matrices' difference and never as a subtraction from
/// 1, so that it is right to rounding for nearly parallel matrices.
struct Direction {
  double one_minus_cos =
      1.0;             ///< half the squared distance of the unit matrices, in [0, 2]; 1 if one is zero
  double angle = 0.0;  ///< radians, in [0, pi]; pi/2 if one is zero
};
template <class A, class B>
Direction compare_direction(const A* a, const B* b, std::size_t size);

/// min over i and t != opt_i of (x_i,opt - x_it)^T W z_i / ||W||_F; +infinity with no constraint, NaN at W =
/// 0.
template <class T, class W>
double normalized_margin(const BatchView<T>& batch, const TokenScores& scores, const W* weights);

/// Mean over samples of the attention entropy -sum_t p_it log p_it (natural), right under saturation.
template <class T, class W>
double mean_attention_entropy(const BatchView<T>& batch, const W* weights);

}  // namespace softstep
