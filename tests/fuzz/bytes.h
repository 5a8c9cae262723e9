#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>

namespace softstep::fuzz {

/// Takes choices out of an input, one byte or more each; zeros once it has ended.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  std::uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  std::uint64_t word() {
    std::uint64_t out = 0;
    for (int k = 0; k < 8; ++k) out = out << 8 | byte();
    return out;
  }
  bool flag() { return (byte() & 1) != 0; }
  /// In [low, high], which are less than 256 apart.
  std::size_t between(std::size_t low, std::size_t high) { return low + byte() % (high - low + 1); }
  template <class Value>
  Value pick(std::initializer_list<Value> choices) {
    return std::data(choices)[byte() % choices.size()];
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace softstep::fuzz
