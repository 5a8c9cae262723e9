#pragma once

// Tensors that are spread over files, in the convention of the safetensors ecosystem:
// data-00001-of-00008.safetensors and so on, and an index beside them, data.safetensors.index.json,
//   {"metadata": {...}, "weight_map": {"name": "file", ...}}
// that says which tensor is in which file. A tensor that is itself in parts, along its first dimension, is
// `name.1`, `name.2`, ... there, and `name` once it has been read.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/data/files/safetensors.h"

namespace softstep::data {

/// The text of an index: which file each tensor is in, by name.
using WeightMap = std::vector<std::pair<std::string, std::string>>;

/// Reads the JSON text of an index in one pass, as parse_header does. File names that are not plain names in
/// the folder of the index are refused. Throws BadFile(path, ...).
WeightMap parse_index(const std::string& path, const char* text, std::size_t size);

/// Opens the files that an index names and makes one of them. Throws BadFile or IoError.
TensorFile open_shards(const std::string& index);

/// A part of a tensor, and the file that it is in.
struct Part {
  std::shared_ptr<const MappedFile> file;
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
};

/// Parts one behind the other in the addresses of this process. Whole pages of mapped files are mapped once
/// more where that is possible; the rest is copied: parts of small files, seams, and parts that do not begin
/// at the place in a page where the one before ends.
class JoinedParts {
 public:
  /// `path` is for messages. Throws IoError if there are not enough addresses.
  static std::shared_ptr<const JoinedParts> join(const std::string& path, const std::vector<Part>& parts);
  ~JoinedParts();
  JoinedParts(const JoinedParts&) = delete;
  JoinedParts& operator=(const JoinedParts&) = delete;

  const unsigned char* bytes() const { return bytes_; }
  const std::vector<MappedBytes>& mapped() const { return mapped_; }

 private:
  JoinedParts() = default;
  void place(const std::string& path, const Part& part, unsigned char* at);
  void copy(const std::string& path, const unsigned char* from, unsigned char* to, std::size_t size);

  void* region_ = nullptr;
  std::size_t region_size_ = 0;
  const unsigned char* bytes_ = nullptr;
  std::vector<MappedBytes> mapped_;
  std::vector<void*> listed_;
};

}  // namespace softstep::data
