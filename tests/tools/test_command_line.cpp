// What the program says of its command line: help, misspellings, old names, ranges; what it prints where.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <regex>
#include <set>
#include <string>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::string> commands = {"info",  "generate",  "solve", "train",  "compare",
                                           "sweep", "reproduce", "fit",   "report", "check"};

void make_data(const Workplace& place) {
  place.results({"generate", "--samples", "5", "--tokens", "4", "--dim", "12", "--out", "data"});
}

// The figures before and after " of " on a progress line.
std::set<std::string> shown(const std::string& text, const std::string& pattern) {
  std::set<std::string> found;
  const std::regex expression(pattern);
  for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match)
    found.insert((*match)[1]);
  return found;
}

}  // namespace

TEST_CASE("help explains the program and each command, with its exit codes", "[tools]") {
  const Workplace place;
  const Ran help = place.run({"help"});
  CHECK(help.code == 0);
  CHECK(help.out == place.run({"--help"}).out);
  CHECK(has(help.out, "Exit codes: 0 done; 1 "));
  for (const std::string& command : commands) {
    INFO(command);
    CHECK(has(help.out, "\n  " + command + " "));
    const Ran one = place.run({"help", command});
    CHECK(one.code == 0);
    CHECK(one.err.empty());
    CHECK(one.out == place.run({command, "--help"}).out);
    CHECK(has(one.out, "Usage: softstep " + command));
    CHECK(has(one.out, "Exit codes: 0 done; "));
    CHECK(has(one.out, "2 bad input"));
    CHECK(has(one.out, "130 or 143 interrupted"));
  }
  place.require_bad_input({"help", "trian"}, {"help", "trian", "did you mean train?"});
  place.require_bad_input({"help", "frobnicate"}, {"frobnicate", "train", "compare"});
}

TEST_CASE("a misspelt option or command is told the nearest one", "[tools]") {
  const Workplace place;
  make_data(place);
  const auto refused = [&](const Arguments& arguments, const std::string& wrong, const std::string& meant) {
    place.require_bad_input(arguments, {wrong, "did you mean " + meant + "?"});
  };
  refused({"trian", "--data", "data"}, "unknown command trian", "train");
  refused({"tran"}, "unknown command tran", "train");
  refused({"comprae", "--out", "dir"}, "unknown command comprae", "compare");
  refused({"train", "--data", "data", "--step", "5"}, "--step", "--steps");
  refused({"train", "--data", "data", "--step=5"}, "--step", "--steps");
  refused({"train", "--data", "data", "-steps", "5"}, "-steps", "--steps");
  refused({"train", "--data", "data", "--shcedule-power", "1"}, "--shcedule-power", "--schedule-power");
  refused({"generate", "--sample", "5", "--out", "new"}, "--sample", "--samples");
  refused({"solve", "--data", "data", "--tolerence", "1"}, "--tolerence", "--tolerance");
  // What is missing for want of the right name comes second.
  refused({"train", "--dat", "data"}, "train: unknown option --dat", "--data");
  refused({"compare", "--ouut", "dir"}, "compare: unknown option --ouut", "--out");
  refused({"reproduce", "raets", "--out", "dir"}, "raets", "rates");
  place.require_bad_input({"train", "data"}, {"train: data was not expected"});
  place.require_bad_input({"train", "--data", "data", "help"}, {"train: help was not expected"});
  // Nothing is near: everything is listed.
  place.require_bad_input({"frobnicate"}, {"frobnicate", "known: info, generate"});
  place.require_bad_input({"train", "--data", "data", "--frobnicate"}, {"--frobnicate", "known: --data"});
  place.require_bad_input({"--threads", "2", "info"}, {"--threads", "after"});
}

TEST_CASE("options that are missing, without a value, or there twice are named", "[tools]") {
  const Workplace place;
  make_data(place);
  place.require_bad_input({"train"}, {"train: --data is required"});
  place.require_bad_input({"report"}, {"report: DIR is required"});
  place.require_bad_input({"train", "--data"}, {"train: --data: its value is missing", "FILE"});
  place.require_bad_input({"train", "--data", "data", "--steps", "5", "--steps", "6"},
                          {"train: --steps: given 2 times"});
  for (const char* option : {"--out", "--trace", "--json", "--save-state", "--resume", "--decoder"})
    place.require_bad_input({"train", "--data", "data", option, ""}, {option, "empty"});
  place.require_bad_input({"train", "--data", ""}, {"--data", "empty"});
  place.require_bad_input({"compare", "--out", ""}, {"--out", "empty"});
}

TEST_CASE("a generator and a trained model have a word each, and the old name points to the new one",
          "[tools]") {
  const Workplace place;
  make_data(place);
  for (const char* command : {"generate", "compare", "sweep"}) {
    place.require_bad_input({command, "--model", "planar", "--out", "dir"},
                            {"--model is called --generator now"});
    place.require_bad_input({command, "--model=planar", "--out", "dir"},
                            {"--model is called --generator now"});
  }
  CHECK(place.results({"train", "--data", "data", "--model-kind", "logistic"})["model"] == "logistic");
  place.require_bad_input({"train", "--data", "data", "--model", "planar"},
                          {"--model", "attention", "logistic"});
  CHECK(place.results({"generate", "--generator", "planar", "--out", "new"})["generator"] == "planar");
  CHECK(place.results({"info"})["generators"][0] == "signal_noise");
  const Json compared = place.results(
      {"compare", "--generator", "planar", "--steps", "3", "--seeds", "1", "--no-plots", "--out", "dir"});
  CHECK(compared["data"]["generator"] == "planar");
}

TEST_CASE("numbers out of range are told option, value and range", "[tools]") {
  const Workplace place;
  make_data(place);
  const std::string most = "from 1 to 9223372036854775807", seeds = "from 0 to 18446744073709551615";
  for (const char* steps : {"1e30", "0", "-1", "9223372036854775808", "1.5", "1e-3", "1e", "e5", "0x10", " 5",
                            "nan", "1e9999999999999999999", "+-5", "20e+-1"})
    place.require_bad_input({"train", "--data", "data", "--steps", steps}, {"--steps: ", steps, most});
  for (const char* seed : {"18446744073709551616", "-1", "1e20", "0.5", "1e-1"})
    place.require_bad_input({"generate", "--seed", seed, "--out", "new"}, {"--seed: ", seed, seeds});
  for (const char* option : {"--samples", "--tokens", "--dim"})
    place.require_bad_input({"generate", option, "1e30", "--out", "new"}, {option, "1e30", most});
  place.require_bad_input({"solve", "--data", "data", "--threads", "1e4"},
                          {"--threads: 1e4", "from 0 to 1024"});
  place.require_bad_input({"solve", "--data", "data", "--max-sweeps", "0"},
                          {"--max-sweeps: 0", "from 1 to "});
  for (const char* level : {"nan", "-0.1", "2.1", "inf", "x", ""})
    place.require_bad_input({"train", "--data", "data", "--stop-one-minus-cos", level},
                            {"--stop-one-minus-cos: ", level, "from 0 to 2"});
  for (const char* value : {"1e400", "x", ""})
    place.require_bad_input({"solve", "--data", "data", "--tolerance", value}, {"--tolerance: ", value});
  place.require_bad_input({"train", "--data", "data", "--lstar", "value", "--lstar-value", "+-1"},
                          {"--lstar-value: +-1", "need a number"});

  // Every way to write a whole number.
  for (const char* steps : {"20", "+20", "2e1", "2E+1", "0.2e2", "200e-1", "20.0", "00020"}) {
    INFO(steps);
    CHECK(place.results({"train", "--data", "data", "--steps", steps})["steps"] == 20);
  }
  // The largest ones are read exactly.
  CHECK(place.results({"generate", "--seed", "18446744073709551615", "--out", "new"})["seed"] ==
        18446744073709551615U);
  CHECK(place.results({"generate", "--seed", "1e19", "--out", "new"})["seed"] == 10000000000000000000U);
  CHECK(place.results({"generate", "--seed", "9007199254740993", "--out", "new"})["seed"] ==
        9007199254740993U);
}

TEST_CASE("seeds do not wrap", "[tools]") {
  const Workplace place;
  make_data(place);
  const std::string most = "18446744073709551615";
  const Arguments compare = {"compare",    "--steps", "3",   "--seeds", "3",
                             "--no-plots", "--out",   "dir", "--seed"};
  const Arguments sweep = {"sweep", "--steps", "3", "--seeds", "3", "--out", "dir", "--seed"};
  const Arguments fit = {"fit", "--train",      "data", "--test",     "data",  "--epochs", "1",     "--seeds",
                         "3",   "--batch-size", "2",    "--no-plots", "--out", "dir",      "--seed"};
  for (Arguments arguments : {compare, sweep, fit})
    for (const char* seed : {"18446744073709551614", "18446744073709551615"}) {
      Arguments all = arguments;
      all.emplace_back(seed);
      place.require_bad_input(all, {"--seed: ", seed, "from 0 to 18446744073709551613"});
    }
  Arguments last = compare;
  last.emplace_back("18446744073709551613");
  const Json json = place.results(last);
  CHECK(json["references"][2]["seed"] == 18446744073709551615U);
}

TEST_CASE("messages of the library name the options that set its fields", "[tools]") {
  const Workplace place;
  make_data(place);
  place.require_bad_input({"generate", "--generator", "gauss", "--out", "new"}, {"softstep: --generator: "});
  place.require_bad_input({"generate", "--dtype", "f8", "--out", "new"},
                          {"softstep: generate: --dtype: ", "f8"});
  place.require_bad_input({"generate", "--signal", "nan", "--out", "new"}, {"softstep: --signal: nan"});
  place.require_bad_input({"solve", "--data", "data", "--tolerance", "-1"}, {"softstep: --tolerance: -1"});
  place.require_bad_input({"solve", "--data", "data", "--norm", "lp", "--p", "1"}, {"softstep: --p: 1"});
  place.require_bad_input({"train", "--data", "data", "--rule", "nosuch"}, {"softstep: --rule: "});
  place.require_bad_input({"compare", "--rules", "nosuch", "--out", "dir"}, {"softstep: --rules: "});
  place.require_bad_input({"train", "--data", "data", "--step-size", "-1"}, {"softstep: --step-size: -1"});
  place.require_bad_input({"train", "--data", "data", "--isa", "sse9"}, {"softstep: --isa: "});
  place.require_bad_input({"train", "--data", "data", "--joint", "--lstar", "optimal"},
                          {"softstep: --lstar: "});
  place.require_bad_input({"train", "--data", "data", "--factored", "13", "--init", "normal:1"},
                          {"softstep: --factored: 13"});
  place.require_bad_input({"train", "--data", "data", "--lstar", "value", "--lstar-value", "inf"},
                          {"softstep: --lstar-value: inf"});
  CHECK(has(place.run({"info"}).out, "--lstar zero"));
}

TEST_CASE("--trace - prints the trace in place of the text", "[tools]") {
  const Workplace place;
  make_data(place);
  const Arguments base = {"train", "--data", "data", "--steps", "50", "--trace"};
  // All but the last column, the seconds.
  const auto rows = [](const std::string& text) {
    std::vector<std::string> all;
    for (const std::string& line : lines(text)) all.push_back(line.substr(0, line.rfind(',')));
    return all;
  };
  for (const Arguments& more : {Arguments{}, Arguments{"--joint"}}) {
    Arguments printed = base, written = base;
    printed.emplace_back("-");
    written.emplace_back("T.csv");
    printed.insert(printed.end(), more.begin(), more.end());
    written.insert(written.end(), more.begin(), more.end());
    const Ran ran = place.run(printed);
    CHECK(ran.code == 0);
    REQUIRE(place.run(written).code == 0);
    if (more.empty()) CHECK(rows(ran.out) == rows(place.read("T.csv")));
    CHECK(lines(ran.out).at(0) == lines(place.read("T.csv")).at(0));
    CHECK(lines(ran.out).size() == lines(place.read("T.csv")).size());
    printed.insert(printed.end(), {"--json", "J.json"});
    CHECK(place.run(printed).code == 0);
    CHECK(place.read_json("J.json")["steps"] == 50);
  }
  CHECK(place.contents() == std::vector<std::string>{"J.json", "T.csv", "data"});
  place.require_bad_input({"train", "--data", "data", "--trace", "-", "--json", "-"}, {"--trace", "--json"});
}

TEST_CASE("a terminal is shown how far the runs have come", "[tools]") {
  const Workplace place;
  make_data(place);
  // Long enough for some tenths of a second a run, and so for percentages between those of whole runs.
  const auto watched = [&](const std::string& name, const Arguments& arguments) {
    const Ran ran = place.run_on_terminal(arguments);
    INFO(name << ": " << ran.err);
    CHECK(ran.code == 0);
    CHECK(has(ran.err, name + ": 0 of 2 runs, 0 % of the steps"));
    std::set<std::string> between = shown(ran.err, name + ": [012] of 2 runs, ([0-9]+) % of the steps");
    for (const char* whole : {"0", "50", "100"}) between.erase(whole);
    CHECK(!between.empty());
  };
  watched("compare", {"compare", "--data", "data", "--rules", "gd;ngd", "--form", "dense", "--steps",
                      "500000", "--threads", "1", "--no-plots", "--out", "dir"});
  watched("sweep", {"sweep", "--data", "data", "--rules", "ngd", "--step-sizes", "1,2", "--form", "dense",
                    "--steps", "500000", "--threads", "1", "--out", "dir"});
  // Nothing of it where there is no terminal.
  CHECK(
      place
          .run({"compare", "--data", "data", "--rules", "ngd", "--steps", "10", "--no-plots", "--out", "dir"})
          .err.empty());
}

TEST_CASE("an interrupted command counts no further, and says how to end it at once", "[tools]") {
  const Workplace place;
  make_data(place);
  const Arguments runs = {"--steps", "1e15", "--seeds", "4", "--threads", "1", "--out", "dir"};
  for (const char* command : {"compare", "sweep"}) {
    Arguments arguments = {command};
    arguments.insert(arguments.end(), runs.begin(), runs.end());
    const Ran ran = place.run_on_terminal(arguments, SIGINT, " 0 % of the steps");
    INFO(ran.err);
    CHECK(ran.code == 128 + SIGINT);
    CHECK(shown(ran.err, ": ([0-9]+) of [0-9]+ runs") == std::set<std::string>{"0"});
    CHECK(has(ran.err, "the same signal again ends it at once"));
  }
  const Ran ran =
      place.run_on_terminal({"train", "--data", "data", "--steps", "1e15"}, SIGTERM, "train: step");
  INFO(ran.err);
  CHECK(ran.code == 128 + SIGTERM);
  CHECK(has(ran.err, "the same signal again ends it at once"));
}
