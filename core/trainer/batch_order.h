#pragma once

// The order of mini-batches. Epoch e is a permutation of 0 .. n-1: Fisher and Yates's shuffle from the back,
// j = index(k + 1) for k = n-1 .. 1 swaps k and j, with the random stream of core/data/random_stream.h seeded
// by
//   seed xor 0x62617463686573 ("batches") + e * 0x9e3779b97f4a7c15
// Its batches are consecutive pieces of batch_size, each then put in ascending order, as memory and ranks
// have the samples; the last is what remains. A function of seed, n, batch_size and the step.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/data/random_stream.h"
#include "softstep/model.h"

namespace softstep {

class BatchOrder {
 public:
  /// batch_size 0 or n: all samples, in order, at every step.
  BatchOrder(std::size_t n, std::size_t batch_size, std::uint64_t seed)
      : n_(n), size_(batch_size == 0 ? n : batch_size), seed_(seed) {}

  bool is_whole() const { return size_ >= n_; }

  SampleSet at(std::int64_t step) {
    if (is_whole()) return {};
    const auto per_epoch = static_cast<std::int64_t>((n_ + size_ - 1) / size_);
    shuffle(step / per_epoch);
    const std::size_t first = static_cast<std::size_t>(step % per_epoch) * size_;
    return {{order_.data() + first, std::min(size_, n_ - first)}};
  }

 private:
  void shuffle(std::int64_t epoch) {
    if (epoch == epoch_) return;
    epoch_ = epoch;
    order_.resize(n_);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    data::RandomStream random((seed_ ^ 0x62617463686573u) +
                              static_cast<std::uint64_t>(epoch) * 0x9e3779b97f4a7c15u);
    for (std::size_t k = n_ - 1; k > 0; --k) std::swap(order_[k], order_[random.index(k + 1)]);
    for (std::size_t first = 0; first < n_; first += size_)
      std::sort(order_.data() + first, order_.data() + std::min(n_, first + size_));
  }

  std::size_t n_, size_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::size_t> order_;
};

}  // namespace softstep
