#include "softstep/checkpoints.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "core/data/files/output_target.h"
#include "core/trainer/state_file.h"
#include "softstep/error.h"

namespace softstep {
namespace {

constexpr std::string_view prefix = "step-", suffix = ".safetensors";
constexpr std::size_t n_digits = 20;  // so that the order of the names is that of the steps

std::string name_of(std::int64_t step) {
  const std::string digits = std::to_string(step);
  return std::string(prefix) + std::string(n_digits - digits.size(), '0') + digits + std::string(suffix);
}

bool is_checkpoint(std::string_view name) {
  if (name.size() != prefix.size() + n_digits + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix))
    return false;
  const std::string_view digits = name.substr(prefix.size(), n_digits);
  return std::all_of(digits.begin(), digits.end(), [](char c) { return '0' <= c && c <= '9'; });
}

class TakenFolder {
 public:
  explicit TakenFolder(const std::string& path) : path_(path) {
    if (path.empty()) throw InvalidArgument("folder", "empty (need the name of a folder)");
    if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) data::refuse_file(path, "made", errno);
    folder_ = data::Descriptor(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_.is_open()) data::refuse_file(path, "read", errno);
    // The lock ends with the process, however that ends. A file system without locks has none to offer.
    if (flock(folder_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw InvalidArgument(path, "is in use: another run writes its checkpoints there");
    make_safe();
  }

  std::string file(const std::string& name) const { return path_ + "/" + name; }

  std::vector<std::string> names() const {
    const int listed = openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const entries = listed < 0 ? nullptr : fdopendir(listed);
    if (entries == nullptr) data::refuse_file(path_, "read", errno);
    std::vector<std::string> found;
    // A null pointer is the end only if errno says nothing else.
    for (errno = 0; const dirent* const entry = readdir(entries); errno = 0)
      if (is_checkpoint(entry->d_name)) found.emplace_back(entry->d_name);
    const int error = errno;
    closedir(entries);
    if (error != 0) data::refuse_file(path_, "read", error);
    std::sort(found.begin(), found.end());
    return found;
  }
  void remove(const std::string& name) const {
    if (unlinkat(folder_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
      data::refuse_file(file(name), "removed", errno);
  }

 private:
  // A new folder is only there after a power failure if the one above knows of it.
  void make_safe() const {
    const data::Descriptor above(openat(folder_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!above.is_open()) return;  // it is not ours to read, so it was not made by us
    if (const int error = data::sync(above.get())) data::refuse_file(path_, "made safe on the disk", error);
  }

  std::string path_;
  data::Descriptor folder_;
};

}  // namespace

class Checkpoints::Folder {
 public:
  Folder(const std::string& path, int keep) : folder(path), n_kept(static_cast<std::size_t>(keep)) {}
  TakenFolder folder;
  std::size_t n_kept;
};

Checkpoints::Checkpoints(const std::string& folder, int keep) {
  if (keep < 1) throw InvalidArgument("keep", std::to_string(keep) + " (need 1 or more)");
  folder_ = std::make_unique<Folder>(folder, keep);
}
Checkpoints::~Checkpoints() = default;

std::vector<std::string> Checkpoints::files() const {
  std::vector<std::string> names = folder_->folder.names();
  for (std::string& name : names) name = folder_->folder.file(name);
  return names;
}

template <NumberType T>
void Checkpoints::write(const Model<T>& model, const TrainState<T>& state, const TrainerOptions& options,
                        const StateNotes& notes) const {
  const TakenFolder& folder = folder_->folder;
  const std::string name = name_of(state.step);
  save_state(folder.file(name), model, state, options, notes);
  for (const std::string& other : folder.names())
    if (other > name) folder.remove(other);
  remove_older(state.step);
}

void Checkpoints::remove_older(std::int64_t step) const {
  const std::string newest = name_of(step);
  std::vector<std::string> names = folder_->folder.names();
  std::erase_if(names, [&](const std::string& name) { return name > newest; });
  for (std::size_t k = 0; k + folder_->n_kept < names.size(); ++k) folder_->folder.remove(names[k]);
}

template <NumberType T>
std::optional<Checkpoints::Found<T>> Checkpoints::newest(const Model<T>& model,
                                                         const TrainerOptions& options) const {
  std::vector<std::string> paths = files();
  std::reverse(paths.begin(), paths.end());
  if (paths.empty()) return {};
  Found<T> found;
  for (const std::string& path : paths) {
    try {
      require_whole_state(path);
      found.state = load_state(path, model, options);
      found.path = path;
      return found;
    } catch (const BadFile& error) {
      found.damaged.emplace_back(error.what());
    } catch (const IoError& error) {
      found.damaged.emplace_back(error.what());
    }
  }
  throw BadFile(paths.front(), "cannot be gone on from, nor can any other of the " +
                                   std::to_string(paths.size()) +
                                   " checkpoints of its folder: " + found.damaged.front());
}

template void Checkpoints::write(const Model<float>&, const TrainState<float>&, const TrainerOptions&,
                                 const StateNotes&) const;
template void Checkpoints::write(const Model<double>&, const TrainState<double>&, const TrainerOptions&,
                                 const StateNotes&) const;
template std::optional<Checkpoints::Found<float>> Checkpoints::newest(const Model<float>&,
                                                                      const TrainerOptions&) const;
template std::optional<Checkpoints::Found<double>> Checkpoints::newest(const Model<double>&,
                                                                       const TrainerOptions&) const;

}  // namespace softstep
