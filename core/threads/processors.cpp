#include "core/threads/processors.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

namespace softstep {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) out.push_back(line);
  return out;
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, by);) out.push_back(word);
  return out;
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// A hierarchy of control groups: where it is mounted, and which of its groups is seen there.
struct Mount {
  std::string root, at;
};

// Spaces, tabs, line feeds and backslashes of paths stand in mountinfo as \ and three octal digits.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue   (proc(5), mountinfo)
std::vector<Mount> mounts(const std::string& root, const std::string& type, const std::string& controller) {
  std::vector<Mount> out;
  for (const std::string& line : lines_of(root + "/proc/self/mountinfo")) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split(line.substr(0, dash), ' '), after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3 || after[0] != type) continue;
    if (!controller.empty() && !has(split(after[2], ','), controller)) continue;
    out.push_back({unescaped(before[3]), unescaped(before[4])});
  }
  return out;
}

double first_number(const std::string& path, double otherwise) {
  std::ifstream file(path);
  double value = 0.0;
  return file >> value ? value : otherwise;
}

// "max 100000" or "150000 100000": microseconds in each period.
double quota_v2(const std::string& group) {
  std::ifstream file(group + "/cpu.max");
  double quota = 0.0, period = 0.0;
  return file >> quota >> period && quota > 0.0 && period > 0.0 ? quota / period : unlimited;
}

double quota_v1(const std::string& group) {
  const double quota = first_number(group + "/cpu.cfs_quota_us", -1.0);
  const double period = first_number(group + "/cpu.cfs_period_us", 0.0);
  return quota > 0.0 && period > 0.0 ? quota / period : unlimited;
}

// The least quota of the group and of those above it that are to be seen. A group outside of what is mounted,
// as a container may be told, is looked for at the mount itself.
template <class Quota>
double least_quota(const std::string& root, const Mount& mount, std::string group, Quota quota_of) {
  if (mount.root != "/") {
    const bool inside = group == mount.root || group.rfind(mount.root + "/", 0) == 0;
    group = inside ? group.substr(mount.root.size()) : "";
  }
  if (group.find("/..") != std::string::npos) group.clear();
  double least = unlimited;
  for (;;) {
    least = std::min(least, quota_of(root + mount.at + group));
    if (group.empty()) return least;
    const std::size_t slash = group.rfind('/');
    group.resize(slash == std::string::npos ? 0 : slash);
  }
}

}  // namespace

int processors_in_mask() {
  // Larger masks than cpu_set_t are needed where the kernel knows more processors.
  for (std::size_t n = CPU_SETSIZE; n <= (std::size_t{1} << 20); n *= 2) {
    cpu_set_t* set = CPU_ALLOC(n);
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(n);
    const bool known = sched_getaffinity(0, size, set) == 0;
    const int error = errno;
    const int count = known ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (known && count > 0) return count;
    if (!known && error != EINVAL) break;
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// 4:cpu,cpuacct:/some/group for a hierarchy of v1, 0::/some/group for that of v2   (cgroups(7))
double processor_quota(const std::string& root) {
  double least = unlimited;
  for (const std::string& line : lines_of(root + "/proc/self/cgroup")) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      group = line.substr(second + 1);
    if (controllers.empty())
      for (const Mount& mount : mounts(root, "cgroup2", ""))
        least = std::min(least, least_quota(root, mount, group, quota_v2));
    else if (has(split(controllers, ','), "cpu"))
      for (const Mount& mount : mounts(root, "cgroup", "cpu"))
        least = std::min(least, least_quota(root, mount, group, quota_v1));
  }
  return least;
}

}  // namespace softstep
