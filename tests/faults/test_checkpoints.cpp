// Checkpoints: a run that is killed or interrupted and taken up again ends as one that never stopped.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <filesystem>
#include <random>

#include "faults/failing_calls.h"
#include "softstep/isa.h"
#include "tools/run_program.h"

using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

void make_data(const Workplace& place) {
  REQUIRE(place.run({"generate", "--samples", "6", "--tokens", "4", "--dim", "8", "--out", "data"}).code ==
          0);
}

// Without the column of the time that the steps took.
std::vector<std::string> rows_without_seconds(const std::string& text) {
  REQUIRE(text.back() == '\n');
  std::vector<std::string> rows = lines(text);
  const std::string before = rows[0].substr(0, rows[0].find(",seconds"));
  const auto n_before = std::count(before.begin(), before.end(), ',') + 1;
  for (std::string& row : rows) {
    std::size_t begin = 0;
    for (auto k = n_before; k > 0; --k) begin = row.find(',', begin) + 1;
    const std::size_t end = std::min(row.find(',', begin), row.size());
    row.erase(begin, end - begin);
  }
  return rows;
}

Arguments plus(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Arguments run_of(const Arguments& kind, const char* steps) {
  return plus({"train", "--data", "data", "--reference", "none", "--steps", steps}, kind);
}

std::vector<std::string> checkpoints_in(const Workplace& place, const char* folder) {
  std::vector<std::string> names;
  for (const std::string& name : place.contents())
    if (name.starts_with(std::string(folder) + "/")) names.push_back(name);
  return names;
}

std::string name_of(const char* folder, std::int64_t step) {
  std::string digits = std::to_string(step);
  return std::string(folder) + "/step-" + std::string(20 - digits.size(), '0') + digits + ".safetensors";
}

}  // namespace

TEST_CASE("a run that is killed over and over ends as one that never stopped", "[faults]") {
  const Workplace place;
  make_data(place);
  std::mt19937 random(16);
  int n_kills = 0;
  // Every kind of state: no memory, memory, float32 with remainders, masters, blocks, mini-batches, a span
  // form.
  const std::vector<Arguments> kinds = {
      {"--rule", "ngd", "--precision", "f32", "--form", "query-span"},
      {"--rule", "adam", "--precision", "f32", "--master", "float64"},
      {"--rule", "momentum", "--joint"},
      {"--rule", "ngd", "--batch-size", "4", "--seed", "3"},
  };
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const Arguments plain = run_of(kinds[k], "400000");
    const Arguments whole = plus(plain, {"--trace", "whole.csv", "--out", "whole"});
    REQUIRE(place.run(whole).code == 0);
    const std::string folder = "saved" + std::to_string(k);
    const Arguments stopped = plus(plain, {"--trace", "rows.csv", "--out", "W", "--checkpoint", folder,
                                           "--resume", folder, "--checkpoint-every", "5000"});
    for (const char* name : {"rows.csv", "W"}) fs::remove(place.path(name));
    for (int kill = 0; kill < 8; ++kill) {
      const double after = std::uniform_real_distribution<double>(0.005, 0.2)(random);
      const Ran ran = place.run(stopped, {}, SIGKILL, after);
      n_kills += ran.code == 128 + SIGKILL;
      CHECK((ran.code == 128 + SIGKILL || ran.code == 0));
    }
    const Ran last = place.run(stopped);
    INFO(last.err);
    REQUIRE(last.code == 0);
    CHECK(place.read("W") == place.read("whole"));
    CHECK(rows_without_seconds(place.read("rows.csv")) == rows_without_seconds(place.read("whole.csv")));
    CHECK(checkpoints_in(place, folder.c_str()).size() == 3);
  }
  WARN("kills " << n_kills);
  CHECK(n_kills >= 8);
}

TEST_CASE("what a run left that was killed between writing and removing is removed when it goes on",
          "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments run =
      plus(run_of({"--rule", "ngd"}, "1000"),
           {"--out", "W", "--checkpoint", "saved", "--resume", "saved", "--checkpoint-every", "100"});
  REQUIRE(place.run(run).code == 0);
  REQUIRE(checkpoints_in(place, "saved").size() == 3);
  fs::copy(place.path(name_of("saved", 1000)), place.path(name_of("saved", 700)));
  // No step is left, so that nothing is written.
  REQUIRE(place.run(run).code == 0);
  CHECK(checkpoints_in(place, "saved") ==
        std::vector<std::string>{name_of("saved", 800), name_of("saved", 900), name_of("saved", 1000)});
}

TEST_CASE("an interrupted run finishes its step, writes a checkpoint, and goes on from it", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments plain = run_of({"--rule", "ngd"}, "3000000");
  REQUIRE(place.run(plus(plain, {"--out", "whole"})).code == 0);
  const Arguments saved = plus(plain, {"--out", "W", "--checkpoint", "saved", "--resume", "saved"});
  for (const int signal : {SIGINT, SIGTERM}) {
    const Ran ran = place.run(saved, {}, signal, 0.4);
    INFO(ran.err);
    CHECK(ran.code == 128 + signal);
    CHECK(checkpoints_in(place, "saved").size() >= 1);
  }
  const Ran last = place.run(saved);
  INFO(last.err);
  CHECK(last.code == 0);
  CHECK(place.read("W") == place.read("whole"));
}

TEST_CASE("the last K checkpoints stay, and a damaged one is passed over", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments plain = run_of({"--rule", "momentum"}, "100");
  REQUIRE(place.run(plus(plain, {"--out", "whole"})).code == 0);
  const Arguments saved = plus(plain, {"--out", "W", "--checkpoint", "saved", "--checkpoint-every", "30",
                                       "--checkpoint-keep", "2", "--resume", "saved"});
  REQUIRE(place.run(saved).code == 0);
  CHECK(checkpoints_in(place, "saved") ==
        std::vector<std::string>{name_of("saved", 90), name_of("saved", 100)});
  place.write(name_of("saved", 100), place.read(name_of("saved", 100)).substr(0, 300));
  const Ran passed = place.run(saved);
  INFO(passed.err);
  CHECK(passed.code == 0);
  CHECK(passed.err.find("passed over") != std::string::npos);
  CHECK(place.read("W") == place.read("whole"));
  CHECK(checkpoints_in(place, "saved") ==
        std::vector<std::string>{name_of("saved", 90), name_of("saved", 100)});
  for (const std::string& name : checkpoints_in(place, "saved")) place.write(name, "no state at all");
  place.require_bad_input(saved, {"saved/step-", "nor can any other of the 2"});
}

TEST_CASE("a run that had come to its target takes no step when it is started again", "[faults]") {
  const Workplace place;
  make_data(place);
  for (const char* precision : {"f64", "f32"})
    for (const char* form : {"dense", "query-span", "token-span"}) {
      const std::string folder = std::string(precision) + form;
      const Arguments run = {"train",   "--data",       "data",     "--rule",
                             "ngd",     "--steps",      "5000",     "--stop-one-minus-cos",
                             "0.001",   "--form",       form,       "--precision",
                             precision, "--trace",      "rows.csv", "--out",
                             "W",       "--checkpoint", folder,     "--resume",
                             folder,    "--json",       "said"};
      fs::remove(place.path("rows.csv"));
      REQUIRE(place.run(run).code == 0);
      const std::string weights = place.read("W"), rows = place.read("rows.csv");
      const std::vector<std::string> files = checkpoints_in(place, folder.c_str());
      const Ran again = place.run(run);
      INFO(folder << ": " << again.out << again.err);
      CHECK(again.code == 0);
      CHECK(place.read("W") == weights);
      CHECK(place.read("rows.csv") == rows);
      CHECK(checkpoints_in(place, folder.c_str()) == files);
      CHECK(place.read("said").find("\"converged\"") != std::string::npos);
    }
}

TEST_CASE("a folder of checkpoints or a trace that cannot be read is no empty one", "[faults]") {
  const Workplace place;
  make_data(place);
  const auto run = [&](const char* steps) {
    return plus(run_of({"--rule", "ngd"}, steps),
                {"--trace", "rows.csv", "--trace-rows-per-decade", "1000", "--out", "W", "--checkpoint",
                 "saved", "--resume", "saved"});
  };
  REQUIRE(place.run(run("3000")).code == 0);
  const std::string rows = place.read("rows.csv");
  const std::vector<std::string> files = checkpoints_in(place, "saved");
  REQUIRE(rows.size() > 20000);  // so that it takes several reads
  int n_refused = 0;
  for (int at = 1; at <= 40; ++at) {
    const Ran ran = place.run(run("3000"), failing({"list", "5"}, at));
    INFO("entry " << at << ": " << ran.err);
    n_refused += ran.code == 2;
    // Other folders are listed too, for what a run left there that was killed: that may fail.
    CHECK(
        (ran.code == 2 ? lines(ran.err).size() == 1 : ran.out.find("now at step 3000") != std::string::npos));
    CHECK(ran.out.find("steps 3000") == std::string::npos);
    CHECK(rows_without_seconds(place.read("rows.csv")) == rows_without_seconds(rows));
    CHECK(checkpoints_in(place, "saved") == files);
  }
  CHECK(n_refused > 2);
  int n_failed = 0;
  for (int at = 1; at <= 40; ++at) {
    const Ran ran = place.run(run("3000"), failing({"read", "5"}, at));
    INFO("read " << at << ": " << ran.err);
    n_failed += ran.code == 2;
    CHECK((ran.code == 0 || ran.code == 2));
    // Where the newest checkpoint cannot be read an older one is taken, and steps are taken again.
    CHECK(rows_without_seconds(place.read("rows.csv")) == rows_without_seconds(rows));
    CHECK(checkpoints_in(place, "saved") == files);
  }
  CHECK(n_failed > 2);
}

TEST_CASE("rows behind the checkpoint are taken from a trace where no step is left", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments run = plus(run_of({"--rule", "ngd"}, "200"),
                             {"--trace", "rows.csv", "--checkpoint", "saved", "--resume", "saved"});
  REQUIRE(place.run(run).code == 0);
  const std::string rows = place.read("rows.csv");
  place.write("rows.csv", rows + "300,1,2,3\n400,0.12");
  REQUIRE(place.run(run).code == 0);
  CHECK(place.read("rows.csv") == rows);
}

TEST_CASE("folders of checkpoints that are not this run's are refused", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments plain = run_of({"--rule", "ngd"}, "100");
  REQUIRE(place.run(plus(plain, {"--checkpoint", "saved"})).code == 0);
  place.require_bad_input(plus(plain, {"--checkpoint", "saved"}),
                          {"--checkpoint", "saved has checkpoints already"});
  place.require_bad_input(
      plus(run_of({"--rule", "adam"}, "100"), {"--checkpoint", "saved", "--resume", "saved"}),
      {"was saved with rules"});
  place.require_bad_input(plus(plain, {"--checkpoint", "data"}), {"data"});
  place.require_bad_input(plus(plain, {"--checkpoint", "no/such"}), {"no/such", "cannot be made"});
  place.require_bad_input(plus(plain, {"--resume", "no"}), {"no"});
  fs::create_directory(place.path("empty"));
  place.require_bad_input(plus(plain, {"--resume", "empty"}), {"--resume", "empty has no checkpoints"});
  for (const char* every : {"0", "-3", "1.5", "s", "0s", "nans", "infs", "10m", ""})
    place.require_bad_input(plus(plain, {"--checkpoint", "new", "--checkpoint-every", every}),
                            {"--checkpoint-every"});
  place.require_bad_input(plus(plain, {"--checkpoint-every", "3"}), {"--checkpoint-every", "only goes with"});
  place.require_bad_input(plus(plain, {"--checkpoint-keep", "3"}), {"--checkpoint-keep", "only goes with"});
  place.write("rows", "other,columns\n");
  place.require_bad_input(plus(plain, {"--checkpoint", "saved", "--resume", "saved", "--trace", "rows"}),
                          {"--trace", "rows is no trace of this run"});
}

TEST_CASE("a run goes on from the start that it began with", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments folder = {"--checkpoint", "saved", "--resume", "saved"};
  const auto begun = [&](const char* steps, const Arguments& start) {
    return plus(run_of({"--rule", "ngd"}, steps), plus(start, folder));
  };
  REQUIRE(place.run(begun("100", {"--init", "normal:0.1", "--seed", "3"})).code == 0);
  const std::string began = "began with normal:0.1 of seed 3";
  place.require_bad_input(begun("200", {"--init", "zero"}), {"--init", "zero, but the run in saved/", began});
  for (const Arguments& other :
       {Arguments{"--init", "normal:0.2", "--seed", "3"}, Arguments{"--init", "normal:0.1", "--seed", "4"}})
    place.require_bad_input(begun("200", other), {"--init", other[1], "of seed " + other[3], began});
  // The same again, written in another way; or nothing said of it.
  CHECK(place.run(begun("200", {"--init", "normal:1e-1", "--seed", "3"})).code == 0);
  CHECK(place.run(plus(begun("300", {}), {"--out", "W"})).code == 0);
  place.require_bad_input(begun("400", {"--init", "W"}), {"--init", "weights with checksum", began});
  // It stays with the run where a state of it goes on in a folder of its own.
  const Arguments further = run_of({"--rule", "ngd"}, "10");
  REQUIRE(place.run(plus(further, {"--resume", "saved", "--save-state", "S"})).code == 0);
  REQUIRE(place.run(plus(further, {"--resume", "S", "--checkpoint", "other"})).code == 0);
  place.require_bad_input(plus(run_of({"--rule", "ngd"}, "900"), {"--init", "zero", "--resume", "other"}),
                          {"--init", began});
}

TEST_CASE("a run that goes on on another instruction set says so", "[faults]") {
  std::vector<std::string> runnable;
  for (const softstep::IsaInfo& isa : softstep::isas())
    if (isa.runnable) runnable.push_back(isa.name);
  if (runnable.size() < 2) SKIP("one instruction set can run here");
  const Workplace place;
  make_data(place);
  const std::string ours = "SOFTSTEP_ISA=" + runnable.front(), other = "SOFTSTEP_ISA=" + runnable.back();
  const auto steps = [](const char* n) {
    return plus(run_of({"--rule", "ngd"}, n),
                {"--save-state", "S", "--checkpoint", "saved", "--resume", "saved"});
  };
  REQUIRE(place.run(steps("10"), {ours}).err.empty());
  CHECK(place.run(steps("20"), {ours}).err.empty());
  const Arguments file = plus(run_of({"--rule", "ngd"}, "10"), {"--resume", "S"});
  CHECK(place.run(file, {ours}).err.empty());
  for (const Arguments& going_on : {file, steps("30")}) {
    const Ran ran = place.run(going_on, {other});
    CHECK(ran.code == 0);
    CHECK(ran.err.find("was computed on " + runnable.front() + " and goes on on " + runnable.back()) !=
          std::string::npos);
    CHECK(lines(ran.err).size() == 1);
  }
}

TEST_CASE("whichever call of a checkpoint fails, the run goes on and the others are whole", "[faults]") {
  const Workplace place;
  make_data(place);
  const Arguments plain = run_of({"--rule", "adam"}, "40");
  REQUIRE(place.run(plus(plain, {"--out", "whole"})).code == 0);
  int n_tries = 0;
  for (const Fault& fault :
       std::initializer_list<Fault>{{"write", "28"}, {"write", "half"}, {"fsync", "5"}, {"rename", "5"}})
    for (int at = 1; at <= 4; ++at) {
      const std::string folder = std::string("saved-") + fault.call + fault.with + std::to_string(at);
      const Arguments saved =
          plus(plain, {"--checkpoint", folder, "--checkpoint-every", "10", "--resume", folder, "--out", "W"});
      const Ran ran = place.run(saved, failing(fault, at));
      INFO(fault.call << " " << at << ": " << ran.err);
      ++n_tries;
      CHECK(ran.code == 2);
      const Ran again = place.run(saved);
      INFO(again.err);
      CHECK(again.code == 0);
      CHECK(again.err.empty());  // none was damaged
      CHECK(place.read("W") == place.read("whole"));
    }
  CHECK(n_tries == 16);
}

TEST_CASE("a clock of the day that jumps changes no checkpoint and no result", "[faults]") {
#ifdef SOFTSTEP_JUMPING_CLOCK
  const Workplace place;
  make_data(place);
  const Arguments plain = run_of({"--rule", "momentum"}, "300000");
  // Once an hour: none but the last. From a clock that is asked at every step and jumps by a hundred days it
  // would be each.
  REQUIRE(place.run(plus(plain, {"--out", "whole", "--trace", "whole.csv"})).code == 0);
  const std::vector<std::string> jumping = {"LD_PRELOAD=" SOFTSTEP_JUMPING_CLOCK};
  const Ran ran = place.run(plus(plain, {"--out", "W", "--trace", "rows.csv", "--checkpoint", "saved",
                                         "--checkpoint-every", "3600s", "--checkpoint-keep", "100"}),
                            jumping);
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(checkpoints_in(place, "saved") == std::vector<std::string>{name_of("saved", 300000)});
  CHECK(place.read("W") == place.read("whole"));
  CHECK(rows_without_seconds(place.read("rows.csv")) == rows_without_seconds(place.read("whole.csv")));
  // And it does not keep one from being written when its time has come.
  const Ran often = place.run(
      plus(plain, {"--checkpoint", "often", "--checkpoint-every", "0.01s", "--checkpoint-keep", "1000"}),
      jumping);
  REQUIRE(often.code == 0);
  CHECK(checkpoints_in(place, "often").size() > 1);
#else
  SKIP("sanitizers want to be the first library of a program");
#endif
}
