// The number types of tensor files and their conversion from and to host types.

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/data/files/safetensors.h"
#include "core/data/half.h"
#include "core/data/text.h"
#include "softstep/files.h"

namespace softstep {

const char* to_string(StoredType type) {
  switch (type) {
    case StoredType::working:
      return "working";
    case StoredType::f64:
      return "f64";
    case StoredType::f32:
      return "f32";
    case StoredType::f16:
      return "f16";
    case StoredType::bf16:
      return "bf16";
  }
  throw InvalidArgument("stored_type", std::to_string(static_cast<int>(type)) + " (not a StoredType)");
}

StoredType parse_stored_type(const std::string& name) {
  for (const StoredType type :
       {StoredType::working, StoredType::f64, StoredType::f32, StoredType::f16, StoredType::bf16})
    if (name == to_string(type)) return type;
  throw InvalidArgument("stored_type", data::name_text(name) + " (known: working, f64, f32, f16, bf16)");
}

namespace data {
namespace {

// The types of the format. Most are never read here; with the size of each the header can be checked.
struct DtypeRow {
  const char* name;
  std::size_t bits;
};
constexpr DtypeRow dtypes[] = {
    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"BOOL", 8},        {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"F64", 64},    {"I64", 64},    {"U64", 64},    {"C64", 64}};

template <class Stored, class T, class Value>
std::vector<T> decode_each(const std::string& path, const TensorEntry& tensor, Value value_of) {
  std::vector<T> out(tensor.count);
  for (std::size_t k = 0; k < tensor.count; ++k) {
    Stored stored;
    std::memcpy(&stored, tensor.bytes + k * sizeof stored, sizeof stored);
    const auto value = value_of(stored);
    if constexpr (sizeof(T) < sizeof value)
      if (overflows_float(value))
        throw BadFile(path, "tensor " + name_text(tensor.name) + ", element " + std::to_string(k) + ": " +
                                number_text(value) + " overflows in float");
    out[k] = static_cast<T>(value);
  }
  return out;
}

// The number rounded to a 16-bit type; false if a finite value became infinite.
bool encode(double value, StoredType type, std::uint16_t& bits) {
  const bool f16 = type == StoredType::f16;
  bits = f16 ? encode_f16(value) : encode_bf16(value);
  return !std::isfinite(value) || std::isfinite(f16 ? decode_f16(bits) : decode_bf16(bits));
}

}  // namespace

std::size_t dtype_bits(const std::string& dtype) {
  for (const DtypeRow& row : dtypes)
    if (dtype == row.name) return row.bits;
  return 0;
}

bool is_float(const std::string& dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

const char* dtype_of(StoredType type) {
  switch (type) {
    case StoredType::working:  // files are written from doubles
    case StoredType::f64:
      return "F64";
    case StoredType::f32:
      return "F32";
    case StoredType::f16:
      return "F16";
    case StoredType::bf16:
      return "BF16";
  }
  throw InvalidArgument("stored_type", std::to_string(static_cast<int>(type)) + " (not a StoredType)");
}

StoredType stored_type_of(const std::string& float_dtype) {
  if (float_dtype == "F64") return StoredType::f64;
  if (float_dtype == "F32") return StoredType::f32;
  return float_dtype == "F16" ? StoredType::f16 : StoredType::bf16;
}

void write_number(OutputFile& file, const std::string& path, const std::string& tensor, double value,
                  StoredType type) {
  bool fits = true;
  if (type == StoredType::f64 || type == StoredType::working) {
    file.write_value(value);
  } else if (type == StoredType::f32) {
    fits = !overflows_float(value);
    if (fits) file.write_value(static_cast<float>(value));
  } else {
    std::uint16_t bits = 0;
    fits = encode(value, type, bits);
    file.write_value(bits);
  }
  if (!fits)
    throw InvalidArgument(
        path, "tensor " + name_text(tensor) + ": " + number_text(value) + " overflows in " + dtype_of(type));
}

template <class T>
std::vector<T> decode(const std::string& path, const TensorEntry& tensor) {
  if (tensor.dtype == "F64") return decode_each<double, T>(path, tensor, [](double x) { return x; });
  if (tensor.dtype == "F32") return decode_each<float, T>(path, tensor, [](float x) { return x; });
  if (tensor.dtype == "F16") return decode_each<std::uint16_t, T>(path, tensor, decode_f16);
  return decode_each<std::uint16_t, T>(path, tensor, decode_bf16);
}
template std::vector<float> decode(const std::string&, const TensorEntry&);
template std::vector<double> decode(const std::string&, const TensorEntry&);

}  // namespace data
}  // namespace softstep
