#pragma once

// The tensors of a model's data file, with what is wrong with them as one line.

#include <cstddef>
#include <string>
#include <vector>

#include "softstep/dataset.h"

namespace softstep::program {

class FileTensors {
 public:
  /// Throws BadFile or IoError.
  explicit FileTensors(const std::string& path);
  const std::string& path() const { return path_; }
  bool has(const std::string& name) const { return find(name) != nullptr; }
  /// With so many dimensions, none of them empty; `shape` says them: "[n, d]". Throws BadFile.
  const NamedTensor& need(const std::string& name, std::size_t n_dims, const std::string& shape) const;
  /// One of the shape given.
  const NamedTensor& need(const std::string& name, const std::vector<std::size_t>& shape) const;
  /// Its one number: of shape [] or [1].
  double number(const std::string& name) const;
  /// As whole numbers from 0.
  std::vector<std::size_t> whole(const NamedTensor& tensor) const;
  /// As labels, each -1 or +1.
  std::vector<signed char> labels(const NamedTensor& tensor) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;

 private:
  const NamedTensor* find(const std::string& name) const;
  const NamedTensor& existing(const std::string& name) const;
  std::string path_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace softstep::program
