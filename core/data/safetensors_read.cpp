#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/data/checked_size.h"
#include "core/data/safetensors.h"
#include "core/data/text.h"

namespace softstep::data {
namespace {

using Json = nlohmann::json;

constexpr std::size_t length_size = 8;
constexpr std::size_t longest_header = 100'000'000;  // as in the reference implementation

// Where the bytes of a tensor are, relative to the end of the header.
struct Range {
  std::size_t begin, end;
  const TensorEntry* tensor;
};

// The parsed header, or a reason. The parser itself keeps the last of duplicate names, so names are watched
// here; nothing in a valid header is nested deeper than a number in a list in a tensor.
Json parse_header(const char* text, std::size_t size, std::string& problem) {
  constexpr int deepest = 3;
  std::vector<std::set<std::string>> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > deepest) {
      problem = "is nested too deeply";
      return false;
    }
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key && !names.back().insert(parsed.get<std::string>()).second)
      problem = "has the name " + name_text(parsed.get<std::string>()) + " twice";
    return true;
  };
  Json header = Json::parse(text, text + size, watch, false);
  if (!problem.empty()) return header;
  if (header.is_discarded())
    problem = "is not JSON";
  else if (!header.is_object())
    problem = "is not a JSON object";
  return header;
}

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// A list of non-negative integers. (Integers above 2^64 arrive as floating-point numbers and are refused.)
bool read_sizes(const Json* list, std::vector<std::size_t>& out) {
  if (list == nullptr || !list->is_array()) return false;
  for (const Json& x : *list) {
    if (!x.is_number_unsigned()) return false;
    out.push_back(x.get<std::size_t>());
  }
  return true;
}

// Fills entry and range. Returns what is wrong, or nothing.
std::string read_tensor(const Json& json, std::size_t data_size, TensorEntry& entry, Range& range) {
  if (!json.is_object()) return "is not described by a JSON object";
  const Json* dtype = member(json, "dtype");
  if (dtype == nullptr || !dtype->is_string()) return "has no dtype";
  entry.dtype = dtype->get<std::string>();
  const std::size_t width = dtype_size(entry.dtype);
  if (width == 0) return "has the unknown dtype " + name_text(entry.dtype);
  if (!read_sizes(member(json, "shape"), entry.shape))
    return "has no shape (need a list of non-negative integers)";
  std::vector<std::size_t> offsets;
  if (!read_sizes(member(json, "data_offsets"), offsets) || offsets.size() != 2)
    return "has no data_offsets (need two non-negative integers)";
  range.begin = offsets[0];
  range.end = offsets[1];
  const std::string bytes = std::to_string(range.begin) + " to " + std::to_string(range.end);
  if (range.begin > range.end) return "has data_offsets " + bytes + ", the end before the beginning";
  if (range.end > data_size)
    return "has data_offsets " + bytes + ", outside the " + std::to_string(data_size) + " bytes of data";
  entry.count = 1;
  std::size_t needed = 0;
  for (const std::size_t n : entry.shape)
    if (!multiply(entry.count, n, max_bytes, entry.count))
      return "has a size that overflows: " + shape_text(entry.shape);
  if (!multiply(entry.count, width, max_bytes, needed))
    return "has a size that overflows: " + shape_text(entry.shape);
  if (needed != range.end - range.begin)
    return "has " + std::to_string(range.end - range.begin) + " bytes (need " + std::to_string(needed) +
           " for " + entry.dtype + " " + shape_text(entry.shape) + ")";
  return {};
}

void require_no_gaps(const std::string& path, std::vector<Range> ranges, std::size_t data_size) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::size_t at = 0;
  for (const Range& range : ranges) {
    if (range.begin < at)
      throw InvalidArgument(path, "tensor " + name_text(range.tensor->name) + " begins at byte " +
                                      std::to_string(range.begin) +
                                      " and overlaps the one before, which ends at " + std::to_string(at));
    if (range.begin > at)
      throw InvalidArgument(path, "bytes " + std::to_string(at) + " to " + std::to_string(range.begin) +
                                      " belong to no tensor (before " + name_text(range.tensor->name) + ")");
    at = range.end;
  }
  if (at != data_size)
    throw InvalidArgument(path, "bytes " + std::to_string(at) + " to " + std::to_string(data_size) +
                                    " at the end belong to no tensor");
}

}  // namespace

const TensorEntry* TensorFile::find(const std::string& name) const {
  for (const TensorEntry& tensor : tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
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
  TensorFile file;
  file.map = MappedFile::open(path);
  const std::size_t size = file.map->size();
  if (size < length_size)
    throw InvalidArgument(path,
                          "is truncated: " + std::to_string(size) + " bytes (need 8 for the header length)");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, file.map->bytes(), length_size);
  if (header_size > longest_header)
    throw InvalidArgument(path, "has a header length of " + std::to_string(header_size) + " bytes (at most " +
                                    std::to_string(longest_header) + " are allowed)");
  if (header_size > size - length_size)
    throw InvalidArgument(path, "is truncated: header length " + std::to_string(header_size) + " but only " +
                                    std::to_string(size - length_size) + " bytes follow");
  const char* text = reinterpret_cast<const char*>(file.map->bytes()) + length_size;
  if (header_size == 0 || text[0] != '{')
    throw InvalidArgument(path, "has a header that does not begin with {");
  std::string problem;
  const Json header = parse_header(text, header_size, problem);
  if (!problem.empty()) throw InvalidArgument(path, "has a header that " + problem);

  const unsigned char* data = file.map->bytes() + length_size + header_size;
  const std::size_t data_size = size - length_size - header_size;
  std::vector<Range> ranges;
  file.tensors.reserve(header.size());  // the ranges point into it
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      if (!json.is_object()) throw InvalidArgument(path, "has __metadata__ that is not a JSON object");
      for (const auto& [key, value] : json.items()) {
        if (!value.is_string())
          throw InvalidArgument(path, "has metadata " + name_text(key) + " that is not a string");
        file.metadata.emplace_back(key, value.get<std::string>());
      }
      continue;
    }
    TensorEntry& entry = file.tensors.emplace_back();
    entry.name = name;
    Range range{0, 0, &entry};
    problem = read_tensor(json, data_size, entry, range);
    if (!problem.empty()) throw InvalidArgument(path, "tensor " + name_text(name) + " " + problem);
    entry.bytes = data + range.begin;
    ranges.push_back(range);
  }
  require_no_gaps(path, std::move(ranges), data_size);
  return file;
}

}  // namespace softstep::data
