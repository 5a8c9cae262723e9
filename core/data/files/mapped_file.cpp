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

// AddressSanitizer does not know how far a mapped copy goes: it is told, so that reading on to the end of the
// page is found.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOFTSTEP_KNOWS_ADDRESSES
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SOFTSTEP_KNOWS_ADDRESSES
#endif
#if defined(SOFTSTEP_KNOWS_ADDRESSES)
#include <sanitizer/asan_interface.h>
#endif

namespace softstep::data {
namespace {

void set_readable_behind([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size,
                         [[maybe_unused]] bool readable) {
#if defined(SOFTSTEP_KNOWS_ADDRESSES)
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const char* const end = static_cast<const char*>(address) + size;
  const std::size_t rest = (page - size % page) % page;
  if (readable)
    ASAN_UNPOISON_MEMORY_REGION(end, rest);
  else
    ASAN_POISON_MEMORY_REGION(end, rest);
#endif
}

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
  set_readable_behind(copy.address, size, false);
  return std::exchange(copy.address, nullptr);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) { return open_at(path, 0); }

std::shared_ptr<const MappedFile> MappedFile::open_in(const std::string& folder, const std::string& name) {
  return open_at(folder + name, O_NOFOLLOW);
}

std::shared_ptr<const MappedFile> MappedFile::open_at(const std::string& path, int more_flags) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | more_flags));
  if (!file.is_open() && errno == ELOOP && more_flags != 0)
    throw BadFile(path, "is a symbolic link (a shard is a file beside its index, and no link is followed)");
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
  void* const listed =
      list_map(path, address, size, std::make_shared<const Descriptor>(std::move(file)), info);
  return std::shared_ptr<const MappedFile>(new MappedFile(address, size, listed));
}

MappedFile::~MappedFile() {
  if (listed_ != nullptr)
    unlist_map(listed_);
  else
    set_readable_behind(address_, size_, true);
  munmap(address_, size_);
}

}  // namespace softstep::data
