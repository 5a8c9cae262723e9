#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace softstep::test {

/// A path of this process's own; what is there at the end is removed.
struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& name)
      : path((std::filesystem::temp_directory_path() / (name + "." + std::to_string(getpid()))).string()) {}
  ~TemporaryFile() { std::filesystem::remove(path); }
};

}  // namespace softstep::test
