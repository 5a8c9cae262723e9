#include "array.h"

#include <nanobind/stl/string.h>

#include <bit>
#include <cstring>
#include <utility>

#include "dlpack_exchange.h"
#include "softstep/error.h"

namespace softstep::python {
namespace {

constexpr std::int32_t dlpack_cpu = 1;

// A type of the struct module: an optional sign of byte order and one letter.
Number number_of_format(const char* format, std::ptrdiff_t bytes, bool& swapped) {
  const bool little = std::endian::native == std::endian::little;
  swapped = false;
  if (format == nullptr) return Number::u8;
  switch (*format) {
    case '<':
      swapped = !little, ++format;
      break;
    case '>':
    case '!':
      swapped = little, ++format;
      break;
    case '@':
    case '=':
      ++format;
      break;
    default:
      break;
  }
  if (std::strlen(format) != 1) return Number::other;
  const bool wide[] = {bytes == 1, bytes == 2, bytes == 4, bytes == 8};
  switch (*format) {
    case 'e':
      return Number::f16;
    case 'f':
      return Number::f32;
    case 'd':
      return Number::f64;
    case '?':
      return Number::boolean;
    case 'b':
    case 'h':
    case 'i':
    case 'l':
    case 'q':
    case 'n':
      return wide[0] ? Number::i8 : wide[1] ? Number::i16 : wide[2] ? Number::i32 : Number::i64;
    case 'B':
    case 'H':
    case 'I':
    case 'L':
    case 'Q':
    case 'N':
      return wide[0] ? Number::u8 : wide[1] ? Number::u16 : wide[2] ? Number::u32 : Number::u64;
    default:
      return Number::other;
  }
}

Number number_of_dlpack(nb::dlpack::dtype type) {
  if (type.lanes != 1) return Number::other;
  const auto integer = [&](Number a, Number b, Number c, Number d) {
    switch (type.bits) {
      case 8:
        return a;
      case 16:
        return b;
      case 32:
        return c;
      case 64:
        return d;
      default:
        return Number::other;
    }
  };
  switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
    case nb::dlpack::dtype_code::Float:
      return integer(Number::other, Number::f16, Number::f32, Number::f64);
    case nb::dlpack::dtype_code::Bfloat:
      return type.bits == 16 ? Number::bf16 : Number::other;
    case nb::dlpack::dtype_code::Int:
      return integer(Number::i8, Number::i16, Number::i32, Number::i64);
    case nb::dlpack::dtype_code::UInt:
      return integer(Number::u8, Number::u16, Number::u32, Number::u64);
    case nb::dlpack::dtype_code::Bool:
      return type.bits == 8 ? Number::boolean : Number::other;
    default:
      return Number::other;
  }
}

std::string text(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

// Whether PyTorch hands what is done to the tensor to a class of Python's: then it may have shapes alone, or
// wrap others.
bool is_dispatched(nb::handle object) {
  if (!nb::hasattr(object.type(), "__torch_dispatch__")) return false;
  static const nb::handle plain =
      nb::object(nb::module_::import_("torch").attr("Tensor").attr("__torch_dispatch__")).release();
  return !nb::object(object.type().attr("__torch_dispatch__")).is(plain);
}

// bfloat16 of ml_dtypes, which the buffer protocol has no letter for.
bool is_numpy_bfloat16(nb::handle object) {
  return nb::hasattr(object, "dtype") && nb::hasattr(object, "view") &&
         text(object.attr("dtype")) == "bfloat16";
}

}  // namespace

const char* to_string(Number number) {
  switch (number) {
    case Number::f16:
      return "float16";
    case Number::bf16:
      return "bfloat16";
    case Number::f32:
      return "float32";
    case Number::f64:
      return "float64";
    case Number::boolean:
      return "bool";
    case Number::i8:
      return "int8";
    case Number::i16:
      return "int16";
    case Number::i32:
      return "int32";
    case Number::i64:
      return "int64";
    case Number::u8:
      return "uint8";
    case Number::u16:
      return "uint16";
    case Number::u32:
      return "uint32";
    case Number::u64:
      return "uint64";
    case Number::other:
      break;
  }
  return "another dtype";
}

StoredType stored_type_of(Number number) {
  switch (number) {
    case Number::f16:
      return StoredType::f16;
    case Number::bf16:
      return StoredType::bf16;
    case Number::f32:
      return StoredType::f32;
    default:
      return StoredType::f64;
  }
}

std::string kind_of(nb::handle object) { return text(object.type().attr("__name__")); }

Array::Array(nb::handle object, const char* name, Access access, Life life) : name_(name) {
  try {
    if (read_buffer(object, access)) return;
    if (life == Life::call && read_described(object)) return;
    read_dlpack(object, access);
  } catch (...) {
    release();
    throw;
  }
}

Array Array::of_memory(void* data, Number number, std::span<const std::int64_t> shape, const char* name) {
  Array out;
  out.name_ = name;
  if (shape.size() > most_dims)
    out.refuse(std::to_string(shape.size()) + " dimensions (at most " + std::to_string(most_dims) + ")");
  out.data_ = data;
  out.number_ = number;
  out.n_dims_ = shape.size();
  std::int64_t packed = 1;
  for (std::size_t k = shape.size(); k-- > 0;) {
    out.shape_[k] = shape[k];
    out.strides_[k] = packed;
    packed *= shape[k];
  }
  return out;
}

Array::~Array() { release(); }

Array::Array(Array&& other) noexcept { *this = std::move(other); }

Array& Array::operator=(Array&& other) noexcept {
  if (this == &other) return *this;
  release();
  name_ = other.name_;
  data_ = std::exchange(other.data_, nullptr);
  number_ = other.number_;
  n_dims_ = std::exchange(other.n_dims_, 0);
  shape_ = other.shape_;
  strides_ = other.strides_;
  buffer_ = std::exchange(other.buffer_, Py_buffer{});
  kept_ = std::move(other.kept_);
  tensor_ = std::move(other.tensor_);
  return *this;
}

void Array::release() noexcept {
  if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
  buffer_.obj = nullptr;
}

void Array::refuse(const std::string& problem) const { throw InvalidArgument(name_, problem); }

bool Array::read_buffer(nb::handle object, Access access) {
  if (PyObject_CheckBuffer(object.ptr()) == 0) return false;
  if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
    buffer_.obj = nullptr;
    nb::python_error raised;  // takes the error over, so that none is left
    if (is_numpy_bfloat16(object)) {
      const nb::object bits = object.attr("view")("uint16");
      if (!read_buffer(bits, access)) refuse("not an array");
      number_ = Number::bf16;
      return true;
    }
    if (nb::hasattr(object, "__dlpack__")) return false;
    refuse(kind_of(object) + " cannot be looked at (" + text(raised.value()) + ")");
  }
  bool swapped = false;
  number_ = number_of_format(buffer_.format, buffer_.itemsize, swapped);
  if (swapped)
    refuse(std::string("bytes in swapped order (dtype ") + buffer_.format + "; need native order)");
  if (number_ == Number::other)
    refuse(std::string("dtype with format ") + buffer_.format + " (need a real number type)");
  if (static_cast<std::size_t>(buffer_.ndim) > most_dims)
    refuse(std::to_string(buffer_.ndim) + " dimensions (at most " + std::to_string(most_dims) + ")");
  if (access == Access::write && buffer_.readonly != 0)
    refuse("read-only " + kind_of(object) + " (it is to be written)");
  data_ = buffer_.buf;
  n_dims_ = static_cast<std::size_t>(buffer_.ndim);
  for (std::size_t k = 0; k < n_dims_; ++k) {
    shape_[k] = buffer_.shape[k];
    if (shape_[k] > 1 && buffer_.strides[k] % buffer_.itemsize != 0)
      refuse("a stride of " + std::to_string(buffer_.strides[k]) + " bytes, with elements of " +
             std::to_string(buffer_.itemsize));
    strides_[k] = buffer_.strides[k] / buffer_.itemsize;
  }
  if (reinterpret_cast<std::uintptr_t>(data_) % item_bytes() != 0)
    refuse(std::string("not aligned to its ") + to_string(number_) + " elements");
  return true;
}

void Array::require_cpu(nb::handle object) const {
  if (!nb::hasattr(object, "__dlpack_device__")) return;
  try {
    const nb::object device = object.attr("__dlpack_device__")();
    if (nb::cast<int>(nb::object(device[0])) == dlpack_cpu) return;
  } catch (nb::python_error&) {
  }
  refuse("on the device " + (nb::hasattr(object, "device") ? text(object.attr("device")) : kind_of(object)) +
         " (need memory of the CPU)");
}

// PyTorch gives the elements of a tensor without memory an address too: that of none, and from there on.
void Array::require_memory(nb::handle object) const {
  if (!is_dispatched(object)) return;
  try {
    if (nb::cast<std::uintptr_t>(object.attr("untyped_storage")().attr("data_ptr")()) != 0) return;
  } catch (nb::python_error&) {
  }
  if (size() > 0) refuse(kind_of(object) + " has no memory of its own (need a tensor with numbers)");
}

// Of types that have the table of DLPack; these (PyTorch's) have no read-only arrays.
bool Array::read_described(nb::handle object) {
  nb::dlpack::dltensor tensor;
  if (!describe_tensor(object, tensor)) return false;
  if (tensor.device.device_type != dlpack_cpu) require_cpu(object);
  take(tensor, object);
  require_memory(object);
  kept_ = nb::borrow(object);
  return true;
}

void Array::take(const nb::dlpack::dltensor& tensor, nb::handle object) {
  if (tensor.device.device_type != dlpack_cpu) refuse("not in memory of the CPU");
  number_ = number_of_dlpack(tensor.dtype);
  if (number_ == Number::other)
    refuse("dtype " + (nb::hasattr(object, "dtype") ? text(object.attr("dtype")) : "unknown") +
           " (need a real number type)");
  if (static_cast<std::size_t>(tensor.ndim) > most_dims)
    refuse(std::to_string(tensor.ndim) + " dimensions (at most " + std::to_string(most_dims) + ")");
  data_ = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  n_dims_ = static_cast<std::size_t>(tensor.ndim);
  std::int64_t packed = 1;
  for (std::size_t k = n_dims_; k-- > 0;) {
    shape_[k] = tensor.shape[k];
    strides_[k] = tensor.strides == nullptr ? packed : tensor.strides[k];
    packed *= shape_[k];
  }
  if (data_ == nullptr && size() > 0) refuse(kind_of(object) + " has no memory (need a tensor with numbers)");
}

void Array::read_dlpack(nb::handle object, Access access) {
  if (!nb::hasattr(object, "__dlpack__"))
    refuse(kind_of(object) + " is not an array (need NumPy, PyTorch, JAX or another with __dlpack__)");
  require_cpu(object);
  // A tensor whose gradient PyTorch follows is handed out detached only.
  nb::object source = nb::borrow(object);
  if (nb::hasattr(object, "requires_grad") && nb::cast<bool>(object.attr("requires_grad")))
    source = object.attr("detach")();
  if (!nb::try_cast(source, tensor_)) {
    // The exporter knows the reason.
    try {
      source.attr("__dlpack__")();
    } catch (nb::python_error& e) {
      refuse(kind_of(object) + " cannot be looked at through DLPack (" + text(e.value()) + ")");
    }
    refuse(kind_of(object) + " cannot be looked at through DLPack");
  }
  if (access == Access::write) {
    nb::ndarray<> probe;
    if (!nb::try_cast(source, probe)) refuse("read-only " + kind_of(object) + " (it is to be written)");
  }
  nb::dlpack::dltensor seen;
  seen.data = const_cast<void*>(tensor_.data());
  seen.device = {tensor_.device_type(), tensor_.device_id()};
  seen.ndim = static_cast<std::int32_t>(tensor_.ndim());
  seen.dtype = tensor_.dtype();
  seen.shape = const_cast<std::int64_t*>(tensor_.shape_ptr());
  seen.strides = const_cast<std::int64_t*>(tensor_.stride_ptr());
  take(seen, object);
  require_memory(object);
}

std::vector<std::size_t> Array::extents() const {
  return {shape_.begin(), shape_.begin() + static_cast<std::ptrdiff_t>(n_dims_)};
}

std::size_t Array::size() const {
  std::size_t product = 1;
  for (std::size_t k = 0; k < n_dims_; ++k) product *= extent(k);
  return product;
}

std::size_t Array::item_bytes() const {
  switch (number_) {
    case Number::f64:
    case Number::i64:
    case Number::u64:
      return 8;
    case Number::f32:
    case Number::i32:
    case Number::u32:
      return 4;
    case Number::f16:
    case Number::bf16:
    case Number::i16:
    case Number::u16:
      return 2;
    default:
      return 1;
  }
}

std::string Array::shape_text() const {
  std::string out = "(";
  for (std::size_t k = 0; k < n_dims_; ++k) out += (k ? ", " : "") + std::to_string(shape_[k]);
  return out + (n_dims_ == 1 ? ",)" : ")");
}

bool Array::is_contiguous() const {
  std::int64_t packed = 1;
  for (std::size_t k = n_dims_; k-- > 0;) {
    if (shape_[k] > 1 && strides_[k] != packed) return size() == 0;
    packed *= shape_[k];
  }
  return true;
}

std::array<const std::byte*, 2> Array::ends() const {
  std::int64_t low = 0, high = 1;
  for (std::size_t k = 0; k < n_dims_; ++k) {
    const std::int64_t reach = (shape_[k] - 1) * strides_[k];
    (reach < 0 ? low : high) += reach;
  }
  const auto* begin = static_cast<const std::byte*>(data_);
  const auto bytes = static_cast<std::int64_t>(item_bytes());
  return {begin + low * bytes, begin + high * bytes};
}

bool Array::overlaps(const Array& other) const {
  if (size() == 0 || other.size() == 0) return false;
  const auto mine = ends(), theirs = other.ends();
  return mine[0] < theirs[1] && theirs[0] < mine[1];
}

void Array::require(Number number, const char* why) const {
  if (number_ == number) return;
  refuse(std::string("dtype ") + to_string(number_) + " (need " + to_string(number) + why + ")");
}

void Array::require_contiguous() const {
  if (is_contiguous()) return;
  std::string strides;
  for (std::size_t k = 0; k < n_dims_; ++k) strides += (k ? ", " : "") + std::to_string(strides_[k]);
  refuse("shape " + shape_text() + " with strides (" + strides +
         ") of elements is not contiguous in C order (numpy.ascontiguousarray makes it so)");
}

void Array::require_dims(std::size_t n_dims, const char* shape) const {
  if (n_dims_ != n_dims) refuse("shape " + shape_text() + " (need " + shape + ")");
}

nb::object real_numbers(nb::handle object, const char* name) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  const nb::object array = numpy.attr("asarray")(object), dtype = array.attr("dtype");
  const auto kind = nb::cast<std::string>(dtype.attr("kind")),
             called = nb::cast<std::string>(dtype.attr("name"));
  if (kind != "f" && kind != "i" && kind != "u" && called != "bfloat16")
    throw InvalidArgument(name, "dtype " + called + " (need real numbers)");
  return numpy.attr("ascontiguousarray")(array, "float64");
}

}  // namespace softstep::python
