// softstep reproduce: the list, one quick entry, its files and exit codes. All entries, whole and broken, run
// in ctest's reproduce and reproduce_broken.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <string>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

// An entry that takes a fraction of a second.
const std::string quick = "rank";

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A bound or a value of a check; an open end is null.
double value_of(const Json& number, double open) { return number.is_null() ? open : number.get<double>(); }

void require_whole_verdict(const Json& verdict) {
  for (const char* key : {"name", "title", "summary", "passed", "configuration", "checks", "tables",
                          "figures", "version", "machine", "seconds"}) {
    INFO(key);
    REQUIRE(verdict.contains(key));
  }
  REQUIRE(!verdict["checks"].empty());
  bool all = true;
  for (const Json& check : verdict["checks"]) {
    INFO(check.dump());
    const bool inside = value_of(check["measured"], std::nan("")) >= value_of(check["lowest"], -HUGE_VAL) &&
                        value_of(check["measured"], std::nan("")) <= value_of(check["highest"], HUGE_VAL);
    CHECK(check["passed"] == inside);
    CHECK(!check["law"].get<std::string>().empty());
    CHECK(!check["expected"].get<std::string>().empty());
    all = all && inside;
  }
  CHECK(verdict["passed"] == all);
}

}  // namespace

TEST_CASE("reproduce lists every entry, and each has a line in the manual", "[tools]") {
  const Workplace place;
  const Ran text = place.run({"reproduce", "--list"});
  REQUIRE(text.code == 0);
  const Json list = place.results({"reproduce", "--list"});
  REQUIRE(list.size() >= 10);
  std::vector<std::string> names;
  const std::string page = place.read(std::string(SOFTSTEP_SOURCE_DIR) + "/docs/command-line.md");
  for (const Json& entry : list) {
    const std::string name = entry["name"];
    INFO(name);
    CHECK(!has(names, name));
    names.push_back(name);
    CHECK(text.out.find(name + ": " + entry["title"].get<std::string>()) != std::string::npos);
    for (const char* key : {"summary", "paper", "claim", "status"}) {
      CHECK(!entry[key].get<std::string>().empty());
      CHECK(text.out.find(entry[key].get<std::string>()) != std::string::npos);
    }
    CHECK(page.find("| `" + name + "` |") != std::string::npos);
  }
}

TEST_CASE("reproduce writes verdict, data and the lines of its figures", "[tools]") {
  const Workplace place;
  const Json printed = place.results({"reproduce", quick, "--out", "dir", "--no-plots"});
  REQUIRE(printed.size() == 1);
  const Json verdict = place.read_json("dir/" + quick + "/verdict.json");
  CHECK(verdict == printed[0]);
  CHECK(place.read_json("dir/verdict.json") == printed);
  CHECK(verdict["passed"] == true);
  require_whole_verdict(verdict);

  const std::vector<std::string> files = place.contents();
  CHECK(has(files, "dir/" + quick + "/ranks.csv"));
  const Json figures = place.read_json("dir/" + quick + "/figures.json");
  REQUIRE(figures.size() == verdict["figures"].size());
  for (const Json& figure : figures)
    for (const Json& series : figure["series"]) CHECK(series["x"].size() == series["y"].size());
  const std::vector<std::string> rows = lines(place.read("dir/" + quick + "/ranks.csv"));
  REQUIRE(rows.size() > 1);
  for (const std::string& row : rows)
    CHECK(std::count(row.begin(), row.end(), ',') == std::count(rows[0].begin(), rows[0].end(), ','));

  // A name given twice runs once for each; the numbers do not depend on the threads.
  const Json again =
      place.results({"reproduce", quick, quick, "--out", "two", "--no-plots", "--threads", "2"});
  REQUIRE(again.size() == 2);
  for (const Json& one : again) CHECK(one["checks"] == verdict["checks"]);
}

TEST_CASE("a broken system fails every check of reproduce, which is then what was asked for", "[tools]") {
  const Workplace place;
  const Json printed = place.results({"reproduce", quick, "--broken", "--out", "dir", "--no-plots"});
  REQUIRE(printed.size() == 1);
  require_whole_verdict(printed[0]);
  CHECK(printed[0]["passed"] == false);
  for (const Json& check : printed[0]["checks"]) CHECK(check["passed"] == false);
}

TEST_CASE("reproduce says what it cannot do", "[tools]") {
  const Workplace place;
  place.write("plain", "text");
  place.require_bad_input({"reproduce"}, {"reproduce", "--list", "all"});
  place.require_bad_input({"reproduce", quick}, {"--out"});
  place.require_bad_input({"reproduce", "everything", "--out", "dir"}, {"everything", "rates", quick, "all"});
  place.require_bad_input({"reproduce", quick, "everything", "--out", "dir"}, {"everything", "rates"});
  for (const char* out : {"plain", "plain/dir", "/proc/dir"})
    place.require_bad_input({"reproduce", quick, "--out", out}, {out});
  place.require_bad_input({"reproduce", quick, "--out", "dir", "--json", "no/such/file"}, {"no/such/file"});
  place.require_bad_input({"reproduce", quick, "--out", "dir", "--threads", "-1"}, {"--threads"});
}

TEST_CASE("reproduce stopped by a signal leaves no verdict", "[tools]") {
  const Workplace place;
  const Ran ran = place.run({"reproduce", "joint", "--out", "dir", "--no-plots"}, {}, 2, 0.3);
  CHECK(ran.code == 130);
  CHECK(!has(place.contents(), "dir/joint"));
  CHECK(!has(place.contents(), "dir/verdict.json"));
}

TEST_CASE("an entry on data of the user's needs a folder with both parts", "[tools]") {
  const Workplace place;
  place.require_bad_input({"reproduce", "real_data", "--out", "dir"},
                          {"--data", "real_data", "train.safetensors"});
  place.require_bad_input({"reproduce", quick, "--data", "mine", "--out", "dir"}, {"--data", "real_data"});
  place.require_bad_input({"reproduce", "real_data", "--data", "mine", "--out", "dir"},
                          {"mine/train.safetensors"});
  std::filesystem::create_directory(place.path("mine"));
  for (const std::string part : {"train", "test"})
    place.results({"generate", "--samples", "24", "--tokens", "3", "--dim", "6", "--seed",
                   part == "train" ? "1" : "2", "--out", "mine/" + part + ".safetensors"});
  // What the verdict is depends on the data; that there is one, and that the broken system fails, does not.
  const Ran run = place.run({"reproduce", "real_data", "--data", "mine", "--out", "dir", "--no-plots"});
  CHECK((run.code == 0 || run.code == 1));
  require_whole_verdict(place.read_json("dir/real_data/verdict.json"));
  CHECK(place.read_json("dir/real_data/verdict.json")["passed"] == (run.code == 0));
  const Ran broken =
      place.run({"reproduce", "real_data", "--data", "mine", "--out", "dir", "--no-plots", "--broken"});
  CHECK(broken.code == 0);
}
