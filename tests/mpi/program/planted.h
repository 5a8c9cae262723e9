#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "softstep/mpi.h"

namespace softstep::test {

// Passes all on, and adds up in another order on one rank: what came from before is added to the sum of this
// rank's own terms, where it should begin with it. Or it says to all that the run is to end, in another step.
class Planted final : public Ranks {
 public:
  Planted(std::shared_ptr<MpiRanks> ranks, std::string plant, std::size_t width)
      : ranks_(std::move(ranks)), plant_(std::move(plant)), width_(width) {}
  std::size_t rank() const override { return ranks_->rank(); }
  std::size_t size() const override { return ranks_->size(); }
  void gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    ranks_->gather(mine, all);
  }
  void broadcast(std::span<std::byte> data, std::size_t from) override {
    ranks_->broadcast(data, from);
    if (plant_ == "last-bit" && rank() == 0 && data.size() > 1000) data[8] ^= std::byte{1};
  }
  void receive(std::span<std::byte> data) override {
    ranks_->receive(data);
    if (!is_planted(data.size())) return;
    before_.push_back({data.begin(), data.end()});
    std::fill(data.begin(), data.end(), std::byte{0});
  }
  void send(std::span<const std::byte> data) override {
    if (is_planted(data.size())) {
      // The memory is the caller's sum: const for whoever only passes it on.
      auto* values = const_cast<std::byte*>(data.data());
      if (width_ == sizeof(float))
        add<float>(values, data.size());
      else
        add<double>(values, data.size());
      before_.erase(before_.begin());
    }
    ranks_->send(data);
  }
  void flush() override { ranks_->flush(); }
  SumOrder sum_order() const override { return ranks_->sum_order(); }
  void sum(std::span<float> values) override { sum_of(values); }
  void sum(std::span<double> values) override { sum_of(values); }
  void begin_sum(std::span<float> values) override { begin_sum_of(values); }
  void begin_sum(std::span<double> values) override { begin_sum_of(values); }

 private:
  bool is_planted(std::size_t size) const {
    return plant_ == "order" && rank() == 1 && rank() + 1 < this->size() && size > 1000;
  }
  // "left-out": without what one rank has; "own-sum": on one rank a sum with another last bit.
  template <class T>
  void sum_of(std::span<T> values) {
    if (plant_ == "left-out" && rank() == 1 && values.size() > 1000)
      std::fill(values.begin(), values.end(), T(0));
    ranks_->sum(values);
    if (plant_ == "own-sum" && rank() == 1 && values.size() > 1000)
      values[7] = std::nextafter(values[7], T(1000));
  }
  template <class T>
  void begin_sum_of(std::span<T> values) {
    if (plant_ == "left-out" || plant_ == "own-sum")
      sum_of(values);
    else
      ranks_->begin_sum(values);
  }
  template <class T>
  void add(std::byte* to, std::size_t size) const {
    for (std::size_t k = 0; k < size; k += sizeof(T)) {
      T a, b;
      std::memcpy(&a, to + k, sizeof a);
      std::memcpy(&b, before_.front().data() + k, sizeof b);
      a += b;
      std::memcpy(to + k, &a, sizeof a);
    }
  }
  std::shared_ptr<MpiRanks> ranks_;
  std::string plant_;
  std::size_t width_;
  std::vector<std::vector<std::byte>> before_;
};

template <class Values>
void append(std::vector<unsigned char>& to, const Values& values) {
  const auto* p = reinterpret_cast<const unsigned char*>(values.data());
  to.insert(to.end(), p, p + values.size() * sizeof(values[0]));
}

}  // namespace softstep::test
