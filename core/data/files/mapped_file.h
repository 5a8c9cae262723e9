#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace softstep::data {

/// The bytes of a whole regular file, for reading. Up to `largest_copy` they are read once into memory of our
/// own: nothing that happens to the file later is seen. A larger file is mapped, so that it needs no memory.
/// Then another program that changes it in place changes the bytes, and one that truncates it makes reading
/// them a SIGBUS: softstep/mapped_files.h says what an application does about it. (Files written by softstep
/// are replaced by renaming, which leaves existing maps alone.)
class MappedFile {
 public:
  static constexpr std::size_t largest_copy = std::size_t{1} << 24;

  /// Throws IoError if the file is missing, not a regular file or cannot be read; BadFile if it is empty, or
  /// changes while it is copied.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  /// The same of a plain name in a folder. Throws BadFile for a symbolic link: it may lead out of the folder.
  static std::shared_ptr<const MappedFile> open_in(const std::string& folder, const std::string& name);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const unsigned char* bytes() const { return static_cast<const unsigned char*>(address_); }
  std::size_t size() const { return size_; }
  /// Null for a copy, which has no file behind it.
  const void* listed() const { return listed_; }

 private:
  static std::shared_ptr<const MappedFile> open_at(const std::string& path, int more_flags);
  MappedFile(void* address, std::size_t size, void* listed)
      : address_(address), size_(size), listed_(listed) {}
  void* address_;
  std::size_t size_;
  void* listed_;  // in the list of softstep/mapped_files.h; null for a copy
};

}  // namespace softstep::data
