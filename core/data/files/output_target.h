#pragma once

#include <sys/stat.h>

#include <string>

namespace softstep::data {

/// An open file descriptor, closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_;
};

/// Where the bytes for a name go once symbolic links are followed.
struct OutputTarget {
  bool is_stream = false;   ///< a device, a pipe or a descriptor of this process: written straight into
  int own_descriptor = -1;  ///< /dev/stdout, /dev/fd/N, or the file that is our standard output or error
  std::string directory, name;
  bool exists = false;
  mode_t mode = 0;  ///< of a file that exists
  uid_t owner = 0;
  gid_t group = 0;

  std::string path() const { return directory + "/" + name; }
};

/// Throws IoError: the path "cannot be <done>", and the system's reason.
[[noreturn]] void refuse_file(const std::string& path, const std::string& done, int error);
[[noreturn]] void refuse_output(const std::string& path, int error);

/// Makes a file or a folder safe on the disk. 0, or the error; 0 too where the file system cannot do it.
int sync(int fd);

/// Follows the links and looks at what is there. Throws InvalidArgument(path, ...) for a directory, a
/// read-only file, a folder that is not there.
OutputTarget find_output(const std::string& path);

/// The stream of a target, open for writing. Opening a pipe waits for its reader, as everywhere.
Descriptor open_stream(const std::string& path, const OutputTarget& target);

/// Removes the file that a name leads to, if there is one, and makes that safe on the disk. Links to it stay,
/// and a stream is left alone. Throws IoError.
void remove_output(const std::string& path);

/// Writes all of it. Returns 0, or the error, with the bytes that went out in `written`. A file too large or
/// a pipe without a reader is an error here, never the end of the process.
int write_all(int fd, const char* bytes, std::size_t size, std::size_t& written);

}  // namespace softstep::data
