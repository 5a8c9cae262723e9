#pragma once

// The two products of runs side by side that keep W itself, one run to a lane: V = W Z^T and G = g^T Z. The
// order of sums is that of lane_samples.h.

#include "core/trainer/many/lane_samples.h"

namespace softstep {

template <class T>
class DenseProducts {
 public:
  explicit DenseProducts(const RunShape& shape, std::size_t columns)
      : dim_(shape.dim), n_(shape.n_samples), columns_(columns) {
    queries_.assign(dim_ * columns, T(0));
  }

  /// Puts a run's queries into a lane.
  void take_in(const LaneSamples<T>& samples, std::size_t lane, const AttentionData<T>& data) {
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t k = 0; k < dim_; ++k)
        queries_[k * columns_ + samples.column(i, lane)] = data.queries[i * data.stride + k];
  }
  /// V of all runs, where the samples have it.
  void project(const T* weights, LaneSamples<T>& samples) const {
    const std::size_t w = samples.width();
    samples.kernels().run_product({.n_rows = dim_,
                                   .n_cols = n_,
                                   .n_inner = dim_,
                                   .a = weights,
                                   .a_row = dim_ * w,
                                   .a_col = w,
                                   .b = queries_.data(),
                                   .b_row = columns_,
                                   .b_col = w,
                                   .out = samples.projected(),
                                   .out_row = columns_,
                                   .out_col = w,
                                   .squared = nullptr});
  }
  /// The mantissas of all gradients, and the sums of their squares.
  void multiply(const LaneSamples<T>& samples, T* gradient, double* squared) const {
    const std::size_t w = samples.width();
    samples.kernels().run_product({.n_rows = dim_,
                                   .n_cols = dim_,
                                   .n_inner = n_,
                                   .a = samples.rows(),
                                   .a_row = columns_,
                                   .a_col = w,
                                   .b = queries_.data(),
                                   .b_row = w,
                                   .b_col = columns_,
                                   .out = gradient,
                                   .out_row = dim_ * w,
                                   .out_col = w,
                                   .squared = squared});
  }

 private:
  const std::size_t dim_, n_, columns_;
  LineArray<T> queries_;  // z_ik at k * columns + column
};

/// What a run in a lane has of numbers by entry, entry k of the run in lane r at k * width + r.
template <class To, class From>
void put_into_lane(std::size_t lane, std::size_t width, const From& from, To& to) {
  for (std::size_t k = lane, at = 0; k < to.size(); k += width, ++at)
    to[k] = from.empty() ? typename To::value_type(0) : from[at];
}
template <class From>
std::vector<typename From::value_type> taken_from_lane(std::size_t lane, std::size_t width,
                                                       const From& from) {
  std::vector<typename From::value_type> out;
  for (std::size_t k = lane; k < from.size(); k += width) out.push_back(from[k]);
  return out;
}

}  // namespace softstep
