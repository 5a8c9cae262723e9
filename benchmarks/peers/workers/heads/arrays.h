#pragma once

// The arrays of softstep's workers of attention, read from and written to the raw files of the comparison.

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "softstep/attention.h"

namespace softstep::peers {

/// An array in the type that is measured: numbers, or the bits of f16 or bf16.
template <NumberType T>
struct Array {
  std::vector<T> numbers;
  std::vector<std::uint16_t> halves;
  StoredType storage = StoredType::working;

  std::size_t size() const { return storage == StoredType::working ? numbers.size() : halves.size(); }
  std::size_t bytes() const { return numbers.size() * sizeof(T) + halves.size() * sizeof(std::uint16_t); }
  HeadsView<T> view() const { return {numbers, halves, storage, {}}; }
  HeadsSpan<T> span() { return {numbers, halves, storage, {}}; }
};

/// The bits of a number that both types hold, normal or zero in them.
inline std::uint16_t half_of(float x, StoredType storage) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (storage == StoredType::bf16 || x == 0.0f) return static_cast<std::uint16_t>(bits >> 16);
  const std::uint32_t exponent = (bits >> 23 & 0xff) - 127 + 15;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff));
}

inline float number_of(std::uint16_t half, StoredType storage) {
  if (storage == StoredType::bf16) return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
  const int exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                     : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                      : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return half & 0x8000 ? -size : size;
}

template <NumberType T>
Array<T> blank(std::size_t size, StoredType storage) {
  Array<T> out;
  out.storage = storage;
  if (storage == StoredType::working)
    out.numbers.assign(size, T(0));
  else
    out.halves.assign(size, 0);
  return out;
}

template <NumberType T>
Array<T> read(const std::string& file, std::size_t size, StoredType storage) {
  std::vector<float> numbers(size);
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(numbers.data()), static_cast<std::streamsize>(size * sizeof(float)));
  if (!in) throw std::runtime_error("cannot read " + file);
  Array<T> out = blank<T>(size, storage);
  for (std::size_t k = 0; k < size; ++k) {
    if (storage == StoredType::working)
      out.numbers[k] = static_cast<T>(numbers[k]);
    else
      out.halves[k] = half_of(numbers[k], storage);
  }
  return out;
}

template <NumberType T>
void write(const std::string& file, const Array<T>& array) {
  std::vector<T> numbers = array.numbers;
  for (const std::uint16_t half : array.halves)
    numbers.push_back(static_cast<T>(number_of(half, array.storage)));
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(numbers.data()),
            static_cast<std::streamsize>(numbers.size() * sizeof(T)));
  if (!out) throw std::runtime_error("cannot write " + file);
}

}  // namespace softstep::peers
