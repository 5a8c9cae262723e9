#include "core/data/atomic_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "softstep/error.h"

namespace softstep::data {
namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 20;
std::atomic<unsigned> serial{0};

std::string resolved(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  const std::string out = real;
  free(real);
  return out;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  if (path.empty()) throw InvalidArgument("path", "empty (need the name of a file)");
  struct stat info = {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists) {
    if (S_ISDIR(info.st_mode)) fail(EISDIR);
    if (!S_ISREG(info.st_mode)) throw InvalidArgument(path_, "cannot be written: not a regular file");
    if (access(path.c_str(), W_OK) != 0) fail(errno);
    target_ = resolved(path);
  }
  const std::size_t slash = target_.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : target_.substr(0, slash + 1);
  if (slash != std::string::npos && slash + 1 == target_.size()) fail(EISDIR);
  const std::string prefix = directory + ".softstep-" + std::to_string(getpid()) + "-";
  do {
    temporary_ = prefix + std::to_string(serial++) + ".tmp";
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) fail(errno);
  if (exists) (void)!fchmod(fd_, info.st_mode & 0777);
  try {
    buffer_.reserve(buffer_size);
  } catch (...) {  // no destructor runs for a constructor that throws
    close(fd_);
    unlink(temporary_.c_str());
    throw;
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail(int error) const {
  throw InvalidArgument(path_, "cannot be written: " + std::generic_category().message(error));
}

void AtomicFile::write(const void* bytes, std::size_t size) {
  const char* from = static_cast<const char*>(bytes);
  if (size > buffer_size - buffer_.size()) flush();
  if (size >= buffer_size)
    write_out(from, size);
  else
    buffer_.insert(buffer_.end(), from, from + size);
}

void AtomicFile::write_out(const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(errno);
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::flush() {
  write_out(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) fail(errno);
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();
}

}  // namespace softstep::data
