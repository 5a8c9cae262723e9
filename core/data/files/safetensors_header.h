#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/data/files/safetensors.h"

namespace softstep::data {

/// What the header says of one tensor. The bytes are counted from the end of the header.
struct DescribedTensor {
  std::string name, dtype;
  std::vector<std::size_t> shape;
  std::size_t begin = 0, end = 0;
};

struct Header {
  std::vector<DescribedTensor> tensors;  ///< sorted by name, no name twice
  Metadata metadata;                     ///< sorted by key, no key twice
};

/// Reads the JSON text of a header in one pass, without building a tree of it: time and memory grow in
/// proportion to its length, and what is nested too deeply or has too many dimensions ends the reading where
/// it stands. Throws InvalidArgument(path, ...).
Header parse_header(const std::string& path, const char* text, std::size_t size);

}  // namespace softstep::data
