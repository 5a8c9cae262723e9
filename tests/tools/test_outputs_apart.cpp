// No output replaces what the same command reads, or another output.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

constexpr const char* index_file = "g.safetensors.index.json";

Arguments generate_shards(const Arguments& more) {
  Arguments arguments = {"generate", "--samples", "9",     "--tokens",     "3", "--dim", "6",
                         "--shards", "3",         "--out", "g.safetensors"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("a state that a run goes on from is replaced by a newer state and by nothing else", "[tools]") {
  const Workplace place;
  REQUIRE(place.run({"generate", "--out", "data"}).code == 0);
  REQUIRE(place.run({"train", "--data", "data", "--steps", "20", "--save-state", "S"}).code == 0);
  std::filesystem::create_symlink("S", place.path("L"));
  const Arguments resumed = {"train", "--data", "data", "--steps", "20", "--resume", "S"};
  for (const char* option : {"--trace", "--out", "--json"})
    for (const char* name : {"S", "./S", "L"}) {
      Arguments arguments = resumed;
      arguments.insert(arguments.end(), {option, name});
      place.require_bad_input(arguments, {option, "is what --resume reads; choose another file"});
      // Whether or not it is also continued in place.
      arguments.insert(arguments.end(), {"--save-state", "S"});
      place.require_bad_input(arguments, {option, "choose another file"});
    }
  Arguments in_place = resumed;
  in_place.insert(in_place.end(), {"--save-state", "S", "--out", "W", "--trace", "t"});
  CHECK(place.results(in_place)["steps"] == 20);
}

TEST_CASE("shards and their index are not replaced by the results of generate", "[tools]") {
  const Workplace place;
  for (const char* name : {index_file, "g-00001-of-00003.safetensors", "./g-00003-of-00003.safetensors"})
    place.require_bad_input(generate_shards({"--json", name}),
                            {"--json", name, "is what --out writes; choose another file"});
  // What is only the beginning of their names is not written.
  CHECK(place.run(generate_shards({"--json", "g.safetensors"})).code == 0);
  CHECK(place.run(generate_shards({"--json", "g-00004-of-00003.safetensors"})).code == 0);
}

TEST_CASE("a shard that cannot be written is found before any work is done", "[tools]") {
  const Workplace place;
  std::filesystem::create_directory(place.path("g-00002-of-00003.safetensors"));
  place.require_bad_input(generate_shards({}), {"--out", "g-00002-of-00003.safetensors", "directory"});
}

TEST_CASE("a shard that a run reads is not replaced by its outputs", "[tools]") {
  const Workplace place;
  REQUIRE(place.run(generate_shards({})).code == 0);
  std::filesystem::create_directory(place.path("in"));
  for (int k = 1; k <= 3; ++k) {
    const std::string name = "g-0000" + std::to_string(k) + "-of-00003.safetensors";
    std::filesystem::copy_file(place.path(name), place.path("in/" + name));
  }
  std::filesystem::copy_file(place.path(index_file), place.path(std::string("in/") + index_file));
  for (const std::string folder : {"", "in/"})
    for (const char* option : {"--trace", "--out", "--json", "--save-state"})
      place.require_bad_input({"train", "--data", folder + index_file, "--steps", "5", option,
                               folder + "g-00003-of-00003.safetensors"},
                              {option, "is what --data reads; choose another file"});
  CHECK(place
            .run({"train", "--data", std::string("in/") + index_file, "--steps", "5", "--out",
                  "g-00003-of-00003.safetensors"})
            .code == 0);
  const std::string index = std::string("in/") + index_file, shard = "in/g-00003-of-00003.safetensors";
  const auto refuse = [&](const char* option, Arguments arguments) {
    arguments.insert(arguments.end(), {"--data", index, option, shard});
    place.require_bad_input(arguments, {option, "is what --data reads; choose another file"});
  };
  refuse("--out", {"solve"});
  refuse("--json", {"compare", "--out", "all"});
  refuse("--json", {"sweep", "--out", "all"});
  // An index that is none is refused as before.
  place.write("bad.json", "{\"weight_map\": {\"tokens\": 3}}");
  place.require_bad_input({"train", "--data", "bad.json", "--out", "W"}, {"bad.json"});
  place.write("bad.json", "{\"weight_map\": {");
  place.require_bad_input({"train", "--data", "bad.json", "--out", "W"}, {"bad.json", "not JSON"});
}
