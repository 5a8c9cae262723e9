#pragma once

// What every function of the C face is wrapped in: exceptions become codes and a message of the thread.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "softstep/c/softstep.h"
#include "softstep/error.h"

namespace softstep::c {

/// Keeps what has gone wrong for softstep_last_message(), and returns its code. Called within a catch block.
softstep_status note_exception() noexcept;

/// Runs the body; what it throws becomes a code.
template <class Body>
softstep_status guarded(Body body) noexcept {
  try {
    body();
    return SOFTSTEP_OK;
  } catch (...) {
    return note_exception();
  }
}

/// An entry of an array of arguments, as messages name it.
inline std::string nth(const char* name, std::size_t k) {
  return std::string(name) + "[" + std::to_string(k) + "]";
}

/// Throws InvalidArgument for a null pointer.
template <class P>
P* required(P* pointer, const char* name) {
  if (pointer == nullptr) throw InvalidArgument(name, "null");
  return pointer;
}

[[noreturn]] inline void refuse_size(const char* name, std::size_t size) {
  throw InvalidArgument(std::string(name) + ".struct_size",
                        std::to_string(size) + " (set it to sizeof of the struct)");
}

/// Whether a struct of the caller's can have this size: it holds its size, and ends where one more could
/// begin, so that no pointer in it is cut.
template <class Struct>
bool is_size_of_struct(std::size_t size) {
  return size >= sizeof(std::size_t) && size % alignof(Struct) == 0;
}

/// The caller's struct, whose first field is its size, with what it does not know left 0; all 0 for a null
/// pointer. A struct that is larger than this library's must have 0 in what is not known here.
template <class Struct>
Struct read(const Struct* given, const char* name) {
  Struct out{};
  if (given == nullptr) return out;
  const std::size_t size = given->struct_size;
  if (!is_size_of_struct<Struct>(size)) refuse_size(name, size);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t k = sizeof(Struct); k < size; ++k)
    if (bytes[k] != 0)
      throw InvalidArgument(
          std::string(name) + ".struct_size",
          std::to_string(size) + " (the program uses fields that this library does not know)");
  std::memcpy(&out, given, std::min(size, sizeof(Struct)));
  return out;
}

/// The same, without a copy where the caller's struct is the library's own: for calls that take some hundred
/// nanoseconds.
template <class Struct>
class Given {
 public:
  Given(const Struct* given, const char* name) : at_(given) {
    if (given != nullptr && given->struct_size == sizeof(Struct)) return;
    at_ = &copy_.emplace(read(given, name));
  }
  Given(const Given&) = delete;
  Given& operator=(const Given&) = delete;
  const Struct& operator*() const { return *at_; }

 private:
  std::optional<Struct> copy_;
  const Struct* at_;
};

/// Whether `out` can be written, before anything is.
template <class Struct>
void check_writable(const Struct* out, const char* name) {
  if (out != nullptr && !is_size_of_struct<Struct>(out->struct_size)) refuse_size(name, out->struct_size);
}
/// Fills in the fields that the caller's struct has room for.
template <class Struct>
void write(const Struct& result, Struct* out, const char* name) {
  if (out == nullptr) return;
  check_writable(out, name);
  const std::size_t size = out->struct_size, first = sizeof(std::size_t);
  auto* to = reinterpret_cast<unsigned char*>(out) + first;
  const auto* from = reinterpret_cast<const unsigned char*>(&result) + first;
  if (size >= sizeof(Struct))
    std::memcpy(to, from, sizeof(Struct) - first);
  else
    std::memcpy(to, from, size - first);
}

/// Writes results[k] to the k-th struct of the caller's array, as long as each of them says it is.
template <class Struct>
class Results {
 public:
  /// Throws InvalidArgument where not all n have the same size, before anything is written. Null: not wanted.
  Results(Struct* first, std::size_t n, const char* name) : first_(first), name_(name) {
    if (first == nullptr || n == 0) return;
    check_writable(first, name);
    for (std::size_t k = 1; k < n; ++k)
      if (at(k)->struct_size != first->struct_size) refuse_size(nth(name, k).c_str(), at(k)->struct_size);
  }
  void put(std::size_t k, const Struct& result) {
    if (first_ != nullptr) write(result, at(k), name_);
  }

 private:
  Struct* at(std::size_t k) const {
    return reinterpret_cast<Struct*>(reinterpret_cast<unsigned char*>(first_) + k * first_->struct_size);
  }
  Struct* first_;
  const char* name_;
};

/// A word, "" for null.
inline std::string word(const char* text) { return text == nullptr ? "" : text; }

/// 0 means one thread, -1 all.
inline int threads(std::int32_t n, const char* name) {
  if (n < -1) throw InvalidArgument(name, std::to_string(n) + " (need -1, 0, or a number of threads)");
  return n == 0 ? 1 : n == -1 ? 0 : n;
}

}  // namespace softstep::c
