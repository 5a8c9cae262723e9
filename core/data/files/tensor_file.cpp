// Named tensors and weight matrices in safetensors files.

#include <cmath>

#include "core/data/checked_size.h"
#include "core/data/files/safetensors.h"
#include "core/data/text.h"
#include "softstep/files.h"

namespace softstep {

using data::name_text;

namespace {

// Calls refuse() with what is wrong with weights, dim x dim, of which one is not finite.
template <class Refuse>
void require_finite(const std::vector<double>& weights, std::size_t dim, Refuse refuse) {
  for (std::size_t k = 0; k < weights.size(); ++k)
    if (!std::isfinite(weights[k]))
      refuse("row " + std::to_string(k / dim) + ", column " + std::to_string(k % dim) + ": " +
             data::number_text(weights[k]) + " (need finite numbers)");
}

}  // namespace

void save_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                  const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::vector<data::TensorToWrite> out;
  for (const NamedTensor& tensor : tensors) {
    std::size_t size = 1;
    for (const std::size_t n : tensor.shape)
      if (!data::multiply(size, n, data::max_bytes, size))
        throw InvalidArgument(
            path, "tensor " + name_text(tensor.name) + " is too large: " + data::shape_text(tensor.shape));
    if (size != tensor.values.size())
      throw InvalidArgument(path, "tensor " + name_text(tensor.name) + " has " +
                                      std::to_string(tensor.values.size()) + " values (need " +
                                      std::to_string(size) + " for shape " + data::shape_text(tensor.shape) +
                                      ")");
    out.push_back(
        {tensor.name, data::dtype_of(tensor.type), tensor.shape, [&path, &tensor](OutputFile& file) {
           for (const double x : tensor.values) data::write_number(file, path, tensor.name, x, tensor.type);
         }});
  }
  data::write_tensor_file(path, std::move(out), metadata);
}

std::vector<NamedTensor> load_tensors(const std::string& path,
                                      std::vector<std::pair<std::string, std::string>>* metadata) {
  const data::TensorFile file = data::open_tensor_file(path);
  std::vector<NamedTensor> out;
  for (const data::TensorEntry& tensor : file.tensors)
    if (data::is_float(tensor.dtype))
      out.push_back({tensor.name, tensor.shape, data::decode<double>(path, tensor),
                     data::stored_type_of(tensor.dtype)});
  if (metadata) *metadata = file.metadata;
  return out;
}

std::map<std::string, std::string> load_metadata(const std::string& path) {
  const data::TensorFile file = data::open_tensor_file(path);
  return {file.metadata.begin(), file.metadata.end()};
}

std::vector<double> load_weights(const std::string& path, std::size_t dim) {
  const data::TensorFile file = data::open_tensor_file(path);
  const data::TensorEntry* weights = file.find("weights");
  if (weights == nullptr)
    throw BadFile(path, "has no tensor `weights` (it has: " + data::names_of(file) + ")");
  if (!data::is_float(weights->dtype))
    throw BadFile(
        path, "tensor `weights` has dtype " + name_text(weights->dtype) + " (need F64, F32, F16 or BF16)");
  const std::vector<std::size_t> shape = {dim, dim};
  if (weights->shape != shape)
    throw BadFile(path, "tensor `weights` has shape " + data::shape_text(weights->shape) + " (need " +
                            data::shape_text(shape) + ")");
  std::vector<double> values = data::decode<double>(path, *weights);
  require_finite(values, dim,
                 [&](const std::string& problem) { throw BadFile(path, "tensor `weights`, " + problem); });
  return values;
}

void save_weights(const std::string& path, const std::vector<double>& weights, std::size_t dim,
                  StoredType type) {
  std::size_t size = 0;
  if (!data::multiply(dim, dim, data::max_bytes, size) || size != weights.size())
    throw InvalidArgument("weights", std::to_string(weights.size()) +
                                         " entries (need dim * dim, dim = " + std::to_string(dim) + ")");
  require_finite(weights, dim, [](const std::string& problem) { throw InvalidArgument("weights", problem); });
  data::TensorToWrite tensor{"weights", data::dtype_of(type), {dim, dim}, [&](OutputFile& file) {
                               for (const double x : weights)
                                 data::write_number(file, path, "weights", x, type);
                             }};
  data::write_tensor_file(path, {std::move(tensor)}, {});
}

}  // namespace softstep
