#pragma once

// Memory that ends at a page nobody may touch: a kernel that reads or writes one element too far is killed on
// the spot, on every instruction set and without a sanitizer. AddressSanitizer and valgrind also know that
// what lies before the first element is nobody's, and valgrind that no element has been written yet.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <new>

#include "support/memory_marks.h"

namespace softstep::test {

template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t size) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t body = (size * sizeof(T) + page - 1) / page * page;
    bytes_ = body + 2 * page;
    base_ = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    char* first = static_cast<char*>(base_) + page;
    if (body != 0 && mprotect(first, body, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(first + body - size * sizeof(T));
    forbid(first, body - size * sizeof(T));
    leave_unwritten(data_, size * sizeof(T));
  }
  template <class Container>
  static Guarded copy_of(const Container& values) {
    Guarded out(values.size());
    std::copy(values.begin(), values.end(), out.data());
    return out;
  }
  Guarded(Guarded&& other) noexcept
      : base_(other.base_), bytes_(other.bytes_), data_(other.data_), size_(other.size_) {
    other.base_ = nullptr;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
    if (base_ == nullptr) return;
    allow(base_, bytes_);
    munmap(base_, bytes_);
  }

  void fill(T value) { std::fill(data_, data_ + size_, value); }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t k) { return data_[k]; }
  const T& operator[](std::size_t k) const { return data_[k]; }

 private:
  void* base_ = nullptr;
  std::size_t bytes_ = 0;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace softstep::test
