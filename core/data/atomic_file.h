#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace softstep::data {

/// A file that appears complete or not at all: written under another name in the same directory and renamed
/// by commit(). Without commit() nothing is left and an older file of that name stays as it was. Every
/// failure is an InvalidArgument(path, reason). A symbolic link is followed; anything but a regular file is
/// refused as a target. (No fsync: the promise is about failing programs, not about failing power.)
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t size);
  template <class T>
  void write_value(T value) {
    write(&value, sizeof value);
  }
  void commit();

 private:
  void flush();
  void write_out(const char* bytes, std::size_t size);
  [[noreturn]] void fail(int error) const;

  std::string path_, target_, temporary_;
  int fd_ = -1;
  std::vector<char> buffer_;
};

}  // namespace softstep::data
