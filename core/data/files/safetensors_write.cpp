#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/data/checked_size.h"
#include "core/data/files/safetensors.h"
#include "core/data/text.h"
#include "softstep/files.h"

namespace softstep::data {
namespace {

// As a JSON string. Names that are not UTF-8 cannot be written in JSON.
std::string json_text(const std::string& path, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw InvalidArgument(path, "cannot hold the name or text " + name_text(text) + " (need UTF-8)");
  }
}

std::size_t byte_count(const std::string& path, const TensorToWrite& tensor) {
  std::size_t bytes = dtype_bits(tensor.dtype) / 8;
  for (const std::size_t n : tensor.shape)
    if (!multiply(bytes, n, max_bytes, bytes))
      throw InvalidArgument(
          path, "tensor " + name_text(tensor.name) + " is too large: " + shape_text(tensor.shape));
  return bytes;
}

std::string metadata_text(const std::string& path, const Metadata& metadata) {
  std::string out = "\"__metadata__\":{";
  std::set<std::string> keys;
  for (const auto& [key, value] : metadata) {
    if (!keys.insert(key).second)
      throw InvalidArgument(path, "would have the metadata " + name_text(key) + " twice");
    out += (keys.size() > 1 ? "," : "") + json_text(path, key) + ":" + json_text(path, value);
  }
  return out + "}";
}

}  // namespace

std::string header_text(const std::string& path, const std::vector<TensorToWrite>& tensors,
                        const Metadata& metadata, std::size_t begins_at) {
  std::string out = "{";
  if (!metadata.empty()) out += metadata_text(path, metadata);
  std::set<std::string> names = {"__metadata__"};
  std::size_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      throw InvalidArgument(path, "cannot hold a tensor named " + name_text(tensor.name) +
                                      (tensor.name == "__metadata__" ? " (reserved)" : " twice"));
    const std::size_t bytes = byte_count(path, tensor);
    if (bytes > max_bytes - begin) throw InvalidArgument(path, "would be too large a file");
    out += (out.size() > 1 ? "," : "") + json_text(path, tensor.name) + ":{\"dtype\":\"" + tensor.dtype +
           "\",\"shape\":[";
    for (std::size_t k = 0; k < tensor.shape.size(); ++k)
      out += (k ? "," : "") + std::to_string(tensor.shape[k]);
    out += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + bytes) + "]}";
    begin += bytes;
  }
  out += "}";
  constexpr std::size_t length_size = 8;
  out.resize((out.size() + length_size + begins_at - 1) / begins_at * begins_at - length_size, ' ');
  return out;
}

void write_tensor_file(const std::string& path, std::vector<TensorToWrite> tensors,
                       const Metadata& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    const std::size_t width_a = dtype_bits(a.dtype), width_b = dtype_bits(b.dtype);
    return width_a != width_b ? width_a > width_b : a.name < b.name;
  });
  const std::string header = header_text(path, tensors, metadata, 8);
  OutputFile file(path);
  file.write_value(static_cast<std::uint64_t>(header.size()));
  file.write(header.data(), header.size());
  for (const TensorToWrite& tensor : tensors) tensor.write(file);
  file.commit();
}

}  // namespace softstep::data
