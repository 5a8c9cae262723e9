#include "core/data/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/data/files/map_list.h"
#include "core/data/files/output_target.h"
#include "softstep/error.h"

namespace softstep::data {
namespace {

struct Copy {
  explicit Copy(const std::string& path, std::size_t n) : size(n) {
    address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) refuse_file(path, "read", errno);
  }
  ~Copy() {
    if (address != nullptr) munmap(address, size);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  void* address;
  std::size_t size;
};

void* read_whole(const std::string& path, int fd, const struct stat& info) {
  const auto size = static_cast<std::size_t>(info.st_size);
  Copy copy(path, size);
  for (std::size_t done = 0; done < size;) {
    const ssize_t n =
        pread(fd, static_cast<char*>(copy.address) + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse_file(path, "read", errno);
    if (n == 0)
      throw BadFile(path, "was truncated while it was read: " + std::to_string(done) + " of " +
                              std::to_string(size) + " bytes are there");
    done += static_cast<std::size_t>(n);
  }
  struct stat now = {};
  if (fstat(fd, &now) != 0) refuse_file(path, "read", errno);
  if (has_changed(info, now)) throw BadFile(path, "was changed while it was read");
  return std::exchange(copy.address, nullptr);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) refuse_file(path, "read", errno);
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) refuse_file(path, "read", errno);
  if (S_ISDIR(info.st_mode)) throw IoError(path, "is a directory (need a file)");
  if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))
    throw IoError(path, "is a pipe (data are mapped into memory: write them to a file first, and name that)");
  if (!S_ISREG(info.st_mode)) throw IoError(path, "is not a regular file");
  if (info.st_size == 0) throw BadFile(path, "is empty");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size <= largest_copy)
    return std::shared_ptr<const MappedFile>(
        new MappedFile(read_whole(path, file.get(), info), size, nullptr));
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) refuse_file(path, "mapped", errno);
  void* const listed = list_map(path, address, size, file.release(), info);
  return std::shared_ptr<const MappedFile>(new MappedFile(address, size, listed));
}

MappedFile::~MappedFile() {
  if (listed_ != nullptr) unlist_map(listed_);
  munmap(address_, size_);
}

}  // namespace softstep::data
