// Data sets as safetensors files: `tokens` [n, T, d], or [sum T, d] with `offsets` [n + 1]; `labels` [n];
// optional `decoder` [d]; optional `queries`, floating-point [n, d] vectors or integer [n] token indices; of
// m queries a sample [n, m, d] or [n, m], or [sum m, d] or [sum m] with `query_offsets` [n + 1], and then
// optional `query_weights` [m] or [sum m]. Where all tokens are queries a file has their indices.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/data/files/dataset_tensors.h"
#include "core/data/files/safetensors.h"
#include "core/data/read_ahead.h"
#include "core/data/text.h"
#include "softstep/files.h"
#include "softstep/large_data.h"
#include "softstep/multiclass.h"
#include "softstep/ranks.h"

namespace softstep {
namespace {

using data::name_text;
using data::TensorEntry;
using data::TensorFile;

// The mapped file and whatever of it had to be converted.
template <class T>
struct LoadedStorage {
  std::shared_ptr<const void> map;
  // Of the tokens and of each file; ends before the map does.
  std::vector<std::unique_ptr<const data::BoundedMemory>> bounded;
  std::vector<T> tokens, decoder, queries, query_weights;
  std::vector<std::uint16_t> halves;  // tokens in 16 bits that are not aligned
  std::vector<std::int8_t> labels;
  std::vector<std::int64_t> offsets, query_index, query_offsets;
};

[[noreturn]] void refuse(const std::string& path, const TensorEntry& tensor, const std::string& problem) {
  throw BadFile(path, "tensor " + name_text(tensor.name) + " " + problem);
}

const TensorEntry& required(const std::string& path, const TensorFile& file, const char* name) {
  if (const TensorEntry* tensor = file.find(name)) return *tensor;
  throw BadFile(path, "has no tensor " + name_text(name) + " (it has: " + data::names_of(file) + ")");
}

void require_shape(const std::string& path, const TensorEntry& tensor,
                   const std::vector<std::size_t>& shape) {
  if (tensor.shape != shape)
    refuse(path, tensor,
           "has shape " + data::shape_text(tensor.shape) + " (need " + data::shape_text(shape) + ")");
}

template <class T>
bool aligned(const TensorEntry& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.bytes) % alignof(T) == 0;
}

// In place if type and alignment allow, else converted into `owned`.
template <class T>
const T* floats(const std::string& path, const TensorEntry& tensor, std::vector<T>& owned) {
  if (!data::is_float(tensor.dtype))
    refuse(path, tensor, "has dtype " + name_text(tensor.dtype) + " (need F64, F32, F16 or BF16)");
  if (tensor.dtype == (sizeof(T) == 4 ? "F32" : "F64") && aligned<T>(tensor))
    return reinterpret_cast<const T*>(tensor.bytes);
  owned = data::decode<T>(path, tensor);
  return owned.data();
}

template <class Stored>
Stored element(const TensorEntry& tensor, std::size_t k) {
  Stored value;
  std::memcpy(&value, tensor.bytes + k * sizeof value, sizeof value);
  return value;
}

// Makes room in `owned`, and calls visit(k, value) with each element in its stored type. False, before that,
// if the type is none of those listed: of an unknown one the number of elements has no bytes behind it.
template <class T, class Visit>
bool for_each_integer(const TensorEntry& tensor, std::vector<T>& owned, Visit visit) {
  const auto all = [&](auto zero) {
    owned.reserve(tensor.count);
    for (std::size_t k = 0; k < tensor.count; ++k) visit(k, element<decltype(zero)>(tensor, k));
    return true;
  };
  if (tensor.dtype == "I8") return all(std::int8_t{});
  if (tensor.dtype == "U8") return all(std::uint8_t{});
  if (tensor.dtype == "I16") return all(std::int16_t{});
  if (tensor.dtype == "U16") return all(std::uint16_t{});
  if (tensor.dtype == "I32") return all(std::int32_t{});
  if (tensor.dtype == "U32") return all(std::uint32_t{});
  if (tensor.dtype == "I64") return all(std::int64_t{});
  if (tensor.dtype == "U64") return all(std::uint64_t{});
  return false;
}

bool is_integer(const TensorEntry& tensor) {
  return tensor.dtype.starts_with("I") || tensor.dtype.starts_with("U");
}

// Always copied, as they are small beside the tokens: an index that another program changes in a mapped file
// after it was checked would lead out of it.
const std::int64_t* indices(const std::string& path, const TensorEntry& tensor,
                            std::vector<std::int64_t>& owned) {
  const bool known = for_each_integer(tensor, owned, [&](std::size_t k, auto value) {
    if constexpr (std::is_same_v<decltype(value), std::uint64_t>)
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        refuse(path, tensor, "entry " + std::to_string(k) + ": " + std::to_string(value) + " is too large");
    owned.push_back(static_cast<std::int64_t>(value));
  });
  if (!known) refuse(path, tensor, "has dtype " + name_text(tensor.dtype) + " (need an integer type)");
  return owned.data();
}

// Of an integer or whole floating-point type.
std::vector<std::size_t> whole_numbers(const std::string& path, const TensorEntry& tensor) {
  std::vector<std::size_t> out;
  const auto keep = [&](std::size_t k, bool good, double value) {
    if (!good)
      refuse(
          path, tensor,
          "sample " + std::to_string(k) + ": " + data::number_text(value) + " (need a whole number from 0)");
    out.push_back(static_cast<std::size_t>(value));
  };
  if (data::is_float(tensor.dtype)) {
    const std::vector<double> values = data::decode<double>(path, tensor);
    for (std::size_t k = 0; k < values.size(); ++k)
      keep(k, values[k] >= 0.0 && values[k] < 0x1p53 && values[k] == std::floor(values[k]), values[k]);
    return out;
  }
  std::vector<std::int64_t> owned;
  const std::int64_t* values = indices(path, tensor, owned);
  for (std::size_t k = 0; k < tensor.count; ++k)
    keep(k, values[k] >= 0 && values[k] < (std::int64_t{1} << 53), static_cast<double>(values[k]));
  return out;
}

const std::int8_t* labels(const std::string& path, const TensorEntry& tensor,
                          std::vector<std::int8_t>& owned) {
  const auto keep = [&](std::size_t k, bool positive, bool negative, const std::string& text) {
    if (!positive && !negative)
      refuse(path, tensor, "sample " + std::to_string(k) + ": " + text + " (need -1 or 1)");
    owned.push_back(positive ? 1 : -1);
  };
  if (data::is_float(tensor.dtype)) {
    const std::vector<double> values = data::decode<double>(path, tensor);
    for (std::size_t k = 0; k < values.size(); ++k)
      keep(k, values[k] == 1.0, values[k] == -1.0, data::number_text(values[k]));
    return owned.data();
  }
  const bool known = for_each_integer(tensor, owned, [&](std::size_t k, auto value) {
    const bool negative = std::is_signed_v<decltype(value)> && value == static_cast<decltype(value)>(-1);
    keep(k, value == 1, negative, std::to_string(value));
  });
  if (!known)
    refuse(path, tensor,
           "has dtype " + name_text(tensor.dtype) + " (need an integer or floating-point type)");
  return owned.data();
}

// n, T, d from the tokens, and the offsets of ragged files, which must cover the rows exactly.
template <class T>
void read_shape(const std::string& path, const TensorFile& file, LoadedStorage<T>& storage,
                BatchView<T>& view) {
  const TensorEntry& tokens = required(path, file, "tokens");
  const TensorEntry* offsets = file.find("offsets");
  if (tokens.shape.size() != (offsets ? 2u : 3u))
    refuse(path, tokens,
           "has shape " + data::shape_text(tokens.shape) +
               (offsets ? " (need [rows, d], as there is a tensor `offsets`)"
                        : " (need [n, T, d], or [rows, d] with a tensor `offsets`)"));
  view.dim = tokens.shape.back();
  if (!offsets) {
    view.n_samples = tokens.shape[0];
    view.n_tokens = tokens.shape[1];
    return;
  }
  if (offsets->shape.size() != 1 || offsets->shape[0] == 0)
    refuse(path, *offsets, "has shape " + data::shape_text(offsets->shape) + " (need [n + 1])");
  view.n_samples = offsets->shape[0] - 1;
  view.offsets = indices(path, *offsets, storage.offsets);
  if (view.offsets[0] != 0)
    refuse(path, *offsets, "begins with " + std::to_string(view.offsets[0]) + " (need 0)");
  const std::int64_t last = view.offsets[view.n_samples];
  if (last < 0 || static_cast<std::size_t>(last) != tokens.shape[0])
    refuse(path, *offsets,
           "ends with " + std::to_string(last) + " (need " + std::to_string(tokens.shape[0]) +
               ", the rows of `tokens`)");
}

template <class T>
data::TensorToWrite rows(const std::string& path, const char* name, std::vector<std::size_t> shape,
                         StoredType type, std::size_t n_rows, std::function<const T*(std::size_t)> row) {
  const std::size_t dim = shape.back();
  return {name, data::dtype_of(type), std::move(shape), [=, &path](OutputFile& file) {
            const bool as_stored = type == (sizeof(T) == 4 ? StoredType::f32 : StoredType::f64);
            for (std::size_t r = 0; r < n_rows; ++r) {
              const T* x = row(r);
              if (as_stored)
                file.write(x, dim * sizeof(T));
              else
                for (std::size_t k = 0; k < dim; ++k)
                  data::write_number(file, path, name, static_cast<double>(x[k]), type);
            }
          }};
}

template <class Integer>
data::TensorToWrite integers(const char* name, std::vector<Integer> values) {
  const std::size_t size = values.size();
  return {name, sizeof(Integer) == 1 ? "I8" : "I64", {size}, [values = std::move(values)](OutputFile& file) {
            file.write(values.data(), values.size() * sizeof(Integer));
          }};
}

}  // namespace

StoredType stored_type(const std::string& path) {
  const TensorFile file = data::open_tensor_file(path);
  const TensorEntry& tokens = required(path, file, "tokens");
  if (!data::is_float(tokens.dtype))
    refuse(path, tokens, "has dtype " + name_text(tokens.dtype) + " (need F64, F32, F16 or BF16)");
  return data::stored_type_of(tokens.dtype);
}

namespace {

template <class T>
void read_queries(const std::string& path, const TensorFile& file, LoadedStorage<T>& storage,
                  BatchView<T>& view) {
  const std::size_t n = view.n_samples, dim = view.dim;
  const TensorEntry* queries = file.find("queries");
  const TensorEntry *offsets = file.find("query_offsets"), *weights = file.find("query_weights");
  if (queries == nullptr) {
    for (const TensorEntry* alone : {offsets, weights})
      if (alone != nullptr) refuse(path, *alone, "stands without a tensor `queries`");
    return;
  }
  std::vector<std::size_t> shape = queries->shape;
  if (offsets != nullptr) {
    require_shape(path, *offsets, {n + 1});
    view.query_offsets = {indices(path, *offsets, storage.query_offsets), n + 1};
    const std::int64_t last = view.query_offsets[n];
    if (shape.empty() || last < 0 || static_cast<std::size_t>(last) != shape[0])
      refuse(path, *offsets, "ends with " + std::to_string(last) + " (need the rows of `queries`)");
  }
  const bool are_indices = is_integer(*queries);
  std::vector<std::size_t> needed = {offsets != nullptr && !shape.empty() ? shape[0] : n};
  if (offsets == nullptr && shape.size() == (are_indices ? 2u : 3u)) {
    view.n_queries = shape[1];
    needed.push_back(shape[1]);
  }
  if (!are_indices) needed.push_back(dim);
  require_shape(path, *queries, needed);
  if (are_indices)
    view.query_index = indices(path, *queries, storage.query_index);
  else
    view.queries = floats(path, *queries, storage.queries);
  if (weights == nullptr) return;
  if (weights->shape.size() != 1 || weights->count == 0)
    refuse(path, *weights, "has shape " + data::shape_text(weights->shape) + " (need a list)");
  view.query_weights = {floats(path, *weights, storage.query_weights), weights->count};
}

// All but the tokens themselves.
template <class T>
void read_all_but_tokens(const std::string& path, const TensorFile& file, LoadedStorage<T>& storage,
                         BatchView<T>& view) {
  storage.map = file.map;
  read_shape(path, file, storage, view);
  const std::size_t n = view.n_samples, dim = view.dim;
  const TensorEntry& label_tensor = required(path, file, "labels");
  require_shape(path, label_tensor, {n});
  view.labels = labels(path, label_tensor, storage.labels);
  if (const TensorEntry* decoder = file.find("decoder")) {
    require_shape(path, *decoder, {dim});
    view.decoder = floats(path, *decoder, storage.decoder);
  }
  read_queries(path, file, storage, view);
}

template <class View>
void validate_contents(const std::string& path, const View& view) {
  try {
    view.validate();
  } catch (const InvalidArgument& error) {
    throw BadFile(path, error.what());
  }
}

}  // namespace

namespace {

constexpr std::size_t least_resident = std::size_t{4} << 20;

bool is_in(const data::MappedBytes& mapped, const TensorEntry& tensor, std::size_t bytes) {
  return mapped.begin < tensor.bytes + bytes && tensor.bytes < mapped.end;
}

// Before the tokens are read. Copies of them that are larger than the bound are refused.
template <class T>
void bound_memory(const std::string& path, const TensorFile& file, bool in_place, const ReadOptions& options,
                  LoadedStorage<T>& storage) {
  const std::size_t limit = options.resident_bytes;
  if (limit == 0) return;
  if (limit < least_resident)
    throw InvalidArgument("resident_bytes", std::to_string(limit) + " (need 0 or at least " +
                                                std::to_string(least_resident) + ")");
  const TensorEntry& tokens = *file.find("tokens");
  const std::size_t size = tokens.count * data::dtype_bits(tokens.dtype) / 8;
  if (!in_place && tokens.count * sizeof(T) > limit)
    throw InvalidArgument("resident_bytes",
                          std::to_string(limit) + ", and the tokens of " + name_text(path) +
                              " must be converted into " + std::to_string(tokens.count * sizeof(T)) +
                              " bytes of memory (need a file of the type that is computed with)");
  data::BoundedRange range{tokens.bytes, size, limit};
  std::size_t mapped_size = 0;
  for (const data::MappedBytes& mapped : file.mapped) {
    if (!is_in(mapped, tokens, size)) {
      storage.bounded.push_back(std::make_unique<const data::BoundedMemory>(
          data::BoundedRange{mapped.begin,
                             static_cast<std::size_t>(mapped.end - mapped.begin),
                             limit,
                             {{mapped.begin, mapped.end}}}));
      continue;
    }
    range.mapped.emplace_back(mapped.begin, mapped.end);
    mapped_size += static_cast<std::size_t>(std::min(mapped.end, tokens.bytes + size) -
                                            std::max(mapped.begin, tokens.bytes));
  }
  if (size - mapped_size > limit)
    throw InvalidArgument(
        "resident_bytes",
        std::to_string(limit) + ", and " + std::to_string(size - mapped_size) + " bytes of the tokens of " +
            name_text(path) +
            " cannot be mapped one behind the other (need shards that begin and end at pages)");
  storage.bounded.push_back(std::make_unique<const data::BoundedMemory>(std::move(range)));
  // What the reading of headers and the joining of parts has brought in.
  for (const auto& bounded : storage.bounded) bounded->range().let_go();
}

}  // namespace

template <NumberType T>
Dataset<T> load_dataset(const std::string& path) {
  return load_dataset<T>(path, ReadOptions{});
}

template <NumberType T>
Dataset<T> load_dataset(const std::string& path, const ReadOptions& options) {
  const TensorFile file = data::open_tensor_file(path);
  const auto storage = std::make_shared<LoadedStorage<T>>();
  BatchView<T> view;
  read_all_but_tokens(path, file, *storage, view);
  const TensorEntry& stored = *file.find("tokens");
  bound_memory(path, file, stored.dtype == (sizeof(T) == 4 ? "F32" : "F64") && aligned<T>(stored), options,
               *storage);
  view.tokens = floats(path, *file.find("tokens"), storage->tokens);
  validate_contents(path, view);
  return Dataset<T>(view, storage);
}

namespace {

// From 0 or more: what is read by them then lies in the file, whose last row they end with.
void require_increase(const std::string& path, const char* name, std::span<const std::int64_t> offsets) {
  if (!offsets.empty() && offsets[0] < 0)
    throw BadFile(path, std::string(name) + ": entry 0: " + std::to_string(offsets[0]) + " (need 0)");
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    if (offsets[i] >= offsets[i + 1])
      throw BadFile(path, std::string(name) + ": sample " + std::to_string(i) + " has none (entries " +
                              std::to_string(i) + " and " + std::to_string(i + 1) + " are " +
                              std::to_string(offsets[i]) + " and " + std::to_string(offsets[i + 1]) + ")");
}

// Rows begin to end - 1 of a tensor.
TensorEntry rows_of(const TensorEntry& tensor, std::size_t begin, std::size_t end) {
  TensorEntry part = tensor;
  const std::size_t per_row = tensor.count / tensor.shape[0];
  const std::size_t width = tensor.dtype == "F64" ? 8 : tensor.dtype == "F32" ? 4 : 2;
  part.bytes = tensor.bytes + begin * per_row * width;
  part.count = (end - begin) * per_row;
  part.shape[0] = end - begin;
  return part;
}

}  // namespace

template <NumberType T>
Dataset<T> load_dataset_part(const std::string& path, std::size_t rank, std::size_t size) {
  const TensorFile file = data::open_tensor_file(path);
  const auto storage = std::make_shared<LoadedStorage<T>>();
  BatchView<T> whole;
  read_all_but_tokens(path, file, *storage, whole);
  const SampleRange range = share_of_rank(whole.n_samples, rank, size);
  const bool ragged = whole.offsets != nullptr;
  if (ragged) require_increase(path, "offsets", {whole.offsets, whole.n_samples + 1});
  require_increase(path, "query_offsets", whole.query_offsets);
  std::vector<std::int64_t> query_offsets;
  BatchView<T> view = part_of(whole, range, query_offsets);
  storage->query_offsets = std::move(query_offsets);
  const auto row = [&](std::size_t i) { return ragged ? static_cast<std::size_t>(whole.offsets[i]) : i; };
  view.tokens =
      floats(path, rows_of(*file.find("tokens"), row(range.begin), row(range.end)), storage->tokens);
  if (ragged) {
    // From the first token of this part.
    std::vector<std::int64_t> offsets(whole.offsets + range.begin, whole.offsets + range.end + 1);
    for (std::size_t i = offsets.size(); i-- > 0;) offsets[i] -= offsets[0];
    storage->offsets = std::move(offsets);
    view.offsets = storage->offsets.data();
  }
  try {
    view.validate();
  } catch (const InvalidArgument& error) {
    throw BadFile(path, std::string(error.what()) + ", counted from sample " + std::to_string(range.begin));
  }
  return Dataset<T>(view, storage);
}

HalfDataset load_half_dataset(const std::string& path) { return load_half_dataset(path, ReadOptions{}); }

HalfDataset load_half_dataset(const std::string& path, const ReadOptions& options) {
  const TensorFile file = data::open_tensor_file(path);
  const auto storage = std::make_shared<LoadedStorage<float>>();
  HalfBatchView view;
  read_all_but_tokens(path, file, *storage, view.rest);
  const TensorEntry& tokens = *file.find("tokens");
  if (tokens.dtype != "F16" && tokens.dtype != "BF16")
    refuse(path, tokens, "has dtype " + name_text(tokens.dtype) + " (need F16 or BF16)");
  view.storage = data::stored_type_of(tokens.dtype);
  bound_memory(path, file, aligned<std::uint16_t>(tokens), options, *storage);
  if (!aligned<std::uint16_t>(tokens)) {
    storage->halves.resize(tokens.count);
    std::memcpy(storage->halves.data(), tokens.bytes, tokens.count * sizeof(std::uint16_t));
    view.tokens = storage->halves;
  } else {
    view.tokens = {reinterpret_cast<const std::uint16_t*>(tokens.bytes), tokens.count};
  }
  validate_contents(path, view);
  return HalfDataset(view, storage);
}

namespace {

template <class Integer>
data::TensorToWrite integers(const char* name, std::vector<Integer> values, std::vector<std::size_t> shape) {
  data::TensorToWrite tensor = integers(name, std::move(values));
  tensor.shape = std::move(shape);
  return tensor;
}

template <class T>
void add_queries(const std::string& path, const BatchView<T>& view, StoredType type,
                 std::vector<data::TensorToWrite>& tensors) {
  const std::size_t n = view.n_samples, all = view.total_queries();
  // Those of a ragged batch are counted by sample, wherever they are said to lie.
  const bool is_uniform = view.all_tokens_are_queries ? view.offsets == nullptr : view.query_offsets.empty();
  if (!is_uniform) {
    std::vector<std::int64_t> offsets;
    for (std::size_t i = 0; i < n; ++i) offsets.push_back(static_cast<std::int64_t>(view.first_query(i)));
    offsets.push_back(static_cast<std::int64_t>(all));
    tensors.push_back(integers("query_offsets", std::move(offsets)));
  }
  std::vector<std::size_t> shape = {is_uniform ? n : all};
  if (is_uniform && (all != n || view.all_tokens_are_queries)) shape.push_back(view.queries_of(0));
  if (view.queries) {
    shape.push_back(view.dim);
    const std::size_t stride = view.query_stride ? view.query_stride : view.dim;
    tensors.push_back(rows<T>(path, "queries", std::move(shape), type, all,
                              [&view, stride](std::size_t row) { return view.queries + row * stride; }));
  } else if (view.query_index || view.all_tokens_are_queries) {
    std::vector<std::int64_t> index;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t q = 0; q < view.queries_of(i); ++q)
        index.push_back(static_cast<std::int64_t>(view.query_token(i, q)));
    tensors.push_back(integers("queries", std::move(index), std::move(shape)));
  }
  if (view.query_weights.empty()) return;
  const std::size_t n_weights = view.query_weights.size();
  tensors.push_back(rows<T>(path, "query_weights", {n_weights},
                            sizeof(T) == 4 ? StoredType::f32 : StoredType::f64, 1,
                            [&view](std::size_t) { return view.query_weights.data(); }));
}

}  // namespace

template <class T>
std::vector<data::TensorToWrite> data::dataset_tensors(const std::string& path, const BatchView<T>& view,
                                                       StoredType wanted) {
  const StoredType exact = sizeof(T) == 4 ? StoredType::f32 : StoredType::f64;
  const StoredType type = wanted == StoredType::working ? exact : wanted;
  const std::size_t n = view.n_samples, dim = view.dim;
  // Row r of the file: tokens of all samples one after another.
  std::size_t sample = 0, before = 0;  // rows are asked for in order
  const auto token = [&view, sample, before](std::size_t r) mutable {
    while (r >= before + view.tokens_of(sample)) before += view.tokens_of(sample++);
    return view.sample(sample) + (r - before) * view.row_stride();
  };
  const std::size_t n_rows = view.total_tokens();
  std::vector<data::TensorToWrite> tensors;
  if (view.offsets) {
    std::vector<std::int64_t> offsets(view.offsets, view.offsets + n + 1);
    for (std::size_t i = n + 1; i-- > 0;) offsets[i] -= offsets[0];
    tensors.push_back(integers("offsets", std::move(offsets)));
    tensors.push_back(rows<T>(path, "tokens", {n_rows, dim}, type, n_rows, token));
  } else {
    tensors.push_back(rows<T>(path, "tokens", {n, view.n_tokens, dim}, type, n_rows, token));
  }
  tensors.push_back(integers("labels", std::vector<std::int8_t>(view.labels, view.labels + n)));
  if (view.decoder)
    tensors.push_back(
        rows<T>(path, "decoder", {dim}, exact, 1, [&view](std::size_t) { return view.decoder; }));
  add_queries(path, view, type, tensors);
  return tensors;
}

template <NumberType T>
void save_dataset(const std::string& path, const Dataset<T>& dataset, StoredType wanted) {
  dataset.view().validate();
  if (dataset.view().targets != nullptr)
    throw InvalidArgument("targets", "set (the file of a data set has labels in their place)");
  data::write_tensor_file(path, data::dataset_tensors(path, dataset.view(), wanted), {});
}

std::vector<std::size_t> load_selected(const std::string& path) {
  const TensorFile file = data::open_tensor_file(path);
  const TensorEntry* tensor = file.find("selected");
  if (tensor == nullptr) return {};
  if (tensor->shape.size() != 1)
    refuse(path, *tensor,
           "has shape " + data::shape_text(tensor->shape) + " (need [n], an index per sample)");
  return whole_numbers(path, *tensor);
}

MulticlassData load_multiclass_data(const std::string& path) {
  const TensorFile file = data::open_tensor_file(path);
  const TensorEntry &features = required(path, file, "features"), &classes = required(path, file, "classes");
  if (features.shape.size() != 2)
    refuse(path, features, "has shape " + data::shape_text(features.shape) + " (need [n, d])");
  require_shape(path, classes, {features.shape[0]});
  MulticlassData out;
  out.dim = features.shape[1];
  const double* values = floats(path, features, out.features);
  if (out.features.empty()) out.features.assign(values, values + features.count);
  out.classes = whole_numbers(path, classes);
  for (const std::size_t y : out.classes) out.n_classes = std::max(out.n_classes, y + 1);
  // No more than there are samples, so that W fits where the data do.
  std::vector<bool> has_sample(std::min(out.n_classes, out.classes.size()), false);
  for (const std::size_t y : out.classes)
    if (y < has_sample.size()) has_sample[y] = true;
  const auto missing = std::find(has_sample.begin(), has_sample.end(), false);
  if (missing != has_sample.end() || has_sample.size() < out.n_classes)
    refuse(path, classes,
           "has no sample of class " + std::to_string(missing - has_sample.begin()) +
               " (need one of each from 0 to " + std::to_string(out.n_classes - 1) + ", the largest)");
  try {
    out.validate();
  } catch (const InvalidArgument& error) {
    throw BadFile(path, error.what());
  }
  return out;
}

template std::vector<data::TensorToWrite> data::dataset_tensors(const std::string&, const BatchView<double>&,
                                                                StoredType);
template Dataset<float> load_dataset<float>(const std::string&, const ReadOptions&);
template Dataset<double> load_dataset<double>(const std::string&, const ReadOptions&);
template Dataset<float> load_dataset<float>(const std::string&);
template Dataset<double> load_dataset<double>(const std::string&);
template Dataset<float> load_dataset_part<float>(const std::string&, std::size_t, std::size_t);
template Dataset<double> load_dataset_part<double>(const std::string&, std::size_t, std::size_t);
template void save_dataset(const std::string&, const Dataset<float>&, StoredType);
template void save_dataset(const std::string&, const Dataset<double>&, StoredType);

}  // namespace softstep
