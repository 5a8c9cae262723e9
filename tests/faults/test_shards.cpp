// Shards that are written over an older set, and a call that fails: never an index that leads to shards of
// two sets.

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "faults/failing_calls.h"
#include "tools/run_program.h"

using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

const std::string index_file = "g.safetensors.index.json";
const std::vector<std::string> files = {"g-00001-of-00003.safetensors", "g-00002-of-00003.safetensors",
                                        "g-00003-of-00003.safetensors", index_file};

Arguments generate(const char* seed) {
  return {"generate", "--samples", "9",        "--tokens", "4",     "--dim",        "6",
          "--seed",   seed,        "--shards", "3",        "--out", "g.safetensors"};
}

std::vector<std::string> read_all(const Workplace& place) {
  std::vector<std::string> out;
  for (const std::string& file : files) out.push_back(place.read(file));
  return out;
}

}  // namespace

TEST_CASE("where a shard cannot get its name, no index leads to shards of two sets", "[faults]") {
  const std::string e_io = std::to_string(EIO);
  for (int at = 1; at <= 4; ++at) {
    const Workplace place;
    REQUIRE(place.run(generate("1")).code == 0);
    const Ran ran = place.run(generate("2"), failing({"rename", e_io.c_str()}, at));
    INFO("rename " << at << " fails: " << ran.err);
    CHECK(ran.code == 2);
    CHECK(lines(ran.err).size() == 1);
    CHECK(
        ran.err.starts_with("softstep: " + files[static_cast<std::size_t>(at) - 1] + ": cannot be written"));
    CHECK_FALSE(fs::exists(place.path(index_file)));
    CHECK(place.contents() == std::vector<std::string>(files.begin(), files.begin() + 3));
    CHECK(place.run({"train", "--data", index_file, "--steps", "3"}).code == 2);
    // And once more without the fault.
    REQUIRE(place.run(generate("2")).code == 0);
    CHECK(place.run({"train", "--data", index_file, "--steps", "3"}).code == 0);
  }
}

TEST_CASE("a full disk leaves the older set of shards as it was", "[faults]") {
  const std::string no_space = std::to_string(ENOSPC);
  const Workplace place;
  REQUIRE(place.run(generate("1")).code == 0);
  const std::vector<std::string> older = read_all(place);
  int at = 1;
  for (;; ++at) {
    REQUIRE(at < 20);
    const Ran ran = place.run(generate("2"), failing({"write", no_space.c_str()}, at));
    if (ran.code == 0) break;
    INFO("write " << at << " fails: " << ran.err);
    CHECK(ran.code == 2);
    CHECK(read_all(place) == older);
    CHECK(place.contents() == files);
  }
  CHECK(at > 4);  // of three shards and the index
  CHECK(read_all(place) != older);
}

TEST_CASE("an index that is replaced hands its permissions on", "[faults]") {
  const Workplace place;
  REQUIRE(place.run(generate("1")).code == 0);
  fs::permissions(place.path(index_file), fs::perms::owner_read | fs::perms::owner_write);
  REQUIRE(place.run(generate("2")).code == 0);
  CHECK(fs::status(place.path(index_file)).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  // Through a link, which stays.
  fs::rename(place.path(index_file), place.path("other.json"));
  fs::create_symlink("other.json", place.path(index_file));
  REQUIRE(place.run(generate("3")).code == 0);
  CHECK(fs::is_symlink(place.path(index_file)));
  CHECK(fs::exists(place.path("other.json")));
}
