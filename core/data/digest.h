#pragma once

// A digest of numbers and text, to tell whether two runs look at the same: 64 bits, the same on every machine
// of this byte order. It finds accidents, not forgeries.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace softstep::data {

class Digest {
 public:
  /// Bytes, in words of eight.
  void add_bytes(const void* data, std::size_t size) {
    const auto* p = static_cast<const unsigned char*>(data);
    while (size >= 8) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      mix(word);
      p += 8;
      size -= 8;
    }
    std::uint64_t tail = 0;
    if (size > 0) std::memcpy(&tail, p, size);  // of no bytes there may be no address
    mix(tail ^ (static_cast<std::uint64_t>(size) << 56));
  }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add(const Number* values, std::size_t n) { add_bytes(values, n * sizeof(Number)); }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add(Number value) { add(&value, 1); }
  void add(std::string_view text) { add_bytes(text.data(), text.size()); }

  /// Where it stands: another process goes on from there.
  std::uint64_t& state() { return state_; }

  /// Sixteen hexadecimal digits.
  std::string text() const {
    std::uint64_t h = state_;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    std::string out(16, '0');
    for (std::size_t k = 0; k < 16; ++k) out[15 - k] = "0123456789abcdef"[(h >> (4 * k)) & 15u];
    return out;
  }

 private:
  void mix(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x9fb21c651e98df25u;
    state_ ^= state_ >> 28;
  }
  std::uint64_t state_ = 0x736f667473746570u;
};

}  // namespace softstep::data
