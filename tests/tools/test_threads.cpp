// How many threads the program starts, and what it does where it gets none.

#include <sched.h>

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "tools/run_program.h"

using softstep::test::Arguments;
using softstep::test::Json;
using softstep::test::Ran;
using softstep::test::Workplace;

namespace {

int processors() {
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  return CPU_COUNT(&set);
}

void make_data(const Workplace& place) {
  // Work enough for several threads.
  REQUIRE(
      place.run({"generate", "--samples", "60", "--tokens", "8", "--dim", "300", "--out", "data.safetensors"})
          .code == 0);
}

}  // namespace

TEST_CASE("0 threads are the processors of the process, whatever OpenMP is told", "[tools]") {
  const Workplace place;
  make_data(place);
  for (const std::string asked : {"100000", "99999999999", "3000", "-1", "0", "1"}) {
    INFO("OMP_NUM_THREADS=" << asked);
    const std::vector<std::string> environment = {"OMP_NUM_THREADS=" + asked};
    for (const Arguments& arguments :
         {Arguments{"train", "--data", "data.safetensors", "--steps", "3", "--threads", "0", "--form",
                    "dense", "--json", "-"},
          Arguments{"solve", "--data", "data.safetensors", "--threads", "0", "--json", "-"},
          Arguments{"info", "--json", "-"}}) {
      const Ran ran = place.run(arguments, environment);
      INFO(arguments.front() << ": " << ran.err);
      REQUIRE(ran.code == 0);
      const Json json = Json::parse(ran.out);
      REQUIRE(json["threads"] >= 1);
      REQUIRE(json["threads"] <= (asked == "1" ? 1 : processors()));
    }
  }
}

TEST_CASE("More threads than may be asked for are refused", "[tools]") {
  const Workplace place;
  for (const std::string command : {"train", "solve", "compare", "sweep", "reproduce", "fit"})
    place.require_bad_input({command, "--threads", "3000"}, {"--threads", "3000", "1024"});
}

// Where a thread cannot be started there are fewer; where memory runs out it is said in one line. Never a
// signal, never a word of the run-time library's.
TEST_CASE("Threads and memory run out", "[tools]") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("sanitizers take address space of their own");
#endif
  Workplace place;
  make_data(place);
  const std::vector<Arguments> commands = {
      {"train", "--data", "data.safetensors", "--steps", "3", "--threads", "4", "--form", "dense"},
      {"train", "--data", "data.safetensors", "--steps", "3", "--threads", "4", "--joint", "--lstar", "zero"},
      {"solve", "--data", "data.safetensors", "--threads", "4"},
      {"compare", "--generator", "signal_noise", "--rules", "ngd;polyak", "--steps", "20", "--seeds", "4",
       "--threads", "4", "--no-plots", "--out", "out"}};
  int done = 0, refused = 0;
  // From less than the program needs to be loaded to more than four stacks of threads take.
  for (std::uint64_t megabytes = 8; megabytes <= 72; megabytes += 2) {
    place.address_space = megabytes << 20;
    // Where the program itself has no place, the system ends it by an exit code or a signal of its choice.
    if (place.run({"--version"}).code != 0) continue;
    for (const Arguments& arguments : commands) {
      const Ran ran = place.run(arguments, {"OMP_NUM_THREADS=4"});
      INFO(arguments.front() << " within " << megabytes << " MB: " << ran.err);
      CHECK((ran.code == 0 || ran.code == 2));
      if (ran.code == 0) {
        ++done;
        CHECK(ran.err.empty());
      } else {
        ++refused;
        CHECK(ran.err.rfind("softstep: ", 0) == 0);
        CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
      }
    }
  }
  CHECK(done > 0);
  CHECK(refused > 0);
}
