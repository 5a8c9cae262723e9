// Tensors of numbers of any type, as double.

#include "softstep/number_tensors.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/data/files/safetensors.h"
#include "softstep/error.h"

namespace softstep {

namespace {

template <class Integer>
std::vector<double> decoded(const std::string& path, const data::TensorEntry& tensor) {
  std::vector<double> out(tensor.count);
  for (std::size_t k = 0; k < tensor.count; ++k) {
    Integer value;
    std::memcpy(&value, tensor.bytes + k * sizeof value, sizeof value);
    out[k] = static_cast<double>(value);
    if constexpr (sizeof(Integer) == 8)
      if (!(std::fabs(out[k]) < 0x1p53))
        throw BadFile(path, "tensor `" + tensor.name + "`, entry " + std::to_string(k) + ": " +
                                std::to_string(value) + " (need below 2^53 in size)");
  }
  return out;
}

bool decode_integers(const std::string& path, const data::TensorEntry& tensor, std::vector<double>& out) {
  const std::string& type = tensor.dtype;
  if (type == "I8")
    out = decoded<std::int8_t>(path, tensor);
  else if (type == "U8")
    out = decoded<std::uint8_t>(path, tensor);
  else if (type == "I16")
    out = decoded<std::int16_t>(path, tensor);
  else if (type == "U16")
    out = decoded<std::uint16_t>(path, tensor);
  else if (type == "I32")
    out = decoded<std::int32_t>(path, tensor);
  else if (type == "U32")
    out = decoded<std::uint32_t>(path, tensor);
  else if (type == "I64")
    out = decoded<std::int64_t>(path, tensor);
  else if (type == "U64")
    out = decoded<std::uint64_t>(path, tensor);
  else
    return false;
  return true;
}

}  // namespace

std::vector<NamedTensor> load_number_tensors(const std::string& path) {
  const data::TensorFile file = data::open_tensor_file(path);
  std::vector<NamedTensor> out;
  for (const data::TensorEntry& tensor : file.tensors) {
    NamedTensor one{tensor.name, tensor.shape, {}, StoredType::f64};
    if (data::is_float(tensor.dtype)) {
      one.values = data::decode<double>(path, tensor);
      one.type = data::stored_type_of(tensor.dtype);
    } else if (!decode_integers(path, tensor, one.values)) {
      continue;
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace softstep
