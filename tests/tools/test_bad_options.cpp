// Every way in which a command line can be wrong.

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

Arguments train(const Arguments& more) {
  Arguments all = {"train", "--data", "data.safetensors", "--out", "W.safetensors", "--json", "j.json"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Arguments compare(const Arguments& more) {
  Arguments all = {"compare", "--steps", "5", "--seeds", "2", "--out", "dir"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Arguments generate(const Arguments& more) {
  Arguments all = {"generate", "--out", "new.safetensors", "--json", "j.json"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void make_data(const Workplace& place, const std::string& name, const std::string& dim) {
  place.results({"generate", "--samples", "3", "--tokens", "4", "--dim", dim, "--seed", "5", "--out", name});
}

}  // namespace

TEST_CASE("unknown commands and options are refused, with the known ones", "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  place.require_bad_input({}, {"info", "train", "compare"});
  place.require_bad_input({"frobnicate"}, {"frobnicate", "info", "train", "compare"});
  place.require_bad_input({"--frobnicate"}, {"--frobnicate"});
  place.require_bad_input(train({"--frobnicate", "3"}), {"--frobnicate", "--rule", "--step-size", "--steps"});
  place.require_bad_input(train({"extra"}), {"train: extra was not expected"});
  place.require_bad_input({"solve"}, {"--data"});
  place.require_bad_input({"train"}, {"--data"});
  place.require_bad_input({"generate"}, {"--out"});
  place.require_bad_input({"compare"}, {"--out"});
  place.require_bad_input({"info", "--json"}, {"--json"});
}

TEST_CASE("a bound of the memory that cannot be kept is refused, and so are shards without a name",
          "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  for (const char* size : {"", "1G2", "100M", "nan", "-1G", "inf", "G", "1e99T"})
    place.require_bad_input(train({"--reference", "none", "--memory", size}), {"--memory", "128M"});
  place.require_bad_input(train({"--memory", "1G"}), {"--memory", "--reference solve"});
  place.require_bad_input(train({"--memory", "1G", "--reference", "none", "--model", "logistic"}),
                          {"--memory", "logistic"});
  place.require_bad_input(generate({"--shards", "513"}), {"--shards", "513"});
  place.require_bad_input(generate({"--shards", "11"}), {"--shards", "11", "10 samples"});
  place.require_bad_input({"generate", "--out", "data", "--shards", "2"}, {"--out", ".safetensors"});
}

TEST_CASE(
    "unknown rules, rule options, instruction sets, generators and types are refused, with the known ones",
    "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  place.require_bad_input(train({"--form", "sparse"}), {"sparse", "dense", "query-span", "token-span"});
  place.require_bad_input(train({"--form", "query-span", "--precision", "f32", "--master", "float64"}),
                          {"query-span", "float64 master weights"});
  place.require_bad_input(train({"--token-storage", "f8"}), {"f8", "f16", "bf16"});
  place.require_bad_input(train({"--token-storage", "f16"}), {"--token-storage", "--precision f32"});
  place.require_bad_input(train({"--rule", "nosuch"}), {"nosuch", "gd", "ngd", "polyak"});
  place.require_bad_input(train({"--rule", "ngd:stepsize=1"}), {"stepsize", "step-size", "schedule-power"});
  place.require_bad_input(train({"--rule", "polyak", "--step-size", "1"}),
                          {"--step-size", "polyak", "--factor", "--cap"});
  place.require_bad_input(train({"--rule", "gd:step-size=1", "--step-size", "1"}), {"--step-size"});
  place.require_bad_input(train({"--rule", "gd:step-size"}), {"step-size"});
  place.require_bad_input(train({"--isa", "sse9"}), {"sse9", "scalar"});
  place.require_bad_input(train({}), {"sse9", "scalar"}, {"SOFTSTEP_ISA=sse9"});
  place.require_bad_input({"info"}, {"sse9", "scalar"}, {"SOFTSTEP_ISA=sse9"});
  place.require_bad_input({"check", "--isa", "sse9"}, {"sse9", "scalar"});
  place.require_bad_input(train({"--precision", "f16"}), {"--precision", "f64", "f32"});
  place.require_bad_input(train({"--master", "f64"}), {"--master", "working", "float64"});
  place.require_bad_input(train({"--loss", "hinge"}), {"--loss", "logistic", "exponential"});
  place.require_bad_input(train({"--lstar", "best"}), {"--lstar", "optimal", "selected", "value", "zero"});
  place.require_bad_input(generate({"--generator", "gauss"}),
                          {"gauss", "signal_noise", "random_unit", "orthogonal", "planar"});
  place.require_bad_input(generate({"--dtype", "f8"}), {"f8", "f64", "f32", "f16", "bf16"});
  place.require_bad_input(compare({"--generator", "gauss"}), {"gauss", "signal_noise"});
  place.require_bad_input(compare({"--rules", "ngd;nosuch"}), {"nosuch", "polyak"});
  place.require_bad_input(compare({"--rules", ""}), {"rules"});
  place.require_bad_input(compare({"--rules", "ngd;ngd:step-size=1"}), {"--rules", "twice"});
  place.require_bad_input(compare({"--isa", "sse9"}), {"sse9", "scalar"});
}

TEST_CASE("numbers out of range are refused", "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  for (const char* size : {"-1", "0", "nan", "inf", "-inf", "one", "1x", ""})
    place.require_bad_input(train({"--rule", "ngd", "--step-size", size}), {"step-size"});
  place.require_bad_input(train({"--rule", "ngd:step-size=-1"}), {"step-size", "-1"});
  place.require_bad_input(train({"--rule", "ngd:step-size=nan"}), {"step-size", "nan"});
  place.require_bad_input(train({"--rule", "ngd", "--schedule-power", "-0.5"}), {"schedule-power"});
  place.require_bad_input(compare({"--rules", "gd:step-size=-1"}), {"step-size"});
  for (const char* steps : {"0", "-1", "1.5", "1e99", "nan", "many", "", "99999999999999999999"}) {
    place.require_bad_input(train({"--steps", steps}), {"--steps"});
    place.require_bad_input(compare({"--seeds", steps}), {"--seeds"});
  }
  for (const char* threads : {"-1", "1000000", "two"}) {
    place.require_bad_input(train({"--threads", threads}), {"--threads"});
    place.require_bad_input({"solve", "--data", "data.safetensors", "--threads", threads}, {"--threads"});
    place.require_bad_input(compare({"--threads", threads}), {"--threads"});
  }
  place.require_bad_input(train({"--trace-rows-per-decade", "-1"}), {"--trace-rows-per-decade"});
  for (const char* level : {"-1e-3", "nan", "3"})
    place.require_bad_input(train({"--stop-one-minus-cos", level}), {"--stop-one-minus-cos"});
  for (const char* tolerance : {"-1", "nan", "small"})
    place.require_bad_input({"solve", "--data", "data.safetensors", "--tolerance", tolerance}, {"tolerance"});
  for (const char* option : {"--samples", "--tokens", "--dim", "--seed"})
    for (const char* value : {"-1", "x"}) place.require_bad_input(generate({option, value}), {option});
  for (const char* option : {"--samples", "--tokens", "--dim"})
    place.require_bad_input(generate({option, "0"}), {option});
  place.require_bad_input(
      generate({"--samples", "4294967296", "--tokens", "4294967296", "--dim", "4294967296"}), {});
  for (const char* option : {"--signal", "--noise"})
    for (const char* value : {"nan", "inf", "x"}) place.require_bad_input(generate({option, value}), {});
}

TEST_CASE("options that a generator does not look at are refused", "[tools]") {
  const Workplace place;
  const auto refused = [&](const char* generator, const char* option) {
    for (const Arguments& command : {Arguments{"generate", "--out", "new"},
                                     {"compare", "--steps", "5", "--out", "new"},
                                     {"sweep", "--steps", "5", "--out", "new"}}) {
      Arguments arguments = command;
      arguments.insert(arguments.end(), {"--generator", generator, option});
      if (std::string(option) != "--equal-scores") arguments.push_back("2");
      place.require_bad_input(arguments, {option, "does not go with --generator", generator});
    }
  };
  for (const char* size : {"--samples", "--tokens", "--dim"}) refused("planar", size);
  refused("separable", "--tokens");
  for (const char* generator : {"random_unit", "planar"}) refused(generator, "--signal");
  for (const char* generator : {"random_unit", "planar", "orthogonal"}) refused(generator, "--noise");
  for (const char* generator : {"random_unit", "planar", "orthogonal", "separable"})
    refused(generator, "--equal-scores");
  CHECK(place.run(generate({"--generator", "separable", "--signal", "2", "--noise", "0.5"})).code == 0);
  CHECK(place.run(generate({"--generator", "separable", "--samples", "5", "--dim", "4"})).code == 0);
  CHECK(place.run(generate({"--generator", "orthogonal", "--signal", "2", "--dim", "60"})).code == 0);
  CHECK(place.run(generate({"--signal", "2", "--noise", "0.5", "--equal-scores"})).code == 0);
}

TEST_CASE("options that contradict each other are refused", "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  place.require_bad_input(compare({"--generator", "signal_noise", "--data", "data.safetensors"}),
                          {"--generator", "--data"});
  place.require_bad_input(compare({"--dim", "8", "--data", "data.safetensors"}), {"--dim", "--data"});
  place.require_bad_input(compare({"--decoder", "data.safetensors"}), {"--data"});
  place.require_bad_input(train({"--lstar", "value"}), {"--lstar-value"});
  place.require_bad_input(train({"--lstar-value", "0.1"}), {"--lstar-value"});
  place.require_bad_input(train({"--lstar", "value", "--lstar-value", "nan"}), {});
  place.require_bad_input(train({"--seed", "3"}), {"--seed", "--init"});
  place.require_bad_input(train({"--reference", "none", "--stop-one-minus-cos", "1e-3"}), {"--reference"});
  for (const char* init : {"normal", "normal:", "normal:x", "normal:-1", "normal:nan", "normal:inf", ""})
    place.require_bad_input(train({"--init", init}), {"--init"});
}

TEST_CASE("weights of another size, other tensors and states of another run are refused", "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  make_data(place, "other.safetensors", "9");
  place.results({"solve", "--data", "other.safetensors", "--out", "W9.safetensors"});
  place.results({"train", "--data", "other.safetensors", "--steps", "3", "--save-state", "S9.safetensors"});
  place.results({"train", "--data", "data.safetensors", "--steps", "3", "--save-state", "S8.safetensors"});
  place.write("zero.safetensors", safetensors({{"weights", "F64", {8, 8}, std::string(512, '\0')}}));
  std::vector<double> values(64, 1.0);
  values[9] = std::numeric_limits<double>::quiet_NaN();
  place.write("nan.safetensors", safetensors({{"weights", "F64", {8, 8}, bytes_of(values)}}));

  for (const char* option : {"--init", "--reference"}) {
    place.require_bad_input(train({option, "W9.safetensors"}), {"W9.safetensors"});
    place.require_bad_input(train({option, "data.safetensors"}), {"data.safetensors", "weights"});
    place.require_bad_input(train({option, "no.safetensors"}), {"no.safetensors"});
    place.require_bad_input(train({option, "nan.safetensors"}), {"nan.safetensors"});
  }
  place.require_bad_input(train({"--reference", "zero.safetensors"}), {"zero.safetensors"});
  place.require_bad_input(compare({"--data", "data.safetensors", "--init", "W9.safetensors"}),
                          {"W9.safetensors"});
  place.require_bad_input(train({"--resume", "S9.safetensors"}), {"S9.safetensors"});
  place.require_bad_input(train({"--resume", "data.safetensors"}), {"data.safetensors"});
  place.require_bad_input(train({"--resume", "no.safetensors"}), {"no.safetensors"});
  place.require_bad_input(train({"--resume", "S8.safetensors", "--rule", "polyak"}),
                          {"S8.safetensors", "ngd", "polyak"});
  place.require_bad_input(train({"--resume", "S8.safetensors", "--step-size", "2"}), {"S8.safetensors"});
  place.require_bad_input(train({"--resume", "S8.safetensors", "--precision", "f32"}), {"S8.safetensors"});
  place.require_bad_input(train({"--resume", "S8.safetensors", "--init", "zero"}), {"--init", "--resume"});
}

TEST_CASE("outputs that cannot be written are refused before any work", "[tools]") {
  const Workplace place;
  make_data(place, "data.safetensors", "8");
  std::filesystem::create_directory(place.path("folder"));
  place.write("plain", "text");
  place.write("read-only", "text");
  chmod(place.path("read-only").c_str(), 0444);
  const std::vector<std::string> bad = {"no/such/W.safetensors", "folder", "plain/W.safetensors", "read-only",
                                        "/proc/W.safetensors"};
  for (const std::string& path : bad) {
    // A million steps: if they were taken first, the test would notice.
    for (const char* option : {"--out", "--trace", "--save-state", "--json"})
      place.require_bad_input({"train", "--data", "data.safetensors", "--steps", "1e12", option, path},
                              {path});
    place.require_bad_input({"solve", "--data", "data.safetensors", "--out", path}, {path});
    place.require_bad_input({"generate", "--out", path}, {path});
    place.require_bad_input({"info", "--json", path}, {path});
    place.require_bad_input({"compare", "--steps", "1e12", "--out", "dir", "--json", path}, {path});
  }
  place.require_bad_input({"compare", "--steps", "1e12", "--out", "plain"}, {"plain"});
  place.require_bad_input({"compare", "--steps", "1e12", "--out", "plain/dir"}, {"plain"});
  place.require_bad_input({"compare", "--steps", "1e12", "--out", "/proc/dir"}, {"/proc/dir"});
  // A file that is read, or written twice.
  place.require_bad_input({"solve", "--data", "data.safetensors", "--out", "./data.safetensors"}, {"--data"});
  place.require_bad_input({"train", "--data", "data.safetensors", "--out", "x", "--trace", "folder/../x"},
                          {"--out"});
}
