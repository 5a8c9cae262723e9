#include "core/data/read_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace softstep::data {
namespace {

constexpr std::size_t smallest_block = std::size_t{1} << 18;

struct Ranges {
  std::mutex mutex;
  std::vector<const BoundedRange*> all;
};
// Never destroyed, as data sets may outlive everything that is.
Ranges& ranges() {
  static Ranges* const listed = new Ranges;
  return *listed;
}
std::atomic<std::size_t> n_ranges{0};

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// The whole pages of [from, to) that are mapped from a file. Advice that is refused costs memory or time and
// no result.
void advise(const BoundedRange& range, const unsigned char* from, const unsigned char* to, int advice) {
  const std::size_t page = page_size();
  const auto address = [](const unsigned char* at) { return reinterpret_cast<std::uintptr_t>(at); };
  for (const auto& [begin, end] : range.mapped) {
    if (begin >= to || end <= from) continue;
    const std::uintptr_t first = address(std::max(from, begin)) / page * page;
    const std::uintptr_t last = address(std::min(to, end));
    // NOLINTNEXTLINE(performance-no-int-to-ptr): where a page begins is arithmetic with addresses
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
  }
}

}  // namespace

void BoundedRange::let_go() const { advise(*this, begin, begin + size, MADV_DONTNEED); }

BoundedMemory::BoundedMemory(BoundedRange range) : range_(std::move(range)) {
  Ranges& listed = ranges();
  const std::lock_guard lock(listed.mutex);
  listed.all.push_back(&range_);
  n_ranges = listed.all.size();
}

BoundedMemory::~BoundedMemory() {
  Ranges& listed = ranges();
  const std::lock_guard lock(listed.mutex);
  listed.all.erase(std::find(listed.all.begin(), listed.all.end(), &range_));
  n_ranges = listed.all.size();
}

const BoundedRange* bounded_range_of(const void* address) {
  if (n_ranges.load(std::memory_order_acquire) == 0) return nullptr;
  Ranges& listed = ranges();
  const std::lock_guard lock(listed.mutex);
  for (const BoundedRange* range : listed.all)
    if (range->holds(address)) return range;
  return nullptr;
}

ReadAhead::ReadAhead(const BoundedRange* range, std::size_t n_readers) : range_(range) {
  if (range_ == nullptr) return;
  const std::size_t page = page_size();
  block_ = std::max(range_->limit / (4 * std::max<std::size_t>(n_readers, 1)), smallest_block) / page * page;
  block_ = std::max(block_, page);
}

// Blocks are counted from the beginning of the range, which need not be that of a page: the page that two
// blocks share is let go with either, and read once more.
void ReadAhead::move_to(std::size_t first, std::size_t end) {
  const auto at = [this](std::size_t block) {
    return range_->begin + std::min(block * block_, range_->size);
  };
  const bool goes_on = first >= first_ && first <= end_;
  if (first_ < end_) {
    const std::size_t kept_from = std::clamp(first, first_, end_), kept_to = std::clamp(end, kept_from, end_);
    if (first_ < kept_from) advise(*range_, at(first_), at(kept_from), MADV_DONTNEED);
    if (kept_to < end_) advise(*range_, at(kept_to), at(end_), MADV_DONTNEED);
  }
  // One block ahead of a reader that goes on; of one that jumps it is not known where it goes next.
  const bool is_first = first_ >= end_;
  const std::size_t ahead = goes_on || is_first ? end + 1 : end;
  const std::size_t from = goes_on ? std::max(first, asked_) : first;
  if (from < ahead) advise(*range_, at(from), at(ahead), MADV_WILLNEED);
  asked_ = ahead;
  first_ = first;
  end_ = end;
}

void ReadAhead::leave() {
  if (range_ == nullptr || first_ >= end_) return;
  advise(*range_, range_->begin + std::min(first_ * block_, range_->size),
         range_->begin + std::min(end_ * block_, range_->size), MADV_DONTNEED);
}

}  // namespace softstep::data
