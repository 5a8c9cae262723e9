// Which files are mapped where, in a list that a signal handler can walk: entries are added at its head, used
// again when their file is unmapped, and never freed.

#include "core/data/files/map_list.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "softstep/mapped_files.h"

namespace softstep::data {
namespace {

struct Entry {
  std::atomic<const unsigned char*> begin{nullptr};  // null: free
  std::atomic<std::size_t> size{0};
  std::string path;
  SharedDescriptor file;
  struct stat info = {};
  Entry* next = nullptr;
};

std::atomic<Entry*> head{nullptr};

// Of writers. Never destroyed, as data sets may outlive everything that is.
struct Writers {
  std::mutex mutex;
  std::vector<std::string> changed;
};
Writers& writers() {
  static Writers* const all = new Writers;
  return *all;
}

bool was_changed(const Entry& entry) {
  struct stat now = {};
  return fstat(entry.file->get(), &now) == 0 && data::has_changed(entry.info, now);
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

bool has_changed(const struct stat& before, const struct stat& after) {
  return before.st_size != after.st_size || before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
         before.st_mtim.tv_nsec != after.st_mtim.tv_nsec;
}

void* list_map(const std::string& path, const void* address, std::size_t size, SharedDescriptor file,
               const struct stat& info) {
  const std::lock_guard lock(writers().mutex);
  Entry* entry = head.load();
  while (entry != nullptr && entry->begin.load() != nullptr) entry = entry->next;
  const bool is_new = entry == nullptr;
  if (is_new) entry = new Entry;
  entry->path = path;
  entry->file = std::move(file);
  entry->info = info;
  entry->size = size;
  entry->begin = static_cast<const unsigned char*>(address);  // last: only then is it looked at
  if (is_new) {
    entry->next = head.load();
    head = entry;
  }
  return entry;
}

const SharedDescriptor& descriptor_of(const void* listed) { return static_cast<const Entry*>(listed)->file; }
const struct stat& info_of(const void* listed) { return static_cast<const Entry*>(listed)->info; }

void unlist_map(void* listed) {
  Writers& all = writers();
  const std::lock_guard lock(all.mutex);
  auto* const entry = static_cast<Entry*>(listed);
  if (was_changed(*entry)) add_once(all.changed, entry->path);
  entry->begin = nullptr;
  entry->file.reset();
}

}  // namespace softstep::data

namespace softstep {

const char* mapped_file_at(const void* address) noexcept {
  const auto* const at = static_cast<const unsigned char*>(address);
  for (const data::Entry* entry = data::head.load(); entry != nullptr; entry = entry->next) {
    const unsigned char* const begin = entry->begin.load();
    if (begin != nullptr && begin <= at && at < begin + entry->size.load()) return entry->path.c_str();
  }
  return nullptr;
}

std::vector<std::string> changed_mapped_files() {
  data::Writers& all = data::writers();
  const std::lock_guard lock(all.mutex);
  for (const data::Entry* entry = data::head.load(); entry != nullptr; entry = entry->next)
    if (entry->begin.load() != nullptr && data::was_changed(*entry)) data::add_once(all.changed, entry->path);
  return all.changed;
}

}  // namespace softstep
