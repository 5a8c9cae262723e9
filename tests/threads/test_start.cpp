// Teams where threads cannot be started: limits of the process, and after a fork.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "core/threads/team.h"
#include "softstep/threads.h"

namespace softstep {
namespace {

/// Exit code of a child process that does this and returns it; 1000 + signal if one ended it, 1000 if it did
/// not come to an end.
int in_child(const std::function<int()>& what, int seconds = 60) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 99;
    try {
      code = what();
    } catch (...) {
    }
    _exit(code);
  }
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > give_up) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return 1000;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int size_of_team(int wanted) {
  std::vector<int> seen(static_cast<std::size_t>(wanted), 0);
  with_team(wanted, [&](const Team& team) {
    seen[team.rank] = 1;
    team.wait();
  });
  return static_cast<int>(std::count(seen.begin(), seen.end(), 1));
}

/// The same in a thread that has had no team yet.
int size_of_team_in_new_thread(int wanted) {
  int size = 0;
  std::thread([&] { size = size_of_team(wanted); }).join();
  return size;
}

}  // namespace

TEST_CASE("After a fork the thread that forked works alone, and new threads have teams", "[threads]") {
  REQUIRE(size_of_team(3) == 3);
  CHECK(in_child([] { return size_of_team(3); }) == 1);
  CHECK(in_child([] { return available_threads(); }) == 1);
  CHECK(in_child([] { return size_of_team_in_new_thread(3); }) == 3);
  // Nor does a child of the child wait for them.
  CHECK(in_child([] { return in_child([] { return size_of_team(3); }, 20); }) == 1);
  CHECK(size_of_team(3) == 3);
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
namespace {

std::size_t address_space() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("A team is as large as the address space lets it be", "[threads]") {
  const auto under_limit = [](std::size_t more, int wanted) {
    return in_child([=] {
      int size = 0;
      std::thread([&] {
        const rlimit limit{address_space() + more, RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &limit) == 0) size = size_of_team(wanted);
      }).join();
      return 100 + size;  // the run-time library exits with 1
    });
  };
  // Stacks are of megabytes: none fits, some do, all do.
  const std::size_t mega = std::size_t{1} << 20;
  CHECK(under_limit(mega, 60) == 101);
  const int some = under_limit(100 * mega, 60);
  CHECK(some > 101);
  CHECK(some < 160);
  CHECK(under_limit(4096 * mega, 60) == 160);
}
#endif

}  // namespace softstep
