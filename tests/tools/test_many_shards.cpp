// More shards than the soft limit of open files.

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

// What is run while one is there may have this many open files, and raise that to what it was.
class FewOpenFiles {
 public:
  explicit FewOpenFiles(rlim_t most) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    rlimit few = before_;
    few.rlim_cur = most;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewOpenFiles() { setrlimit(RLIMIT_NOFILE, &before_); }
  FewOpenFiles(const FewOpenFiles&) = delete;
  FewOpenFiles& operator=(const FewOpenFiles&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("more shards than open files are written and read where the system lets the limit be raised",
          "[tools]") {
  const Workplace place;
  const FewOpenFiles few(64);
  const Ran made = place.run({"generate", "--samples", "100", "--tokens", "3", "--dim", "6", "--shards",
                              "100", "--out", "g.safetensors"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  const Ran trained = place.run({"train", "--data", "g.safetensors.index.json", "--steps", "5"});
  INFO(trained.err);
  CHECK(trained.code == 0);
}
