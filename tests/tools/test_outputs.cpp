// What the program leaves behind when an output fails, when it is killed, and when it is interrupted.

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <filesystem>

#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

void make_data(const Workplace& place) {
  REQUIRE(
      place.run({"generate", "--samples", "4", "--tokens", "3", "--dim", "6", "--out", "data.safetensors"})
          .code == 0);
}

std::size_t fields(const std::string& row) {
  return static_cast<std::size_t>(std::count(row.begin(), row.end(), ',')) + 1;
}

void check_rows(const std::string& text) {
  REQUIRE(!text.empty());
  CHECK(text.back() == '\n');
  const std::vector<std::string> rows = lines(text);
  CHECK(rows.size() > 1);
  for (const std::string& row : rows) CHECK(fields(row) == fields(rows[0]));
}

}  // namespace

TEST_CASE("an output that cannot be written does not lose the others", "[tools]") {
  const Workplace place;
  make_data(place);
  fs::create_symlink("/dev/full",
                     place.path("full"));  // a link: a writer that replaces its target harms only that
  const Arguments train = {"train", "--data", "data.safetensors", "--steps", "50"};
  const auto with = [&](Arguments arguments, const Arguments& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return place.run(arguments);
  };
  for (const Arguments& kind : {Arguments{}, Arguments{"--joint"}}) {
    Arguments arguments = train;
    arguments.insert(arguments.end(), kind.begin(), kind.end());
    const Ran ran = with(arguments, {"--trace", "full", "--out", "W", "--save-state", "S", "--json", "J"});
    INFO(ran.err);
    CHECK(ran.code == 2);
    CHECK(lines(ran.err).size() == 1);
    CHECK(ran.err.find("softstep: full: cannot be written: No space left") == 0);
    CHECK(ran.out.find("steps") != std::string::npos);
    CHECK(load_tensors(place.path("W")).size() >= 1);
    CHECK(load_tensors(place.path("S")).size() >= 1);
    CHECK(place.read_json("J")["steps"] == 50);
    for (const char* name : {"W", "S", "J"}) fs::remove(place.path(name));

    const Ran most =
        with(arguments, {"--trace", "t", "--out", "full", "--save-state", "full", "--json", "full"});
    CHECK(most.code == 2);
    CHECK(lines(most.err).size() == 3);  // one for each
    check_rows(place.read("t"));
  }
  CHECK(fs::is_symlink(place.path("full")));
}

TEST_CASE("outputs follow links, and go straight into pipes and devices", "[tools]") {
  const Workplace place;
  make_data(place);
  place.write("t", "older");
  fs::create_symlink("t", place.path("l"));
  fs::create_symlink("missing", place.path("m"));
  const Ran ran = place.run({"train", "--data", "data.safetensors", "--steps", "50", "--trace", "l", "--out",
                             "m", "--json", "/dev/null"});
  CHECK(ran.code == 0);
  CHECK(fs::is_symlink(place.path("l")));
  check_rows(place.read("t"));
  CHECK(load_weights(place.path("missing"), 6).size() == 36);
  const Ran printed =
      place.run({"train", "--data", "data.safetensors", "--steps", "50", "--trace", "/dev/stdout"});
  CHECK(printed.code == 0);
  CHECK(printed.out.find("status") > printed.out.find("\n50,"));
  CHECK(place.run({"generate", "--out", "/dev/null"}).code == 0);
}

TEST_CASE("a run that is killed leaves the rows of its trace, whole", "[tools]") {
  const Workplace place;
  make_data(place);
  const Ran ran = place.run({"train", "--data", "data.safetensors", "--steps", "1e12", "--trace", "t.csv"},
                            {}, SIGKILL, 1.5);
  CHECK(ran.code == 128 + SIGKILL);
  check_rows(place.read("t.csv"));
  CHECK(place.contents() == std::vector<std::string>{"data.safetensors", "t.csv"});
}

TEST_CASE("a refused run leaves the older trace alone", "[tools]") {
  const Workplace place;
  make_data(place);
  place.write("t.csv", "older");
  place.require_bad_input({"train", "--data", "data.safetensors", "--resume", "no", "--trace", "t.csv"},
                          {"no"});
}

TEST_CASE("interrupted compare, sweep and fit keep what was finished", "[tools]") {
  const Workplace place;
  make_data(place);
  // Each run takes milliseconds, all of them hours.
  const Ran compare =
      place.run({"compare", "--rules", "ngd;polyak", "--samples", "3", "--tokens", "3", "--dim", "4",
                 "--seeds", "100000", "--steps", "3000", "--threads", "2", "--out", "c"},
                {}, SIGINT, 2.0);
  INFO(compare.err);
  CHECK(compare.code == 128 + SIGINT);
  CHECK(compare.err.find("finished") != std::string::npos);
  const Json summary = place.read_json("c/summary.json");
  CHECK(summary["interrupted"].get<std::string>().find("of 200000 runs") != std::string::npos);
  CHECK(summary["rules"][0]["runs"].size() >= 1);
  for (const Json& rule : summary["rules"])
    for (const Json& run : rule["runs"]) CHECK(run["status"] != "interrupted");
  check_rows(place.read("c/trace.csv"));

  const Ran sweep = place.run({"sweep", "--rules", "ngd", "--samples", "3", "--tokens", "3", "--dim", "4",
                               "--seeds", "100000", "--steps", "3000", "--threads", "2", "--out", "s"},
                              {}, SIGINT, 2.0);
  INFO(sweep.err);
  CHECK(sweep.code == 128 + SIGINT);
  check_rows(place.read("s/sweep.csv"));
  CHECK(place.read_json("s/summary.json")["rules"].size() == 5);

  const Ran fit =
      place.run({"fit", "--train", "data.safetensors", "--test", "data.safetensors", "--batch-size", "2",
                 "--epochs", "3", "--seeds", "100000", "--threads", "2", "--out", "f"},
                {}, SIGINT, 4.0);
  INFO(fit.err);
  CHECK(fit.code == 128 + SIGINT);
  check_rows(place.read("f/fit.csv"));
  CHECK(place.read_json("f/verdict.json")["configuration"].contains("interrupted"));
  for (const char* folder : {"c", "s", "f"}) {
    const Ran report = place.run({"report", folder});
    INFO(report.err);
    CHECK((report.code == 0 || report.err.find(".svg") != std::string::npos));  // no plots were drawn
  }
}

TEST_CASE("pictures of an older run do not stand beside newer results", "[tools]") {
  const Workplace place;
  make_data(place);
  const Arguments compare = {"compare", "--data", "data.safetensors", "--rules", "ngd",
                             "--steps", "20",     "--no-plots",       "--out",   "c"};
  const Arguments fit = {"fit",
                         "--train",
                         "data.safetensors",
                         "--test",
                         "data.safetensors",
                         "--rules",
                         "sngd",
                         "--epochs",
                         "1",
                         "--seeds",
                         "1",
                         "--batch-size",
                         "2",
                         "--init",
                         "normal:0.1",
                         "--no-plots",
                         "--out",
                         "f"};
  const Arguments entry = {"reproduce", "ntp", "--no-plots", "--out", "r"};
  for (const auto& [command, picture] :
       {std::pair(compare, "c/loss_gap"), std::pair(fit, "f/train_loss"), std::pair(entry, "r/ntp/gap")}) {
    REQUIRE(place.run(command).code == 0);
    for (const char* ending : {".svg", ".png"})
      place.write(std::string(picture) + ending, "<svg>older</svg>");
    place.write("c/other.svg", "of somebody else");
    const Ran again = place.run(command);
    INFO(again.err);
    CHECK(again.code == 0);
    for (const char* ending : {".svg", ".png"})
      CHECK_FALSE(fs::exists(place.path(std::string(picture) + ending)));
    CHECK(fs::exists(place.path("c/other.svg")));
  }
  // One that cannot be removed is told, and the results are there all the same.
  fs::create_directories(place.path("c/loss_gap.svg/full"));
  const Ran kept = place.run(compare);
  CHECK(kept.code == 2);
  CHECK(kept.err.find("c/loss_gap.svg: cannot be removed") != std::string::npos);
}

TEST_CASE("compare and sweep leave a directory with a verdict to fit and reproduce", "[tools]") {
  const Workplace place;
  fs::create_directory(place.path("out"));
  for (const char* name : {"verdict.json", "figures.json"}) {
    place.write(std::string("out/") + name, "[]");
    for (const char* command : {"compare", "sweep"})
      place.require_bad_input({command, "--steps", "10", "--seeds", "1", "--out", "out"},
                              {"--out", "out holds what fit or reproduce wrote", name});
    fs::remove(place.path(std::string("out/") + name));
  }
}

TEST_CASE("data from a pipe are refused, and the message says what to do", "[tools]") {
  const Workplace place;
  REQUIRE(mkfifo(place.path("pipe").c_str(), 0600) == 0);
  place.require_bad_input({"train", "--data", "pipe"}, {"pipe", "write them to a file first"});
  place.require_bad_input({"solve", "--data", "pipe"}, {"write them to a file first"});
}
