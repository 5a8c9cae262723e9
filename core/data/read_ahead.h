#pragma once

// Mapped files of which only so many pages may be in this process at a time. Whoever goes through the tokens
// says what it is about to read; the pages behind it are let go and those ahead are asked for. Only pages
// that the system can read from the file again are let go, so no bit of a result depends on it.

#include <cstddef>
#include <utility>
#include <vector>

namespace softstep::data {

/// A range of addresses, parts of which are mapped from files that nobody writes to.
struct BoundedRange {
  const unsigned char* begin = nullptr;
  std::size_t size = 0;
  std::size_t limit = 0;  ///< bytes that may be here at a time, for all readers together
  /// First and last address of what is mapped, whole pages, in order. What lies between is memory of our own.
  std::vector<std::pair<const unsigned char*, const unsigned char*>> mapped = {};

  bool holds(const void* address) const {
    const auto* const at = static_cast<const unsigned char*>(address);
    return begin <= at && at < begin + size;
  }
  /// Gives the pages of all of it back to the system.
  void let_go() const;
};

/// Puts a range on the list that bounded_range_of() looks at, until it is destroyed.
class BoundedMemory {
 public:
  explicit BoundedMemory(BoundedRange range);
  ~BoundedMemory();
  BoundedMemory(const BoundedMemory&) = delete;
  BoundedMemory& operator=(const BoundedMemory&) = delete;
  const BoundedRange& range() const { return range_; }

 private:
  BoundedRange range_;
};

/// The range that an address lies in, while its BoundedMemory lives; null for any other memory.
const BoundedRange* bounded_range_of(const void* address);

/// One reader that goes through a range; of a null range it does nothing.
class ReadAhead {
 public:
  ReadAhead() = default;
  /// `n_readers` go through the range at the same time and share its limit. Each holds at most two blocks and
  /// what it reads at once: a block is a quarter of its share, at least 256 KiB.
  ReadAhead(const BoundedRange* range, std::size_t n_readers);
  explicit ReadAhead(const void* address) : ReadAhead(bounded_range_of(address), 1) {}
  ~ReadAhead() { leave(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// Before `n_bytes` from `at` are read. Addresses outside the range are none of its business.
  void reading(const void* at, std::size_t n_bytes) {
    if (range_ == nullptr || !range_->holds(at) || n_bytes == 0) return;
    const auto from = static_cast<std::size_t>(static_cast<const unsigned char*>(at) - range_->begin);
    const std::size_t first = from / block_, last = (from + n_bytes - 1) / block_;
    if (first != first_ || last >= end_) move_to(first, last + 1);
  }

 private:
  void move_to(std::size_t first, std::size_t end);
  void leave();

  const BoundedRange* range_ = nullptr;
  std::size_t block_ = 1;
  std::size_t first_ = 1, end_ = 0;  // blocks that are held; at first none
  std::size_t asked_ = 0;            // the block ahead that was asked for last, plus 1
};

}  // namespace softstep::data
