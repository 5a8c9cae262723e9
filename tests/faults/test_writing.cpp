// Every call that writes is made to fail in turn: the message is one line, the older file or the new one is
// there, whole.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <map>
#include <set>

#include "faults/failing_calls.h"
#include "tools/run_program.h"

using namespace softstep::test;

namespace {

// Without the time that a run took, and what the results say of other files.
std::string comparable(std::string text) {
  for (const std::string key : {"seconds", "written"})
    for (std::size_t at = 0; (at = text.find("\"" + key + "\":", at)) != std::string::npos;) {
      at += key.size() + 3;
      text.erase(at, text.find_first_of(",}\n", at) - at);
    }
  return text;
}

struct Command {
  Arguments arguments;
  std::vector<std::string> files;  // what it writes whole
  std::string rows;                // and row by row
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {{"generate", "--samples", "40", "--tokens", "8", "--dim", "500", "--seed", "3", "--out", "new"},
       {"new"},
       ""},
      {{"train", "--data", "data", "--steps", "40", "--reference", "none", "--trace", "rows", "--out", "W"},
       {"W"},
       "rows"},
      {{"solve", "--data", "data", "--out", "V", "--json", "J"}, {"V", "J"}, ""},
  };
  return all;
}

const std::string older = "older";
const std::string e_io = std::to_string(EIO), no_space = std::to_string(ENOSPC),
                  not_allowed = std::to_string(EPERM), cannot = std::to_string(EINVAL),
                  signalled = std::to_string(EINTR);

void prepare(const Workplace& place, const Command& command) {
  for (const std::string& name : command.files) place.write(name, older);
  if (!command.rows.empty()) place.write(command.rows, older);
}

std::vector<std::string> names_in(const Command& command) {
  std::vector<std::string> names = command.files;
  names.push_back("data");
  if (!command.rows.empty()) names.push_back(command.rows);
  std::sort(names.begin(), names.end());
  return names;
}

// Whole rows: the older file, or a beginning of the trace that a run without faults writes, but for the
// seconds at the end of each row.
bool is_whole_trace(const std::string& text, const std::string& expected) {
  if (text == older) return true;
  if (text.empty() || text.back() != '\n') return false;
  const std::vector<std::string> rows = lines(text), wanted = lines(expected);
  if (rows.size() > wanted.size()) return false;
  for (std::size_t k = 0; k < rows.size(); ++k)
    if (rows[k].substr(0, rows[k].rfind(',')) != wanted[k].substr(0, wanted[k].rfind(','))) return false;
  return true;
}

}  // namespace

TEST_CASE("whichever call of a program that writes fails, no file is lost", "[faults]") {
  int n_tries = 0, n_errors = 0, n_waited = 0, n_losses = 0;
  for (const Command& command : commands()) {
    const Workplace place;
    REQUIRE(place.run({"generate", "--samples", "4", "--tokens", "3", "--dim", "6", "--out", "data"}).code ==
            0);
    prepare(place, command);
    const Ran good = place.run(command.arguments);
    REQUIRE(good.code == 0);
    std::map<std::string, std::string> expected;
    for (const std::string& name : command.files) expected[name] = place.read(name);
    const std::string rows = command.rows.empty() ? "" : place.read(command.rows);

    for (const Fault& fault : std::initializer_list<Fault>{{"write", e_io.c_str()},
                                                           {"write", no_space.c_str()},
                                                           {"write", "half"},
                                                           {"write", "zero"},
                                                           {"fsync", e_io.c_str()},
                                                           {"rename", e_io.c_str()},
                                                           {"rename", no_space.c_str()},
                                                           {"create", no_space.c_str()},
                                                           {"chmod", not_allowed.c_str()}}) {
      // Until no call is left to fail; every command has some of every kind.
      for (int at = 1;; ++at) {
        prepare(place, command);
        const Ran ran = place.run(command.arguments, failing(fault, at));
        INFO(command.arguments[0] << ", " << fault.call << " " << at << " fails with " << fault.with << ": "
                                  << ran.err);
        if (ran.code == 0 && ran.err.empty()) {
          REQUIRE(at > 1);
          break;
        }
        ++n_tries;
        // Rows of a trace wait for the next one, and then none is missing.
        const bool waited = ran.err.find("its rows wait until they can be") != std::string::npos;
        CHECK(ran.code == (waited && fault.with != std::string("zero") ? 0 : 2));
        ++n_errors;
        n_waited += waited && ran.code == 0;
        if (ran.code == 0) CHECK(lines(place.read(command.rows)).size() == lines(rows).size());
        // One line for each output that failed; a fault that lasts (`zero`) fails several, and a trace twice.
        const std::vector<std::string> said = lines(ran.err);
        CHECK(said.size() >= 1);
        CHECK(said.size() <= (fault.with == std::string("zero") ? names_in(command).size() - 1 + waited : 1));
        for (const std::string& line : said) {
          CHECK(line.starts_with("softstep: "));
          const bool says_what = line.find("cannot be written: ") != std::string::npos ||
                                 line.find("is written, but after a power failure") != std::string::npos;
          CHECK(says_what);
        }
        for (const std::string& name : command.files) {
          const std::string found = place.read(name);
          const bool whole = found == older || comparable(found) == comparable(expected[name]);
          n_losses += !whole;
          CHECK(whole);
        }
        if (!command.rows.empty()) {
          const bool whole = is_whole_trace(place.read(command.rows), rows);
          n_losses += !whole;
          CHECK(whole);
        }
        CHECK(place.contents() == names_in(command));
        REQUIRE(at < 100);
      }
    }
  }
  WARN("tries " << n_tries << ", told " << n_errors << ", traces made up for " << n_waited << ", files lost "
                << n_losses);
  CHECK(n_tries >= 100);
  CHECK(n_waited >= 10);
  CHECK(n_losses == 0);
}

TEST_CASE("what is no fault is none: short writes, signals, file systems that cannot sync", "[faults]") {
  const Workplace place;
  REQUIRE(place.run({"generate", "--out", "data"}).code == 0);
  for (const Fault& fault : std::initializer_list<Fault>{
           {"write", "bytes"}, {"write", signalled.c_str()}, {"fsync", cannot.c_str()}})
    for (int at = 1; at <= 3; ++at) {
      place.write("new", older);
      const Ran ran = place.run({"generate", "--out", "new"}, failing(fault, at));
      INFO(fault.call << " " << at << " with " << fault.with << ": " << ran.err);
      CHECK(ran.code == 0);
      CHECK(place.read("new") == place.read("data"));
    }
}
