#pragma once

// Arrays of other libraries, looked at where they lie: NumPy's through the buffer protocol, those of PyTorch,
// JAX and others through DLPack. Nothing is copied. Whatever cannot be looked at is an InvalidArgument that
// names the argument.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "softstep/number_type.h"
#include "softstep/stored_type.h"

namespace softstep::python {

namespace nb = nanobind;

enum class Number { f16, bf16, f32, f64, boolean, i8, i16, i32, i64, u8, u16, u32, u64, other };
const char* to_string(Number number);  // "float32"
template <NumberType T>
constexpr Number number_of = std::same_as<T, float> ? Number::f32 : Number::f64;
inline bool in_16_bits(Number number) { return number == Number::f16 || number == Number::bf16; }
StoredType stored_type_of(Number number);

enum class Access { read, write };
/// How long an array is looked at: during one call, in which the caller keeps it, or as long as the Array
/// lives.
enum class Life { call, object };

class Array {
 public:
  static constexpr std::size_t most_dims = 6;

  Array() = default;
  /// Holds the GIL. Throws InvalidArgument: no array, in another memory than the CPU's, of swapped bytes,
  /// read-only where it is to be written.
  Array(nb::handle object, const char* name, Access access = Access::read, Life life = Life::call);
  /// Memory of someone who is not Python, in C order; it is the caller's to keep.
  static Array of_memory(void* data, Number number, std::span<const std::int64_t> shape, const char* name);
  ~Array();
  Array(Array&& other) noexcept;
  Array& operator=(Array&& other) noexcept;

  bool given() const { return data_ != nullptr || n_dims_ > 0; }
  const std::string name() const { return name_; }
  const char* label() const { return name_; }  ///< the same, where it was given
  Number number() const { return number_; }
  std::size_t n_dims() const { return n_dims_; }
  std::size_t extent(std::size_t k) const { return static_cast<std::size_t>(shape_[k]); }
  std::vector<std::size_t> extents() const;
  std::ptrdiff_t stride(std::size_t k) const { return strides_[k]; }  ///< in elements
  std::size_t size() const;
  std::size_t item_bytes() const;
  void* data() const { return data_; }
  /// "(10, 6, 60)"
  std::string shape_text() const;
  bool is_contiguous() const;  ///< in C order
  /// Whether two arrays share memory, judged by their ends.
  bool overlaps(const Array& other) const;

  /// What its elements are, for NumPy arrays of bits (uint16) that stand for bfloat16.
  void call_it(Number number) { number_ = number; }

  /// Throws InvalidArgument unless its numbers are of this kind.
  void require(Number number, const char* why = "") const;
  void require_contiguous() const;
  void require_dims(std::size_t n_dims, const char* shape) const;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }
  template <class T>
  T* writable() const {
    return static_cast<T*>(data_);
  }
  /// All of a contiguous array.
  template <class T>
  std::span<const T> span() const {
    return {as<T>(), size()};
  }

 private:
  bool read_buffer(nb::handle object, Access access);
  bool read_described(nb::handle object);
  void read_dlpack(nb::handle object, Access access);
  void take(const nb::dlpack::dltensor& tensor, nb::handle object);
  void require_cpu(nb::handle object) const;
  void require_memory(nb::handle object) const;
  [[noreturn]] void refuse(const std::string& problem) const;
  std::array<const std::byte*, 2> ends() const;
  void release() noexcept;

  const char* name_ = "";
  void* data_ = nullptr;
  Number number_ = Number::other;
  std::size_t n_dims_ = 0;
  std::array<std::int64_t, most_dims> shape_ = {};
  std::array<std::int64_t, most_dims> strides_ = {};
  Py_buffer buffer_ = {};  // obj is null where it is not used
  nb::object kept_ = {};
  nb::ndarray<nb::ro> tensor_ = {};
};

/// Whatever NumPy makes an array of, as doubles in C order, copied where it has to be. Throws
/// InvalidArgument(name) for what are no real numbers: a conversion would drop the imaginary part of a
/// complex one.
nb::object real_numbers(nb::handle object, const char* name);

/// The name of an object's type, for messages.
std::string kind_of(nb::handle object);

}  // namespace softstep::python
