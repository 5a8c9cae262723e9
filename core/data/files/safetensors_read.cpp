#include <algorithm>
#include <cstring>

#include "core/data/checked_size.h"
#include "core/data/files/safetensors_header.h"
#include "core/data/files/shards.h"
#include "core/data/text.h"

namespace softstep::data {
namespace {

constexpr std::size_t length_size = 8;
constexpr std::size_t longest_header = 100'000'000;  // as in the reference implementation

// What is wrong with the size of a tensor, or nothing. Of types that this library does not know the size is
// not known either: they are no problem as long as nobody asks for the tensor.
std::string size_problem(const DescribedTensor& tensor, std::size_t data_size, std::size_t& count) {
  const std::string bytes = std::to_string(tensor.begin) + " to " + std::to_string(tensor.end);
  if (tensor.begin > tensor.end) return "has data_offsets " + bytes + ", the end before the beginning";
  if (tensor.end > data_size)
    return "has data_offsets " + bytes + ", outside the " + std::to_string(data_size) + " bytes of data";
  const std::size_t bits = dtype_bits(tensor.dtype);
  count = 1;
  std::size_t needed = 0;
  bool fits = true;
  for (const std::size_t n : tensor.shape) fits = fits && multiply(count, n, max_bytes, count);
  if (bits == 0) return {};
  if (!fits || !multiply(count, bits, max_bytes, needed))
    return "has a size that overflows: " + shape_text(tensor.shape);
  if (needed % 8 != 0) return "does not end at a byte: " + tensor.dtype + " " + shape_text(tensor.shape);
  if (needed / 8 != tensor.end - tensor.begin)
    return "has " + std::to_string(tensor.end - tensor.begin) + " bytes (need " + std::to_string(needed / 8) +
           " for " + tensor.dtype + " " + shape_text(tensor.shape) + ")";
  return {};
}

void require_no_gaps(const std::string& path, const std::vector<DescribedTensor>& tensors,
                     std::size_t data_size) {
  std::vector<const DescribedTensor*> order;
  for (const DescribedTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const DescribedTensor* a, const DescribedTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::size_t at = 0;
  for (const DescribedTensor* tensor : order) {
    if (tensor->begin < at)
      throw BadFile(path, "tensor " + name_text(tensor->name) + " begins at byte " +
                              std::to_string(tensor->begin) + " and overlaps the one before, which ends at " +
                              std::to_string(at));
    if (tensor->begin > at)
      throw BadFile(path, "bytes " + std::to_string(at) + " to " + std::to_string(tensor->begin) +
                              " belong to no tensor (before " + name_text(tensor->name) + ")");
    at = tensor->end;
  }
  if (at != data_size)
    throw BadFile(path, "bytes " + std::to_string(at) + " to " + std::to_string(data_size) +
                            " at the end belong to no tensor");
}

// The header's length. Most files of another kind are recognised here: their first 8 bytes are no length, or
// no { follows.
std::size_t header_length(const std::string& path, const MappedFile& file) {
  const std::size_t size = file.size();
  if (size < length_size)
    throw BadFile(path, "is no safetensors file, or truncated: " + std::to_string(size) +
                            " bytes (need 8 for the header length)");
  std::uint64_t length = 0;
  std::memcpy(&length, file.bytes(), length_size);
  if (length > longest_header)
    throw BadFile(path, "is no safetensors file: its first 8 bytes would be a header length of " +
                            std::to_string(length) + " (at most " + std::to_string(longest_header) +
                            " is allowed)");
  if (length == 0 || (size > length_size && file.bytes()[length_size] != '{'))
    throw BadFile(path, "is no safetensors file: its header does not begin with {");
  if (length > size - length_size)
    throw BadFile(path, "is no safetensors file, or truncated: header length " + std::to_string(length) +
                            " but only " + std::to_string(size - length_size) + " bytes follow");
  return length;
}

}  // namespace

const TensorEntry* TensorFile::find(const std::string& name) const {
  const auto found =
      std::lower_bound(tensors.begin(), tensors.end(), name,
                       [](const TensorEntry& tensor, const std::string& n) { return tensor.name < n; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

std::string names_of(const TensorFile& file) {
  constexpr std::size_t most = 12;
  std::string out;
  for (std::size_t k = 0; k < file.tensors.size() && k < most; ++k)
    out += (k ? ", " : "") + name_text(file.tensors[k].name);
  if (file.tensors.size() > most) out += ", ...";
  return file.tensors.empty() ? "no tensors" : out;
}

TensorFile open_tensor_file(const std::string& path) {
  if (path.ends_with(".json")) return open_shards(path);
  return read_tensor_file(path, MappedFile::open(path));
}

TensorFile read_tensor_file(const std::string& path, const std::shared_ptr<const MappedFile>& map) {
  TensorFile file;
  file.map = map;
  if (map->listed() != nullptr) file.mapped = {{map->bytes(), map->bytes() + map->size()}};
  const std::size_t length = header_length(path, *map);
  const unsigned char* text = map->bytes() + length_size;
  Header header = parse_header(path, reinterpret_cast<const char*>(text), length);
  const unsigned char* data = text + length;
  const std::size_t data_size = map->size() - length_size - length;

  file.tensors.resize(header.tensors.size());
  for (std::size_t k = 0; k < header.tensors.size(); ++k) {
    const DescribedTensor& described = header.tensors[k];
    const std::string problem = size_problem(described, data_size, file.tensors[k].count);
    if (!problem.empty()) throw BadFile(path, "tensor " + name_text(described.name) + " " + problem);
    file.tensors[k].bytes = data + described.begin;
  }
  require_no_gaps(path, header.tensors, data_size);
  for (std::size_t k = 0; k < header.tensors.size(); ++k) {
    DescribedTensor& described = header.tensors[k];
    file.tensors[k].name = std::move(described.name);
    file.tensors[k].dtype = std::move(described.dtype);
    file.tensors[k].shape = std::move(described.shape);
  }
  file.metadata = std::move(header.metadata);
  return file;
}

}  // namespace softstep::data
