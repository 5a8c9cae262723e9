#include "core/data/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "softstep/error.h"

namespace softstep::data {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) throw IoError(path, "cannot be read: " + reason(errno));
  struct stat info = {};
  if (fstat(file.fd, &info) != 0) throw IoError(path, "cannot be read: " + reason(errno));
  if (S_ISDIR(info.st_mode)) throw IoError(path, "is a directory (need a file)");
  if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))
    throw IoError(path, "is a pipe (data are mapped into memory: write them to a file first, and name that)");
  if (!S_ISREG(info.st_mode)) throw IoError(path, "is not a regular file");
  if (info.st_size == 0) throw BadFile(path, "is empty");
  const auto size = static_cast<std::size_t>(info.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) throw IoError(path, "cannot be mapped: " + reason(errno));
  return std::shared_ptr<const MappedFile>(new MappedFile(address, size));
}

MappedFile::~MappedFile() { munmap(address_, size_); }

}  // namespace softstep::data
