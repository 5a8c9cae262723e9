// The one writer of files: links, permissions, names, streams, limits, what is left behind.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <filesystem>
#include <thread>

#include "refused.h"
#include "softstep/dataset.h"
#include "softstep/files.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

mode_t mode_of(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

void write_rows(const std::string& path, std::initializer_list<const char*> rows) {
  RowFile file(path);
  for (const char* row : rows) file.add(row);
  file.close();
}

// Runs body() in a process of its own; gives its exit code, or 128 + the signal that ended it.
template <class Body>
int in_a_process(const Body& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("links are followed, to files that are there and to files that are not", "[data]") {
  const Workplace place;
  fs::create_directory(place.path("d"));
  fs::create_symlink("d/new", place.path("dangling"));
  fs::create_symlink("dangling", place.path("twice"));
  fs::create_symlink("loop", place.path("loop"));
  write_file(place.path("twice"), "one");
  CHECK(place.read("d/new") == "one");
  write_rows(place.path("twice"), {"a", "b"});
  CHECK(place.read("d/new") == "a\nb\n");
  CHECK(fs::is_symlink(place.path("twice")));
  CHECK(fs::is_symlink(place.path("dangling")));
  require_refused(place.path("loop"), {"cannot be written"}, [&] { write_file(place.path("loop"), "x"); });
  fs::remove(place.path("loop"));
  CHECK(place.contents() == std::vector<std::string>{"d", "d/new", "dangling", "twice"});
}

TEST_CASE("a read-only file is refused, from the superuser too, and a replaced one hands its permissions on",
          "[data]") {
  const Workplace place;
  place.write("f", "old");
  chmod(place.path("f").c_str(), 0444);
  require_refused(place.path("f"), {"cannot be written", "read-only"},
                  [&] { write_file(place.path("f"), "x"); });
  require_refused(place.path("f"), {"read-only"}, [&] { write_rows(place.path("f"), {"x"}); });
  require_refused(place.path("f"), {"read-only"}, [&] { require_writable(place.path("f")); });
  CHECK(place.read("f") == "old");
  chmod(place.path("f").c_str(), 0624);
  write_file(place.path("f"), "new");
  CHECK(mode_of(place.path("f")) == 0624);
  CHECK(place.read("f") == "new");
}

TEST_CASE("names as long as a file system takes them can be written", "[data]") {
  const Workplace place;
  const std::string name(255, 'n');
  write_file(place.path(name), "x");
  write_file(place.path(name), "y");
  CHECK(place.read(name) == "y");
  require_writable(place.path(name));
  CHECK(place.contents() == std::vector<std::string>{name});
}

TEST_CASE("devices and pipes are written straight into and stay what they are", "[data]") {
  const Workplace place;
  // Links to devices, so that a writer that replaces its target replaces the link.
  fs::create_symlink("/dev/full", place.path("full"));
  fs::create_symlink("/dev/null", place.path("null"));
  require_refused(place.path("full"), {"No space left"}, [&] { write_file(place.path("full"), "x"); });
  require_refused(place.path("full"), {"No space left"}, [&] { write_rows(place.path("full"), {"x"}); });
  write_file(place.path("null"), "x");
  CHECK(fs::is_character_file(place.path("null")));
  CHECK(is_stream(place.path("null")));

  REQUIRE(mkfifo(place.path("pipe").c_str(), 0600) == 0);
  require_writable(place.path("pipe"));  // and does not wait for a reader
  std::string read;
  std::thread reader([&] {
    const int fd = open(place.path("pipe").c_str(), O_RDONLY);
    char bytes[4096];
    for (ssize_t n = 0; (n = ::read(fd, bytes, sizeof bytes)) > 0;)
      read.append(bytes, static_cast<std::size_t>(n));
    close(fd);
  });
  const std::vector<double> weights = {1, 2, 3, 4};
  save_weights(place.path("pipe"), weights, 2);
  reader.join();
  CHECK(fs::is_fifo(place.path("pipe")));
  place.write("copy", read);
  CHECK(load_weights(place.path("copy"), 2) == weights);
}

TEST_CASE("the file that is our standard output is written on, not replaced", "[data]") {
  const Workplace place;
  for (const std::string& name : {std::string("/dev/stdout"), std::string("/dev/fd/1"), place.path("out")}) {
    const int code = in_a_process([&] {
      const int fd = open(place.path("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      if (dup2(fd, 1) != 1 || ::write(1, "before\n", 7) != 7) return 1;
      write_rows(name, {"row"});
      write_file(name, "whole\n");
      return ::write(1, "after\n", 6) == 6 ? 0 : 2;
    });
    CHECK(code == 0);
    CHECK(place.read("out") == "before\nrow\nwhole\nafter\n");
  }
}

TEST_CASE("neither a file that grows too large nor a pipe without a reader ends the process", "[data]") {
  const Workplace place;
  place.write("old", "old");
  // As a program that has never heard of these signals: by default they end it.
  const int code = in_a_process([&] {
    std::signal(SIGXFSZ, SIG_DFL);
    std::signal(SIGPIPE, SIG_DFL);
    const struct rlimit small = {5, 5};
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
    int refused = 0;
    const auto attempt = [&](const auto& body) {
      try {
        body();
      } catch (const InvalidArgument&) {
        ++refused;
      }
    };
    attempt([&] { write_file(place.path("old"), "much more than that"); });
    RowFile rows(place.path("rows"));
    rows.add("1");
    rows.add("2");
    attempt([&] { rows.add("3 and more"); });
    int ends[2];
    if (pipe(ends) != 0) return 2;
    close(ends[0]);
    attempt([&] { write_file("/dev/fd/" + std::to_string(ends[1]), "x"); });
    return 10 + refused;
  });
  CHECK(code == 13);
  CHECK(place.read("old") == "old");
  CHECK(place.read("rows") == "1\n2\n");  // whole rows
  CHECK(place.contents() == std::vector<std::string>{"old", "rows"});
}

TEST_CASE("rows are in the file as soon as they are added, and begin with the first one", "[data]") {
  const Workplace place;
  place.write("t", "an older trace");
  {
    RowFile file(place.path("t"));
    CHECK(place.read("t") == "an older trace");
    file.add("x");
    CHECK(place.read("t") == "x\n");
    file.add("y");
    CHECK(place.read("t") == "x\ny\n");
  }
  const int code = in_a_process([&] {
    RowFile file(place.path("t"));
    file.add("1");
    file.add("2");
    raise(SIGKILL);
    return 0;
  });
  CHECK(code == 128 + SIGKILL);
  CHECK(place.read("t") == "1\n2\n");
  CHECK(place.contents() == std::vector<std::string>{"t"});
}

TEST_CASE("what killed processes left is removed, what living ones are writing is not", "[data]") {
  const Workplace place;
  const int code = in_a_process([&] {
    OutputFile file(place.path("f"));
    file.write("x", 1);
    raise(SIGKILL);
    return 0;
  });
  CHECK(code == 128 + SIGKILL);
  REQUIRE(place.contents().size() == 1);  // nobody can clean up after SIGKILL, but the next one
  OutputFile living(place.path("f"));
  CHECK(place.contents().size() == 1);  // its own
  write_file(place.path("g"), "y");
  CHECK(place.contents().size() == 2);
  living.write("z", 1);
  living.commit();
  CHECK(place.read("f") == "z");
  CHECK(place.contents() == std::vector<std::string>{"f", "g"});
}
