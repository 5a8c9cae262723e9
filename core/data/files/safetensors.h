#pragma once

// The safetensors container: 8 bytes with the length of the header (little-endian), the header, the data. The
// header is a JSON object {"name": {"dtype": "F64", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
// "__metadata__": {"key": "text"}}; offsets count bytes from the end of the header, and the tensors fill the
// data without overlaps or holes.

#include <bit>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/data/files/mapped_file.h"
#include "softstep/dataset.h"

namespace softstep {
class OutputFile;
}

namespace softstep::data {

static_assert(std::endian::native == std::endian::little,
              "the file format is little-endian and is mapped as it is");

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct TensorEntry {
  std::string name, dtype;  ///< the type may be one that nothing here reads
  std::vector<std::size_t> shape;
  std::size_t count = 0;                 ///< product of shape
  const unsigned char* bytes = nullptr;  ///< in the mapped file; any alignment
};

/// Whole pages that are mapped from a file.
struct MappedBytes {
  const unsigned char *begin = nullptr, *end = nullptr;
};

struct TensorFile {
  std::shared_ptr<const void> map;   ///< keeps the bytes alive
  std::vector<TensorEntry> tensors;  ///< sorted by name
  Metadata metadata;                 ///< sorted by key
  const TensorEntry* find(const std::string& name) const;
  /// What of it is mapped from files, as far as it can be read again from there: from the first address to
  /// behind the last.
  std::vector<MappedBytes> mapped;
};

/// "`labels`, `tokens`": what a file has, for messages.
std::string names_of(const TensorFile& file);

/// Bits per element of a type the format knows, 0 for any other name.
std::size_t dtype_bits(const std::string& dtype);
/// F64, F32, F16 or BF16.
bool is_float(const std::string& dtype);
const char* dtype_of(StoredType type);
StoredType stored_type_of(const std::string& float_dtype);

/// Maps a file and checks its header completely. A name that ends in .json is that of an index of shards
/// (shards.h). Throws BadFile or IoError.
TensorFile open_tensor_file(const std::string& path);
/// What is in one file that has been opened.
TensorFile read_tensor_file(const std::string& path, const std::shared_ptr<const MappedFile>& map);

struct TensorToWrite {
  std::string name, dtype;
  std::vector<std::size_t> shape;
  std::function<void(OutputFile&)> write;  ///< writes exactly product(shape) elements
};

/// The header of a file with these tensors, in the order given, padded so that the first begins at a multiple
/// of `begins_at` bytes, which is one of 8.
std::string header_text(const std::string& path, const std::vector<TensorToWrite>& tensors,
                        const Metadata& metadata, std::size_t begins_at);

/// Writes a file: same tensors and metadata, same bytes. Tensors come widest type first, then by name, and
/// the header is padded with spaces to a multiple of 8 bytes, so that every tensor is aligned to its
/// elements.
void write_tensor_file(const std::string& path, std::vector<TensorToWrite> tensors, const Metadata& metadata);

/// Writes one number rounded to the type. A finite value that becomes infinite is an InvalidArgument(path,
/// ...) naming the tensor and the value.
void write_number(OutputFile& file, const std::string& path, const std::string& tensor, double value,
                  StoredType type);

/// The numbers of a floating-point tensor: exact, but for F64 read as float, which rounds to nearest; a
/// finite value that becomes infinite is an InvalidArgument(path, ...).
template <class T>
std::vector<T> decode(const std::string& path, const TensorEntry& tensor);

}  // namespace softstep::data
