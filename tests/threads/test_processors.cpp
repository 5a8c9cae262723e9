// How many threads 0 means.

#include <omp.h>
#include <sched.h>

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "core/threads/processors.h"
#include "core/threads/start.h"
#include "softstep/attention_model.h"
#include "softstep/error.h"
#include "softstep/max_margin.h"
#include "softstep/threads.h"
#include "support/temporary_file.h"

namespace softstep {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

/// A file system with the control groups of one machine, made up.
class Machine {
 public:
  Machine()
      : root_(std::filesystem::temp_directory_path() / ("softstep_groups." + std::to_string(getpid()))) {
    std::filesystem::remove_all(root_);
  }
  ~Machine() { std::filesystem::remove_all(root_); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  double quota() const { return processor_quota(root_.string()); }

 private:
  std::filesystem::path root_;
};

constexpr const char* mount_v2 =
    "22 1 0:20 / / rw - ext4 /dev/root rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* mount_v1 =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

struct Mask {
  cpu_set_t before;
  Mask() { sched_getaffinity(0, sizeof before, &before); }
  ~Mask() { sched_setaffinity(0, sizeof before, &before); }
};

}  // namespace

TEST_CASE("Quota of control groups, version 2", "[threads]") {
  Machine machine;
  CHECK(machine.quota() == unlimited);  // no control groups at all
  machine.write("proc/self/mountinfo", mount_v2);
  machine.write("proc/self/cgroup", "0::/user.slice/run-1.scope\n");
  CHECK(machine.quota() == unlimited);
  machine.write("sys/fs/cgroup/user.slice/run-1.scope/cpu.max", "max 100000\n");
  CHECK(machine.quota() == unlimited);
  machine.write("sys/fs/cgroup/user.slice/cpu.max", "350000 100000\n");
  CHECK(machine.quota() == 3.5);  // of the group above
  machine.write("sys/fs/cgroup/user.slice/run-1.scope/cpu.max", "100000 50000\n");
  CHECK(machine.quota() == 2.0);
  machine.write("sys/fs/cgroup/user.slice/run-1.scope/cpu.max", "nonsense\n");
  CHECK(machine.quota() == 3.5);
}

TEST_CASE("Quota of control groups, version 1", "[threads]") {
  Machine machine;
  machine.write("proc/self/mountinfo", mount_v1);
  machine.write("proc/self/cgroup", "5:cpuset:/a\n4:cpuacct,cpu:/job/7\n1:name=systemd:/x\n0::/y\n");
  const std::string group = "sys/fs/cgroup/cpu,cpuacct/job/7";
  machine.write(group + "/cpu.cfs_quota_us", "-1\n");
  machine.write(group + "/cpu.cfs_period_us", "100000\n");
  CHECK(machine.quota() == unlimited);
  machine.write(group + "/cpu.cfs_quota_us", "50000\n");
  CHECK(machine.quota() == 0.5);
}

TEST_CASE("Quota in a container that sees its own group alone", "[threads]") {
  Machine machine;
  machine.write("proc/self/mountinfo",
                "32 31 0:29 /docker/abc /sys/fs/cgroup\\040v1/cpu rw - cgroup cgroup rw,cpuacct,cpu\n");
  const std::string at = "sys/fs/cgroup v1/cpu/";
  machine.write(at + "cpu.cfs_quota_us", "600000\n");
  machine.write(at + "cpu.cfs_period_us", "100000\n");
  machine.write(at + "inner/cpu.cfs_quota_us", "150000\n");
  machine.write(at + "inner/cpu.cfs_period_us", "100000\n");
  for (const auto& [group, expected] : {std::pair{"/docker/abc", 6.0}, std::pair{"/docker/abc/inner", 1.5},
                                        std::pair{"/docker/abcd/inner", 6.0}, std::pair{"/../other", 6.0}}) {
    INFO(group);
    machine.write("proc/self/cgroup", std::string("4:cpu,cpuacct:") + group + "\n");
    CHECK(machine.quota() == expected);
  }
}

TEST_CASE("0 threads are those of the affinity mask", "[threads]") {
  const Mask mask;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1000000);
  CHECK(available_threads() <= CPU_COUNT(&mask.before));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &mask.before)) CPU_SET(cpu, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(processors_in_mask() == 1);
  CHECK(available_threads() == 1);
  omp_set_num_threads(before);
}

TEST_CASE("OpenMP's own number is an upper limit of 0 threads", "[threads]") {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  CHECK(available_threads() == 1);
  omp_set_num_threads(before);
}

TEST_CASE("Numbers of threads that cannot be had are refused by name", "[threads]") {
  const auto refusal = [](auto options, int n_threads) -> std::string {
    options.n_threads = n_threads;
    try {
      options.validate();
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  for (const int bad :
       {-1, most_threads + 1, 3000, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string expected = "n_threads: " + std::to_string(bad) + " (need 0 for ";
    CHECK(refusal(AttentionOptions{}, bad).rfind(expected, 0) == 0);
    CHECK(refusal(MaxMarginOptions{}, bad).rfind(expected, 0) == 0);
    CHECK(refusal(NormMaxMarginOptions{}, bad).rfind(expected, 0) == 0);
  }
  CHECK(refusal(AttentionOptions{}, most_threads).empty());
}

}  // namespace softstep
