#include "core/data/files/output_target.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <system_error>
#include <utility>

#include "core/data/text.h"
#include "softstep/error.h"

namespace softstep::data {
namespace {

std::string real_directory(const std::string& path, const std::string& directory) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(directory.c_str(), nullptr), std::free);
  if (real == nullptr) refuse_output(path, errno);
  return real.get();
}

// The N of /proc/<this process>/fd/N, which is what /dev/stdout and /dev/fd/N are links to; else -1.
int own_descriptor(const std::string& directory, const std::string& name) {
  int fd = -1;
  const std::string process = "/proc/" + std::to_string(getpid());
  const bool ours = directory == process + "/fd" ||
                    (directory.starts_with(process + "/task/") && directory.ends_with("/fd"));
  return ours && read_number(name, fd) && fd >= 0 ? fd : -1;
}

// Replacing the file that is our own output would leave what is printed in the file that was replaced.
int standard_descriptor(const struct stat& info) {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat own = {};
    if (fstat(fd, &own) == 0 && own.st_dev == info.st_dev && own.st_ino == info.st_ino) return fd;
  }
  return -1;
}

std::string link_contents(const std::string& path, const std::string& link) {
  std::string contents(PATH_MAX, '\0');
  const ssize_t size = readlink(link.c_str(), contents.data(), contents.size());
  if (size < 0) refuse_output(path, errno);
  contents.resize(static_cast<std::size_t>(size));
  return contents;
}

void look_at(const std::string& path, const struct stat& info, OutputTarget& target) {
  target.exists = true;
  if (S_ISDIR(info.st_mode)) refuse_output(path, EISDIR);
  target.mode = info.st_mode & 07777;
  target.owner = info.st_uid;
  target.group = info.st_gid;
  target.own_descriptor = standard_descriptor(info);
  target.is_stream = target.own_descriptor >= 0 || !S_ISREG(info.st_mode);
  if (target.is_stream) return;
  // The superuser may write every file, but a file without any w was meant to stay.
  if ((info.st_mode & 0222) == 0) throw IoError(path, "cannot be written: it is read-only");
  if (access(target.path().c_str(), W_OK) != 0) refuse_output(path, errno);
}

// Turns SIGXFSZ and SIGPIPE of this thread into errors of write(), whatever the process does about them.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t pending, held;
    sigpending(&pending);
    sigemptyset(&held);
    sigemptyset(&new_);
    for (const int signal : {SIGXFSZ, SIGPIPE}) {
      sigaddset(&held, signal);
      if (sigismember(&pending, signal) == 0) sigaddset(&new_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldSignals() {
    const timespec at_once = {};
    while (sigtimedwait(&new_, nullptr, &at_once) > 0) continue;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_, new_;
};

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Descriptor::release() { return std::exchange(fd_, -1); }

void Descriptor::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void refuse_file(const std::string& path, const std::string& done, int error) {
  throw IoError(path, "cannot be " + done + ": " + std::generic_category().message(error));
}
void refuse_output(const std::string& path, int error) { refuse_file(path, "written", error); }

int sync(int fd) {
  if (fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) return 0;
  return errno;
}

OutputTarget find_output(const std::string& path) {
  if (path.empty()) throw InvalidArgument("path", "empty (need the name of a file)");
  constexpr int most_links = 40;  // as the kernel
  std::string at = path;
  for (int n_links = 0; n_links <= most_links; ++n_links) {
    const std::size_t slash = at.rfind('/');
    OutputTarget target;
    target.name = at.substr(slash + 1);
    if (target.name.empty() || target.name == "." || target.name == "..") refuse_output(path, EISDIR);
    target.directory = real_directory(path, slash == std::string::npos ? "." : at.substr(0, slash + 1));
    target.own_descriptor = own_descriptor(target.directory, target.name);
    if (target.own_descriptor >= 0) {
      target.exists = target.is_stream = true;
      return target;
    }
    if (target.directory == "/") target.directory.clear();
    struct stat info = {};
    if (lstat(target.path().c_str(), &info) != 0) {
      if (errno != ENOENT) refuse_output(path, errno);
      return target;
    }
    if (!S_ISLNK(info.st_mode)) {
      look_at(path, info, target);
      return target;
    }
    const std::string next = link_contents(path, target.path());
    at = next.starts_with("/") ? next : target.directory + "/" + next;
  }
  refuse_output(path, ELOOP);
}

Descriptor open_stream(const std::string& path, const OutputTarget& target) {
  Descriptor out(target.own_descriptor >= 0 ? fcntl(target.own_descriptor, F_DUPFD_CLOEXEC, 3)
                                            : open(target.path().c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!out.is_open()) refuse_output(path, errno);
  return out;
}

void remove_output(const std::string& path) {
  const OutputTarget target = find_output(path);
  if (target.is_stream || !target.exists) return;
  const Descriptor directory(open((target.directory + "/").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) refuse_output(path, errno);
  if (unlinkat(directory.get(), target.name.c_str(), 0) != 0 && errno != ENOENT) refuse_output(path, errno);
  if (const int error = sync(directory.get())) refuse_output(path, error);
}

int write_all(int fd, const char* bytes, std::size_t size, std::size_t& written) {
  const HeldSignals held;
  for (written = 0; written < size;) {
    const ssize_t n = write(fd, bytes + written, size - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0)
      return EIO;  // a file system that takes nothing and gives no reason: trying on would never end
    written += static_cast<std::size_t>(n);
  }
  return 0;
}

}  // namespace softstep::data
