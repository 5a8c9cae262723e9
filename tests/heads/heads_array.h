#pragma once

// An array [batch][heads][rows][columns] in any order that HeadsStrides can name, in memory that ends at a
// protected page. What lies between its elements is NaN.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "heads/halves.h"
#include "softstep/attention.h"
#include "support/guarded.h"

namespace softstep::test {

/// How elements lie in memory.
enum class Order {
  packed,        ///< strides not given
  tokens_first,  ///< [batch][rows][heads][columns]
  padded,        ///< gaps after each row, head and entry of the batch
  backwards,     ///< rows, heads and entries from last to first
  repeated,      ///< every entry of the batch, and every head, is the same memory: for reading alone
};

/// Rows of the entries of a batch.
struct Rows {
  std::vector<std::size_t> of_entry;
  bool ragged = false;  ///< entries follow each other in one array without a batch dimension
  std::size_t total() const {
    std::size_t sum = 0;
    for (const std::size_t n : of_entry) sum += n;
    return sum;
  }
};

template <class T>
class HeadsArray {
 public:
  HeadsArray(const Rows& rows, std::size_t n_heads, std::size_t n_cols, Order order, StoredType storage)
      : rows_(rows),
        n_heads_(n_heads),
        n_cols_(n_cols),
        storage_(storage),
        numbers_(in_16_bits(storage) ? 0 : size_of(order)),
        halves_(in_16_bits(storage) ? size_of(order) : 0) {
    if (order == Order::packed) strides_ = {};
    std::fill_n(numbers_.data(), numbers_.size(), std::numeric_limits<T>::quiet_NaN());
    std::fill_n(halves_.data(), halves_.size(), nan_bits);
  }

  const Rows& rows() const { return rows_; }
  std::size_t n_heads() const { return n_heads_; }
  std::size_t n_cols() const { return n_cols_; }
  StoredType storage() const { return storage_; }

  T get(std::size_t b, std::size_t h, std::size_t r, std::size_t c) const {
    const std::size_t k = place(b, h, r, c);
    if (in_16_bits(storage_)) return static_cast<T>(read_half(storage_, halves_[k]));
    return numbers_[k];
  }
  /// Rounded to what is stored.
  void set(std::size_t b, std::size_t h, std::size_t r, std::size_t c, double x) {
    const std::size_t k = place(b, h, r, c);
    if (in_16_bits(storage_))
      halves_[k] = round_to_half(storage_, x);
    else
      numbers_[k] = static_cast<T>(x);
  }
  /// Calls body(b, h, r, c) for every element.
  template <class Body>
  void for_each(Body&& body) const {
    for (std::size_t b = 0; b < rows_.of_entry.size(); ++b)
      for (std::size_t h = 0; h < n_heads_; ++h)
        for (std::size_t r = 0; r < rows_.of_entry[b]; ++r)
          for (std::size_t c = 0; c < n_cols_; ++c) body(b, h, r, c);
  }
  template <class Number>
  void fill(Number&& number) {
    for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) { set(b, h, r, c, number()); });
  }

  HeadsView<T> view() const { return face<HeadsView<T>>(*this); }
  HeadsSpan<T> span() { return face<HeadsSpan<T>>(*this); }

  /// Everything in memory, gaps too, as bits.
  std::vector<std::uint64_t> bits() const {
    std::vector<std::uint64_t> out(halves_.data(), halves_.data() + halves_.size());
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    for (std::size_t k = 0; k < numbers_.size(); ++k) out.push_back(std::bit_cast<Bits>(numbers_[k]));
    return out;
  }
  /// The elements, in order, as bits.
  std::vector<std::uint64_t> element_bits() const {
    const std::vector<std::uint64_t> all = bits();
    std::vector<std::uint64_t> out;
    for_each([&](auto... index) { out.push_back(all[place(index...)]); });
    return out;
  }
  /// Whether what lies between the elements is as it was made.
  bool gaps_untouched() const {
    std::vector<bool> element(numbers_.size() + halves_.size(), false);
    for_each([&](auto... index) { element[place(index...)] = true; });
    for (std::size_t k = 0; k < numbers_.size(); ++k)
      if (!element[k] && !std::isnan(numbers_[k])) return false;
    for (std::size_t k = 0; k < halves_.size(); ++k)
      if (!element[k] && halves_[k] != nan_bits) return false;
    return true;
  }

  std::size_t place(std::size_t b, std::size_t h, std::size_t r, std::size_t c) const {
    std::size_t row = r;
    std::ptrdiff_t at = static_cast<std::ptrdiff_t>(strides_.origin + c);
    if (rows_.ragged)
      for (std::size_t e = 0; e < b; ++e) row += rows_.of_entry[e];
    else
      at += static_cast<std::ptrdiff_t>(b) * steps_[0];
    return static_cast<std::size_t>(at + static_cast<std::ptrdiff_t>(h) * steps_[1] +
                                    static_cast<std::ptrdiff_t>(row) * steps_[2]);
  }

 private:
  template <class Face, class Array>
  static Face face(Array& array) {
    Face out;
    if (in_16_bits(array.storage_))
      out.halves = {array.halves_.data(), array.halves_.size()};
    else
      out.numbers = {array.numbers_.data(), array.numbers_.size()};
    out.storage = array.storage_;
    out.strides = array.strides_;
    return out;
  }

  static constexpr std::uint16_t nan_bits = 0x7fff;  // of f16 and of bf16

  // Sets the strides; the number of elements between the first and the last in memory.
  std::size_t size_of(Order order) {
    const std::ptrdiff_t cols = static_cast<std::ptrdiff_t>(n_cols_),
                         heads = static_cast<std::ptrdiff_t>(n_heads_),
                         batch = rows_.ragged ? 1 : static_cast<std::ptrdiff_t>(rows_.of_entry.size()),
                         rows = static_cast<std::ptrdiff_t>(rows_.ragged ? rows_.total()
                                                                         : rows_.of_entry.front());
    const bool rows_outside = order == Order::tokens_first || (rows_.ragged && order == Order::packed);
    const std::ptrdiff_t gap = order == Order::padded ? 3 : 0;
    if (rows_outside) {
      steps_[1] = cols;
      steps_[2] = heads * cols;
      steps_[0] = rows * heads * cols;
    } else {
      steps_[2] = cols + gap;
      steps_[1] = rows * steps_[2] + 2 * gap;
      steps_[0] = heads * steps_[1] + gap;
    }
    if (order == Order::repeated) steps_[0] = steps_[1] = 0;
    if (order == Order::backwards)
      for (std::ptrdiff_t& step : steps_) step = -step;
    const std::ptrdiff_t counts[3] = {batch, heads, rows};
    std::ptrdiff_t lowest = 0, highest = cols - 1;
    for (int k = 0; k < 3; ++k) {
      if (counts[k] == 0) return 0;
      (steps_[k] < 0 ? lowest : highest) += (counts[k] - 1) * steps_[k];
    }
    strides_ = {static_cast<std::size_t>(-lowest), steps_[0], steps_[1], steps_[2]};
    if (rows_.ragged) strides_.batch = std::nullopt;
    return static_cast<std::size_t>(highest - lowest + 1);
  }

  Rows rows_;
  std::size_t n_heads_, n_cols_;
  StoredType storage_;
  HeadsStrides strides_ = {};
  std::ptrdiff_t steps_[3] = {};
  Guarded<T> numbers_;
  Guarded<std::uint16_t> halves_;
};

}  // namespace softstep::test
