#include "file_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "output.h"
#include "softstep/error.h"
#include "softstep/number_tensors.h"

namespace softstep::program {

namespace {

std::string text_of(const std::vector<std::size_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace

FileTensors::FileTensors(const std::string& path) : path_(path), tensors_(load_number_tensors(path)) {}

void FileTensors::refuse(const std::string& name, const std::string& what) const {
  throw BadFile(path_, fmt::format("tensor `{}` {}", name, what));
}

const NamedTensor* FileTensors::find(const std::string& name) const {
  for (const NamedTensor& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

const NamedTensor& FileTensors::existing(const std::string& name) const {
  if (const NamedTensor* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const NamedTensor& tensor : tensors_) names.push_back("`" + tensor.name + "`");
  throw BadFile(path_,
                fmt::format("has no tensor `{}` (it has: {})", name,
                            names.empty() ? "none of numbers" : fmt::format("{}", fmt::join(names, ", "))));
}

const NamedTensor& FileTensors::need(const std::string& name, std::size_t n_dims,
                                     const std::string& shape) const {
  const NamedTensor& tensor = existing(name);
  if (tensor.shape.size() != n_dims || tensor.values.empty())
    refuse(name, fmt::format("has shape {} (need {})", text_of(tensor.shape), shape));
  return tensor;
}

const NamedTensor& FileTensors::need(const std::string& name, const std::vector<std::size_t>& shape) const {
  const NamedTensor& tensor = existing(name);
  if (tensor.shape != shape)
    refuse(name, fmt::format("has shape {} (need {})", text_of(tensor.shape), text_of(shape)));
  return tensor;
}

double FileTensors::number(const std::string& name) const {
  const NamedTensor& tensor = existing(name);
  if (tensor.values.size() != 1 || tensor.shape.size() > 1)
    refuse(name, fmt::format("has shape {} (need [1])", text_of(tensor.shape)));
  return tensor.values[0];
}

std::vector<std::size_t> FileTensors::whole(const NamedTensor& tensor) const {
  std::vector<std::size_t> out;
  for (std::size_t k = 0; k < tensor.values.size(); ++k) {
    const double value = tensor.values[k];
    if (!(value >= 0.0 && value < 0x1p53 && value == std::floor(value)))
      refuse(tensor.name, fmt::format("entry {}: {} (need a whole number from 0)", k, shortest(value)));
    out.push_back(static_cast<std::size_t>(value));
  }
  return out;
}

std::vector<signed char> FileTensors::labels(const NamedTensor& tensor) const {
  std::vector<signed char> out;
  for (std::size_t k = 0; k < tensor.values.size(); ++k) {
    if (!(std::fabs(tensor.values[k]) == 1.0))
      refuse(tensor.name, fmt::format("entry {}: {} (need -1 or 1)", k, shortest(tensor.values[k])));
    out.push_back(tensor.values[k] > 0.0 ? 1 : -1);
  }
  return out;
}

}  // namespace softstep::program
