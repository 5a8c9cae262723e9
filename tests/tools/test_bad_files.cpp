// Every way in which a data file can be wrong: one line, exit code 2, nothing written, by each command that
// reads data.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

// n = 2, T = 3, d = 2: a good file, to be spoilt in one place.
struct Parts {
  std::vector<std::uint64_t> shape = {2, 3, 2};
  std::string dtype = "F64";
  std::vector<double> tokens = {1, 0, 0, 0.5, 0.2, 0.1, 0, 1, 0.1, 0.3, 0.4, 0.2};
  std::vector<std::int64_t> labels = {1, -1};
  std::vector<double> decoder = {1, -1};
  std::vector<RawTensor> more;

  std::string file() const {
    std::vector<RawTensor> tensors = {{"tokens", dtype, shape, bytes_of(tokens)},
                                      {"labels", "I64", {labels.size()}, bytes_of(labels)},
                                      {"decoder", "F64", {decoder.size()}, bytes_of(decoder)}};
    tensors.insert(tensors.end(), more.begin(), more.end());
    return safetensors(tensors);
  }
};

void require_refused(const std::string& what, const std::string& bytes,
                     const std::vector<std::string>& words = {}) {
  INFO(what);
  const Workplace place;
  place.write("bad.safetensors", bytes);
  std::vector<std::string> expected = words;
  expected.push_back("bad.safetensors");
  place.require_bad_input(
      {"solve", "--data", "bad.safetensors", "--out", "W.safetensors", "--json", "j.json"}, expected);
  place.require_bad_input({"train", "--data", "bad.safetensors", "--steps", "3", "--out", "W.safetensors",
                           "--trace", "t.csv", "--save-state", "s.safetensors", "--json", "j.json"},
                          expected);
  place.require_bad_input(
      {"compare", "--data", "bad.safetensors", "--steps", "3", "--out", "dir/deep", "--json", "j.json"},
      expected);
}

}  // namespace

TEST_CASE("the good file that the others are spoilt from is accepted", "[tools]") {
  const Workplace place;
  place.write("good.safetensors", Parts{}.file());
  CHECK(place.results({"solve", "--data", "good.safetensors"})["status"] == "optimal");
  CHECK(place.results({"train", "--data", "good.safetensors", "--steps", "3"})["status"] == "max_iterations");
}

TEST_CASE("a file that is not there, empty, cut off or no safetensors at all is refused", "[tools]") {
  const Workplace place;
  for (const char* command : {"solve", "train"})
    place.require_bad_input({command, "--data", "no.safetensors", "--json", "j.json"}, {"no.safetensors"});
  place.require_bad_input({"compare", "--data", "no.safetensors", "--out", "dir"}, {"no.safetensors"});
  place.require_bad_input({"solve", "--data", "."}, {});

  const std::string good = Parts{}.file();
  require_refused("empty", "");
  require_refused("three bytes", good.substr(0, 3));
  require_refused("header cut off", good.substr(0, 40));
  require_refused("tensors cut off", good.substr(0, good.size() - 9));
  std::string longer = good;
  longer[6] = 1;  // the header is now 2^48 bytes longer
  require_refused("header longer than the file", longer);
  std::string huge = good;
  for (int k = 0; k < 8; ++k) huge[static_cast<std::size_t>(k)] = '\xff';
  require_refused("header size 2^64 - 1", huge);
  require_refused("header not JSON", safetensors("{\"tokens\": [oops\nnext line", ""));
  require_refused("header a list", safetensors("[1, 2, 3]", ""));
  require_refused("header without tensors", safetensors("{}", ""), {"tokens"});
  require_refused("tensor that is a number", safetensors("{\"tokens\": 3, \"labels\": 4}", ""));
}

TEST_CASE("tensors that overlap, lie outside, overflow, or have the wrong type or rank are refused",
          "[tools]") {
  const auto file = [](const std::string& tokens, const std::string& labels) {
    return safetensors(
        "{\"tokens\": " + tokens + ", \"labels\": " + labels +
            ", \"decoder\": {\"dtype\": \"F64\", \"shape\": [2], \"data_offsets\": [112, 128]}}",
        std::string(128, '\0'));
  };
  const std::string tokens = R"({"dtype": "F64", "shape": [2, 3, 2], "data_offsets": [0, 96]})";
  const std::string labels = R"({"dtype": "I64", "shape": [2], "data_offsets": [96, 112]})";
  require_refused("overlap", file(tokens, R"({"dtype": "I64", "shape": [2], "data_offsets": [88, 104]})"));
  require_refused("outside", file(tokens, R"({"dtype": "I64", "shape": [2], "data_offsets": [1000, 1016]})"));
  require_refused("backwards",
                  file(R"({"dtype": "F64", "shape": [2, 3, 2], "data_offsets": [96, 0]})", labels));
  require_refused("negative",
                  file(R"({"dtype": "F64", "shape": [2, 3, 2], "data_offsets": [-96, 0]})", labels));
  require_refused("size and shape disagree",
                  file(R"({"dtype": "F64", "shape": [2, 4, 2], "data_offsets": [0, 96]})", labels));
  require_refused(
      "overflow",
      file(R"({"dtype": "F64", "shape": [4294967296, 4294967296, 2], "data_offsets": [0, 96]})", labels));
  require_refused(
      "overflow to the right size",
      file(R"({"dtype": "F64", "shape": [2305843009213693954, 3, 2], "data_offsets": [0, 96]})", labels));
  require_refused("unknown dtype",
                  file(R"({"dtype": "F65", "shape": [2, 3, 2], "data_offsets": [0, 96]})", labels));
  require_refused("integer tokens",
                  file(R"({"dtype": "I64", "shape": [2, 3, 2], "data_offsets": [0, 96]})", labels));

  Parts rank2;
  rank2.shape = {6, 2};
  require_refused("rank 2 without offsets", rank2.file());
  Parts rank4;
  rank4.shape = {2, 3, 2, 1};
  require_refused("rank 4", rank4.file());
  Parts decoder;
  decoder.decoder = {1, 2, 3};
  require_refused("decoder too long", decoder.file(), {"decoder"});
  Parts short_labels;
  short_labels.labels = {1};
  require_refused("labels too short", short_labels.file(), {"labels"});
}

TEST_CASE("values that mean nothing are refused", "[tools]") {
  Parts nan;
  nan.tokens[5] = std::numeric_limits<double>::quiet_NaN();
  require_refused("NaN token", nan.file(), {"tokens"});
  Parts infinite;
  infinite.tokens[7] = -std::numeric_limits<double>::infinity();
  require_refused("infinite token", infinite.file(), {"tokens"});
  Parts decoder;
  decoder.decoder[0] = std::nan("");
  require_refused("NaN decoder", decoder.file(), {"decoder"});
  for (const std::int64_t label : {0, 2, -3, 255, 257}) {
    Parts labels;
    labels.labels[1] = label;
    require_refused("label " + std::to_string(label), labels.file(), {"labels"});
  }
  Parts nobody;
  nobody.shape = {0, 3, 2};
  nobody.tokens = {};
  nobody.labels = {};
  require_refused("no samples", nobody.file());
  Parts no_tokens;
  no_tokens.shape = {2, 0, 2};
  no_tokens.tokens = {};
  require_refused("no tokens", no_tokens.file());
  for (const std::int64_t query : {-1, 3}) {
    Parts queries;
    queries.more.push_back({"queries", "I64", {2}, bytes_of(std::vector<std::int64_t>{0, query})});
    require_refused("query index " + std::to_string(query), queries.file(), {"quer"});
  }
  for (const std::vector<std::int64_t>& offsets : std::vector<std::vector<std::int64_t>>{
           {0, 3}, {0, 4, 3}, {0, 3, 7}, {-1, 3, 6}, {0, 3, std::numeric_limits<std::int64_t>::max()}}) {
    Parts ragged;
    ragged.shape = {6, 2};
    ragged.more.push_back({"offsets", "I64", {offsets.size()}, bytes_of(offsets)});
    require_refused("offsets", ragged.file());
  }
}

TEST_CASE("a file without a decoder is refused, and --decoder supplies one", "[tools]") {
  const Workplace place;
  Parts parts;
  const std::string with = parts.file();
  place.write("data.safetensors", safetensors({{"tokens", "F64", parts.shape, bytes_of(parts.tokens)},
                                               {"labels", "I64", {2}, bytes_of(parts.labels)}}));
  place.write("with.safetensors", with);
  place.write("decoder.safetensors", safetensors({{"decoder", "F64", {2}, bytes_of(parts.decoder)}}));
  place.write("long.safetensors",
              safetensors({{"decoder", "F64", {3}, bytes_of(std::vector<double>{1, 2, 3})}}));
  place.write("none.safetensors", safetensors({{"other", "F64", {2}, bytes_of(parts.decoder)}}));
  for (const char* command : {"solve", "train"})
    place.require_bad_input({command, "--data", "data.safetensors"}, {"decoder", "data.safetensors"});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--decoder", "long.safetensors"},
                          {"decoder", "2"});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--decoder", "none.safetensors"},
                          {"decoder"});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--decoder", "no.safetensors"},
                          {"no.safetensors"});
  const Json supplied =
      place.results({"solve", "--data", "data.safetensors", "--decoder", "decoder.safetensors"});
  const Json own = place.results({"solve", "--data", "with.safetensors"});
  CHECK(supplied["norm"] == own["norm"]);
}
