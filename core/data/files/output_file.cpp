// Files that appear whole or not at all.

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/data/files/output_target.h"
#include "softstep/error.h"
#include "softstep/files.h"

namespace softstep {
namespace {

using data::Descriptor;
using data::OutputTarget;
using data::refuse_output;

constexpr std::size_t buffer_size = std::size_t{1} << 20;
std::atomic<unsigned> serial{0};

// Temporary names are short, whatever the length of the name they stand for. The owner of a temporary file
// holds a lock on it, which ends with the process, on whichever machine of a shared disk that was.
constexpr std::string_view temporary_prefix = ".softstep-", temporary_suffix = ".tmp";

bool lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

void remove_if_abandoned(int directory, const char* name) {
  const Descriptor file(openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open() || !lock(file.get())) return;
  struct stat opened = {}, named = {};
  if (fstat(file.get(), &opened) != 0 || fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (S_ISREG(opened.st_mode) && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino)
    unlinkat(directory, name, 0);
}

void remove_abandoned(int directory) {
  Descriptor listed(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* const entries = listed.is_open() ? fdopendir(listed.get()) : nullptr;
  if (entries == nullptr) return;
  listed.release();  // closed with the list
  while (const dirent* const entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(temporary_prefix) && name.ends_with(temporary_suffix))
      remove_if_abandoned(directory, entry->d_name);
  }
  closedir(entries);
}

}  // namespace

class OutputFile::Place {
 public:
  explicit Place(const std::string& path) : path_(path) {}
  ~Place() {
    if (!temporary_.empty()) unlinkat(directory_.get(), temporary_.c_str(), 0);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  void begin() {
    buffer_.reserve(buffer_size);
    target_ = data::find_output(path_);
    if (target_.is_stream) {
      file_ = data::open_stream(path_, target_);
      return;
    }
    directory_ = Descriptor(open((target_.directory + "/").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_.is_open()) refuse_output(path_, errno);
    remove_abandoned(directory_.get());
    make_temporary();
  }

  void write(const char* bytes, std::size_t size) {
    // Nothing at all asks for what is buffered to be written out.
    if (size == 0 || size > buffer_size - buffer_.size()) flush();
    if (size >= buffer_size)
      write_out(bytes, size);
    else
      buffer_.insert(buffer_.end(), bytes, bytes + size);
  }

  void commit() {
    flush();
    if (target_.is_stream) {
      if (close(file_.release()) != 0) refuse_output(path_, errno);
      return;
    }
    if (target_.exists) hand_on_permissions();
    if (const int error = data::sync(file_.get())) refuse_output(path_, error);
    if (renameat(directory_.get(), temporary_.c_str(), directory_.get(), target_.name.c_str()) != 0)
      refuse_output(path_, errno);
    temporary_.clear();
    file_.reset();
    if (const int error = data::sync(directory_.get()))
      throw IoError(path_,
                    "is written, but after a power failure the older file may be there: its folder "
                    "cannot be made safe on the disk: " +
                        std::generic_category().message(error));
  }

 private:
  void make_temporary() {
    // Until it has the permissions of the file it replaces, nobody else may read it.
    const mode_t mode = target_.exists ? 0600 : 0666;
    for (;;) {
      std::string name = std::string(temporary_prefix) + std::to_string(getpid()) + "-" +
                         std::to_string(serial++) + std::string(temporary_suffix);
      file_ =
          Descriptor(openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
      if (!file_.is_open() && errno == EEXIST) continue;
      if (!file_.is_open()) refuse_output(path_, errno);
      temporary_ = std::move(name);
      // Between making and locking it, somebody else's clearing up may have taken it.
      struct stat info = {};
      const bool taken = (!lock(file_.get()) && errno == EWOULDBLOCK) ||
                         (fstat(file_.get(), &info) == 0 && info.st_nlink == 0);
      if (!taken) return;
    }
  }

  void hand_on_permissions() {
    // Only the superuser can give a file away; for everyone else it is theirs already, or becomes theirs.
    struct stat info = {};
    mode_t mode = target_.mode;
    if (fstat(file_.get(), &info) == 0 && (info.st_uid != target_.owner || info.st_gid != target_.group) &&
        fchown(file_.get(), target_.owner, target_.group) != 0)
      mode &= 01777;  // set-user-id and set-group-id were meant for another owner
    if (fchmod(file_.get(), mode) != 0) refuse_output(path_, errno);
  }

  void flush() {
    write_out(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  void write_out(const char* bytes, std::size_t size) {
    std::size_t written = 0;
    const int error = data::write_all(file_.get(), bytes, size, written);
    if (error != 0) refuse_output(path_, error);
  }

  std::string path_, temporary_;
  OutputTarget target_;
  Descriptor directory_, file_;
  std::vector<char> buffer_;
};

OutputFile::OutputFile(const std::string& path) : place_(std::make_unique<Place>(path)) { place_->begin(); }
OutputFile::~OutputFile() = default;
void OutputFile::write(const void* bytes, std::size_t size) {
  place_->write(static_cast<const char*>(bytes), size);
}
void OutputFile::commit() { place_->commit(); }

void write_file(const std::string& path, std::string_view contents) {
  OutputFile file(path);
  file.write(contents.data(), contents.size());
  file.commit();
}

void require_writable(const std::string& path) {
  const OutputTarget target = data::find_output(path);
  if (!target.is_stream) {
    const OutputFile begun(path);
    return;
  }
  // A pipe is not opened before its time: that would wait for its reader, and end it.
  if (target.own_descriptor < 0) {
    if (access(target.path().c_str(), W_OK) != 0) refuse_output(path, errno);
    return;
  }
  const int flags = fcntl(target.own_descriptor, F_GETFL);
  if (flags < 0) refuse_output(path, errno);
  if ((flags & O_ACCMODE) == O_RDONLY) refuse_output(path, EBADF);
}

bool is_stream(const std::string& path) { return data::find_output(path).is_stream; }

}  // namespace softstep
