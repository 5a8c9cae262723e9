#include "core/data/files/shards.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "core/data/checked_size.h"
#include "core/data/text.h"

namespace softstep::data {
namespace {

constexpr std::size_t largest_index = 100'000'000;  // as the header of a file

struct Shard {
  std::shared_ptr<const MappedFile> file;
  TensorFile tensors;
};

// What of a set of shards is kept alive.
struct Kept {
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::vector<std::shared_ptr<const JoinedParts>> joined;
};

struct NumberedPart {
  const Shard* shard;
  const TensorEntry* entry;
  std::string path;  // of the shard
};

// `tokens.3` is part 3 of `tokens`. 0: no part of anything.
std::size_t part_number(const std::string& name, std::string& whole) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == name.size() || name[dot + 1] == '0') return 0;
  std::size_t number = 0;
  const char *from = name.data() + dot + 1, *to = name.data() + name.size();
  const auto [end, error] = std::from_chars(from, to, number);
  if (error != std::errc() || end != to) return 0;
  whole = name.substr(0, dot);
  return number;
}

std::map<std::string, Shard> open_all(const std::string& index, const WeightMap& map) {
  const std::string folder = index.substr(0, index.rfind('/') + 1);
  std::map<std::string, Shard> shards;
  for (const auto& [tensor, name] : map) {
    Shard& shard = shards[name];
    if (shard.file == nullptr) {
      shard.file = MappedFile::open_in(folder, name);
      shard.tensors = read_tensor_file(folder + name, shard.file);
    }
    if (shard.tensors.find(tensor) == nullptr)
      throw BadFile(index, "has tensor " + name_text(tensor) + " in " + name_text(name) +
                               ", which has it not (it has: " + names_of(shard.tensors) + ")");
  }
  return shards;
}

// Of one tensor, in order. All sizes have been held against those of the files.
TensorEntry joined(const std::string& index, const std::string& name,
                   const std::map<std::size_t, NumberedPart>& numbered, Kept& kept, TensorFile& out) {
  TensorEntry whole = *numbered.begin()->second.entry;
  whole.name = name;
  std::vector<Part> parts;
  std::size_t rows = 0, expected = 1;
  for (const auto& [number, part] : numbered) {
    const TensorEntry& entry = *part.entry;
    const std::string place = "tensor " + name_text(entry.name) + " in " + name_text(part.path) + " ";
    if (number != expected++)
      throw BadFile(index, "has no tensor " + name_text(name + "." + std::to_string(expected - 1)) +
                               ", but " + name_text(entry.name));
    if (entry.dtype != whole.dtype)
      throw BadFile(index, place + "is " + entry.dtype + " (need " + whole.dtype + ", as the part before)");
    if (entry.shape.empty() || entry.shape.size() != whole.shape.size() ||
        !std::equal(entry.shape.begin() + 1, entry.shape.end(), whole.shape.begin() + 1))
      throw BadFile(index, place + "has shape " + shape_text(entry.shape) +
                               " (need that of the part before, but for the first number)");
    if (dtype_bits(entry.dtype) < 8)
      throw BadFile(index, place + "is " + entry.dtype + ", which has no parts");
    if (entry.shape[0] > max_bytes - rows) throw BadFile(index, place + "makes too large a tensor");
    rows += entry.shape[0];
    parts.push_back({part.shard->file, entry.bytes, entry.count * (dtype_bits(entry.dtype) / 8)});
  }
  whole.shape[0] = rows;
  whole.count = 0;
  for (const auto& [number, part] : numbered) whole.count += part.entry->count;
  kept.joined.push_back(JoinedParts::join(index, parts));
  whole.bytes = kept.joined.back()->bytes();
  const std::vector<MappedBytes>& mapped = kept.joined.back()->mapped();
  out.mapped.insert(out.mapped.end(), mapped.begin(), mapped.end());
  return whole;
}

}  // namespace

TensorFile open_shards(const std::string& index) {
  WeightMap map;
  {
    const std::shared_ptr<const MappedFile> text = MappedFile::open(index);
    if (text->size() > largest_index)
      throw BadFile(index, "is no index of shards: it has " + std::to_string(text->size()) + " bytes");
    map = parse_index(index, reinterpret_cast<const char*>(text->bytes()), text->size());
  }
  const std::map<std::string, Shard> shards = open_all(index, map);
  const auto kept = std::make_shared<Kept>();
  TensorFile out;
  for (const auto& [name, shard] : shards) {
    kept->files.push_back(shard.file);
    out.mapped.insert(out.mapped.end(), shard.tensors.mapped.begin(), shard.tensors.mapped.end());
    for (const auto& entry : shard.tensors.metadata) out.metadata.push_back(entry);
  }
  std::sort(out.metadata.begin(), out.metadata.end());
  out.metadata.erase(std::unique(out.metadata.begin(), out.metadata.end()), out.metadata.end());
  std::map<std::string, std::map<std::size_t, NumberedPart>> in_parts;
  for (const auto& [tensor, name] : map) {
    const Shard& shard = shards.at(name);
    const TensorEntry& entry = *shard.tensors.find(tensor);
    std::string whole;
    const std::size_t number = part_number(tensor, whole);
    if (number == 0)
      out.tensors.push_back(entry);
    else
      in_parts[whole][number] = {&shard, &entry, name};
  }
  for (const auto& [name, parts] : in_parts) out.tensors.push_back(joined(index, name, parts, *kept, out));
  std::sort(out.tensors.begin(), out.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  for (std::size_t k = 1; k < out.tensors.size(); ++k)
    if (out.tensors[k].name == out.tensors[k - 1].name)
      throw BadFile(index, "has tensor " + name_text(out.tensors[k].name) + " whole and in parts");
  out.map = kept;
  return out;
}

}  // namespace softstep::data
