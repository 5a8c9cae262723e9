// Data files that are truncated or written to while a run reads them.

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "softstep/dataset.h"
#include "softstep/mapped_files.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

// Does something to the data when a run has written some rows of its trace.
template <class Harm>
std::thread when_running(const Workplace& place, const Harm& harm) {
  return std::thread([&place, harm] {
    std::error_code error;
    for (int tries = 0; tries < 3000 && !(fs::file_size(place.path("rows"), error) > 400 && !error); ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    harm();
  });
}

const Arguments train = {"train", "--data",      "data", "--reference", "none", "--rule", "ngd", "--form",
                         "dense", "--precision", "f64",  "--trace",     "rows", "--out",  "W"};

Arguments with_steps(const char* steps) {
  Arguments arguments = train;
  arguments.insert(arguments.end(), {"--steps", steps});
  return arguments;
}

void make_data(const Workplace& place, const char* samples) {
  REQUIRE(
      place.run({"generate", "--samples", samples, "--tokens", "40", "--dim", "60", "--out", "data"}).code ==
      0);
}

void write_into(const std::string& path) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(-8, std::ios::end);
  file.write("\1\2\3\4\1\2\3\4", 8);
}

}  // namespace

TEST_CASE("a large data file that is truncated while a run reads it is one line", "[faults]") {
  const Workplace place;
  make_data(place, "1000");  // 19 MB
  for (const char* left : {"0", "5000", "19000000"}) {
    make_data(place, "1000");
    fs::remove(place.path("rows"));
    std::thread harm = when_running(place, [&] { fs::resize_file(place.path("data"), std::stoull(left)); });
    const Ran ran = place.run(with_steps("1e9"));
    harm.join();
    INFO(left << " bytes left: " << ran.err);
    CHECK(ran.code == 2);
    CHECK(lines(ran.err).size() == 1);
    CHECK(ran.err.starts_with("softstep: data: was truncated"));
    const std::string rows = place.read("rows");
    CHECK(rows.back() == '\n');
    CHECK_FALSE(fs::exists(place.path("W")));
  }
}

TEST_CASE("a large data file that is changed while a run reads it is one line", "[faults]") {
  const Workplace place;
  make_data(place, "1000");
  std::thread harm = when_running(place, [&] { write_into(place.path("data")); });
  const Ran ran = place.run(with_steps("40"));
  harm.join();
  INFO(ran.err);
  CHECK(ran.code == 2);
  CHECK(lines(ran.err).size() == 1);
  CHECK(ran.err.starts_with("softstep: data: was changed while it was in use"));
  // Replaced, as programs should, it is no fault: the run goes on with what it has opened.
  make_data(place, "1000");
  fs::copy_file(place.path("data"), place.path("new"));
  fs::remove(place.path("rows"));
  std::thread replace = when_running(place, [&] { fs::rename(place.path("new"), place.path("data")); });
  const Ran good = place.run(with_steps("40"));
  replace.join();
  INFO(good.err);
  CHECK(good.code == 0);
}

TEST_CASE("a small data file is read once, and nothing that happens to it later is seen", "[faults]") {
  const Workplace place;
  make_data(place, "40");
  REQUIRE(place.run(with_steps("3000")).code == 0);
  const std::string expected = place.read("W");
  fs::remove(place.path("rows"));
  std::thread harm = when_running(place, [&] { fs::resize_file(place.path("data"), 0); });
  const Ran ran = place.run(with_steps("3000"));
  harm.join();
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(place.read("W") == expected);
}

TEST_CASE("an application is told which file an address is mapped from, and which were changed", "[faults]") {
  const Workplace place;
  make_data(place, "1000");
  const std::string path = place.path("data");
  int local = 0;
  const void* inside = nullptr;
  {
    const Dataset<double> data = load_dataset<double>(path);
    inside = data.view().tokens;
    REQUIRE(mapped_file_at(inside) != nullptr);
    CHECK(mapped_file_at(inside) == path);
    CHECK(mapped_file_at(&local) == nullptr);
    CHECK(mapped_file_at(nullptr) == nullptr);
    CHECK(changed_mapped_files().empty());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the clock of the file system may be coarse
    write_into(path);
    CHECK(changed_mapped_files() == std::vector<std::string>{path});
  }
  CHECK(mapped_file_at(inside) == nullptr);
  CHECK(changed_mapped_files() == std::vector<std::string>{path});  // and is not forgotten
}
