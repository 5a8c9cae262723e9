#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace softstep::data {

/// A whole regular file mapped read-only. The bytes are those of the file itself: another program that
/// changes or truncates it in place while it is mapped changes them too or ends the process, and nothing here
/// can prevent that. (Files written by softstep are replaced by renaming, which leaves existing maps alone.)
class MappedFile {
 public:
  /// Throws InvalidArgument(path, ...) if the file is missing, empty, not a regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const unsigned char* bytes() const { return static_cast<const unsigned char*>(address_); }
  std::size_t size() const { return size_; }

 private:
  MappedFile(void* address, std::size_t size) : address_(address), size_(size) {}
  void* address_;
  std::size_t size_;
};

}  // namespace softstep::data
