// Files that are refused, each with the file's name and the reason in one line.

#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cstring>
#include <limits>
#include <numeric>

#include "refused.h"
#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

void refuse_path(const std::string& path, const std::vector<std::string>& words) {
  require_refused(path, words, [&] { load_dataset<double>(path); });
  require_refused(path, words, [&] { load_dataset<float>(path); });
}

void refuse_bytes(const std::string& bytes, const std::vector<std::string>& words) {
  const Workplace place;
  place.write("bad", bytes);
  refuse_path(place.path("bad"), words);
}

// The same for readers of any tensor file.
void refuse_container(const std::string& bytes, const std::vector<std::string>& words) {
  const Workplace place;
  place.write("bad", bytes);
  const std::string path = place.path("bad");
  refuse_path(path, words);
  require_refused(path, words, [&] { load_tensors(path); });
  require_refused(path, words, [&] { load_weights(path, 2); });
  require_refused(path, words, [&] { stored_type(path); });
}

template <class T>
RawTensor tensor(const std::string& name, const std::string& dtype, std::vector<std::uint64_t> shape,
                 const std::vector<T>& values) {
  return {name, dtype, std::move(shape), bytes_of(values)};
}

using Doubles = std::vector<double>;
using Ints = std::vector<std::int64_t>;

const RawTensor good_tokens = tensor("tokens", "F64", {2, 3, 1}, Doubles{1, 2, 3, 4, 5, 6});
const RawTensor ragged_tokens = tensor("tokens", "F64", {6, 1}, Doubles{1, 2, 3, 4, 5, 6});
const RawTensor good_labels = tensor("labels", "I64", {2}, Ints{1, -1});

}  // namespace

TEST_CASE("paths that are no data are refused", "[data]") {
  const Workplace place;
  refuse_path(place.path("missing"), {"cannot be read"});
  refuse_path(place.path("missing/too"), {"cannot be read"});
  refuse_path(place.path("."), {"directory"});
  refuse_path("/dev/null", {"regular file"});
  REQUIRE(mkfifo(place.path("pipe").c_str(), 0600) == 0);
  refuse_path(place.path("pipe"), {"pipe", "to a file"});  // and does not wait for somebody to write to it
  require_refused("", {"cannot be read"}, [] { load_tensors(""); });
}

TEST_CASE("headers of the wrong length are refused", "[data]") {
  refuse_container("", {"empty"});
  refuse_container("abc", {"truncated", "3 bytes"});
  refuse_container(std::string(8, '\0'), {"begin with {"});
  refuse_container(std::string(8, '\xff'), {"header length"});
  const std::string good = safetensors({good_tokens, good_labels});
  std::string longer = good;
  longer[3] = '\x02';  // 2^25 more: below the cap, longer than the file
  refuse_container(longer, {"truncated", "header length"});
  longer[3] = '\x10';
  refuse_container(longer, {"at most 100000000"});
  refuse_container(good.substr(0, 40), {"truncated"});
  refuse_container(good.substr(0, good.size() - 1), {"`labels`", "outside"});
  refuse_container(good + "x", {"at the end belong to no tensor"});
}

TEST_CASE("headers that are not what they should be are refused", "[data]") {
  const auto refuse = [](const std::string& header, const std::vector<std::string>& words) {
    INFO(header);
    refuse_container(safetensors(header, std::string(16, '\0')), words);
  };
  refuse("[1, 2]", {"begin with {"});
  refuse(" {}", {"begin with {"});
  refuse("{\"tokens\": oops\nnext line", {"not JSON"});
  refuse("{} {}", {"not JSON"});
  refuse("{\"tokens\": \"\xff\"}", {"not JSON"});
  refuse(R"({"a": {"b": {"c": {"d": 1}}}})", {"nested"});
  refuse(R"({"a": {"dtype": "F64", "shape": [[2]], "data_offsets": [0, 16]}})", {"nested"});
  refuse("{\"a\":" + std::string(100000, '['), {"`a`", "object"});
  refuse(R"({"tokens": 3})", {"`tokens`", "object"});
  const std::string t = R"({"dtype": "F64", "shape": [2], "data_offsets": [0, 16]})";
  refuse("{\"a\": " + t + ", \"a\": " + t + "}", {"`a` twice"});
  refuse("{\"a\\nb\": " + t + ", \"a\\nb\": " + t + "}", {"`a?b` twice"});
  refuse(R"({"a": {"dtype": "F64", "dtype": "F64", "shape": [2], "data_offsets": [0, 16]}})",
         {"`dtype` twice"});
  refuse(R"({"__metadata__": 3})", {"__metadata__"});
  refuse(R"({"__metadata__": {"k": 3}})", {"`k`", "string"});
}

TEST_CASE("badly described tensors are refused", "[data]") {
  const auto refuse = [](const std::string& description, const std::vector<std::string>& words) {
    INFO(description);
    std::vector<std::string> all = words;
    all.emplace_back("`x`");
    refuse_container(safetensors("{\"x\": " + description + "}", std::string(16, '\0')), all);
  };
  refuse(R"({"shape": [2], "data_offsets": [0, 16]})", {"dtype"});
  refuse(R"({"dtype": 3, "shape": [2], "data_offsets": [0, 16]})", {"dtype"});
  refuse(R"({"dtype": "F64", "data_offsets": [0, 16]})", {"shape"});
  for (const char* shape :
       {"2", "[-2]", "[2.0]", "[2e0]", "[true]", "[null]", "[\"2\"]", "{}", "[18446744073709551616]"})
    refuse(std::string(R"({"dtype": "F64", "data_offsets": [0, 16], "shape": )") + shape + "}", {"shape"});
  for (const char* offsets : {"16", "[0]", "[0, 16, 16]", "[-16, 0]", "[0, 16.0]", "{}", "[0, \"16\"]"})
    refuse(std::string(R"({"dtype": "F64", "shape": [2], "data_offsets": )") + offsets + "}",
           {"data_offsets"});
  refuse(R"({"dtype": "F64", "shape": [2], "data_offsets": [16, 0]})", {"16 to 0", "before"});
  refuse(R"({"dtype": "F64", "shape": [2], "data_offsets": [8, 24]})", {"8 to 24", "outside the 16 bytes"});
  refuse(R"({"dtype": "F64", "shape": [2], "data_offsets": [18446744073709551608, 18446744073709551615]})",
         {"outside"});
  refuse(R"({"dtype": "F64", "shape": [3], "data_offsets": [0, 16]})", {"16 bytes", "24", "[3]"});
  refuse(R"({"dtype": "F64", "shape": [], "data_offsets": [0, 16]})", {"16 bytes", "need 8"});
  refuse(R"({"dtype": "F64", "shape": [4294967296, 4294967296], "data_offsets": [0, 16]})", {"overflows"});
  refuse(R"({"dtype": "F64", "shape": [2305843009213693954], "data_offsets": [0, 16]})",
         {"overflows"});  // 16 mod 2^64
  refuse(R"({"dtype": "U8", "shape": [9223372036854775808, 2], "data_offsets": [0, 0]})", {"overflows"});
}

TEST_CASE("tensors that overlap or leave holes are refused", "[data]") {
  const auto file = [](const char* a, const char* b) {
    return safetensors(std::string(R"({"a": {"dtype": "U8", "shape": [8], "data_offsets": )") + a +
                           R"(}, "b": {"dtype": "U8", "shape": [8], "data_offsets": )" + b + "}}",
                       std::string(16, '\0'));
  };
  refuse_container(file("[0, 8]", "[0, 8]"), {"`b`", "overlaps"});
  refuse_container(file("[8, 16]", "[1, 9]"), {"0 to 1 belong to no tensor", "`b`"});
  refuse_container(file("[0, 8]", "[7, 15]"), {"`b`", "overlaps"});
  refuse_container(
      safetensors(R"({"a": {"dtype": "U8", "shape": [8], "data_offsets": [8, 16]}})", std::string(16, '\0')),
      {"0 to 8", "no tensor"});
  refuse_container(safetensors("{}", "x"), {"0 to 1", "no tensor"});
  refuse_bytes(file("[8, 16]", "[0, 8]"), {"no tensor `tokens`", "`a`, `b`"});  // in any order is fine
}

TEST_CASE("data sets with tensors missing or of the wrong type or rank are refused", "[data]") {
  const auto refuse = [](const std::vector<RawTensor>& tensors, const std::vector<std::string>& words) {
    refuse_bytes(safetensors(tensors), words);
  };
  refuse({}, {"no tensor `tokens`", "it has: no tensors"});
  refuse({good_labels}, {"no tensor `tokens`", "`labels`"});
  refuse({good_tokens}, {"no tensor `labels`", "`tokens`"});
  refuse({tensor("tokens", "I64", {2, 3, 1}, Ints(6)), good_labels},
         {"`tokens`", "I64", "F64, F32, F16 or BF16"});
  refuse({ragged_tokens, good_labels}, {"`tokens`", "[6, 1]", "offsets"});
  refuse({tensor("tokens", "F64", {2, 3, 1, 1}, Doubles(6)), good_labels}, {"`tokens`", "[2, 3, 1, 1]"});
  refuse({tensor("tokens", "F64", {}, Doubles(1)), good_labels}, {"`tokens`", "[]"});
  refuse({good_tokens, tensor("labels", "I64", {2, 1}, Ints{1, 1})}, {"`labels`", "[2, 1]", "[2]"});
  refuse({good_tokens, tensor("labels", "I64", {3}, Ints{1, 1, 1})}, {"`labels`", "[3]", "[2]"});
  refuse({good_tokens, tensor("labels", "BOOL", {2}, std::vector<std::int8_t>{1, 1})}, {"`labels`", "BOOL"});
  refuse({good_tokens, good_labels, tensor("decoder", "F64", {2}, Doubles(2))}, {"`decoder`", "[2]", "[1]"});
  refuse({good_tokens, good_labels, tensor("decoder", "I64", {1}, Ints(1))}, {"`decoder`", "I64"});
  refuse({good_tokens, good_labels, tensor("queries", "F64", {2}, Doubles(2))},
         {"`queries`", "[2]", "[2, 1]"});
  refuse({good_tokens, good_labels, tensor("queries", "I64", {2, 1, 1}, Ints(2))},
         {"`queries`", "[2, 1, 1]", "[2]"});
  refuse({good_tokens, good_labels, tensor("queries", "C64", {2, 1}, Doubles(2))}, {"`queries`", "C64"});
  refuse({good_tokens, good_labels, tensor("offsets", "I64", {3}, Ints{0, 3, 6})}, {"`tokens`", "[2, 3, 1]"});
}

TEST_CASE("values that mean nothing are refused with their place", "[data]") {
  const auto refuse = [](const std::vector<RawTensor>& tensors, const std::vector<std::string>& words) {
    refuse_bytes(safetensors(tensors), words);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  refuse({tensor("tokens", "F64", {2, 3, 1}, Doubles{1, 2, 3, 4, nan, 6}), good_labels},
         {"tokens: sample 1, token 1", "nan"});
  refuse({tensor("tokens", "F64", {2, 3, 1}, Doubles{1, 2, -inf, 4, 5, 6}), good_labels},
         {"tokens: sample 0, token 2", "-inf"});
  refuse(
      {tensor("tokens", "BF16", {2, 3, 1}, std::vector<std::uint16_t>{0, 0, 0, 0, 0x7f80, 0}), good_labels},
      {"tokens: sample 1, token 1", "inf"});
  refuse({tensor("tokens", "F16", {2, 3, 1}, std::vector<std::uint16_t>{0, 0x7c01, 0, 0, 0, 0}), good_labels},
         {"tokens: sample 0, token 1", "nan"});
  refuse({good_tokens, good_labels, tensor("decoder", "F64", {1}, Doubles{nan})}, {"decoder", "nan"});
  refuse({good_tokens, good_labels, tensor("queries", "F64", {2, 1}, Doubles{0, inf})},
         {"queries: sample 1", "inf"});
  for (const std::int64_t label :
       {std::int64_t{0}, std::int64_t{2}, std::int64_t{257}, std::int64_t{-257}, INT64_MIN})
    refuse({good_tokens, tensor("labels", "I64", {2}, Ints{1, label})},
           {"`labels`", "sample 1", std::to_string(label)});
  refuse({good_tokens, tensor("labels", "U8", {2}, std::vector<std::uint8_t>{1, 255})},
         {"`labels`", "sample 1", "255"});
  refuse({good_tokens, tensor("labels", "U64", {2}, std::vector<std::uint64_t>{UINT64_MAX, 1})},
         {"sample 0"});
  for (const double label : {0.0, 0.5, -1.0000000000000002, nan, inf})
    refuse({good_tokens, tensor("labels", "F64", {2}, Doubles{1, label})}, {"`labels`", "sample 1"});
  refuse({tensor("tokens", "F64", {0, 3, 1}, Doubles{}), tensor("labels", "I64", {0}, Ints{})},
         {"n_samples: 0"});
  refuse({tensor("tokens", "F64", {2, 0, 1}, Doubles{}), good_labels}, {"n_tokens: 0"});
  refuse({tensor("tokens", "F64", {2, 3, 0}, Doubles{}), good_labels}, {"dim: 0"});
  for (const std::int64_t index : {std::int64_t{-1}, std::int64_t{3}, INT64_MAX})
    refuse({good_tokens, good_labels, tensor("queries", "I64", {2}, Ints{0, index})},
           {"query_index: sample 1", std::to_string(index)});
  refuse({good_tokens, good_labels, tensor("queries", "U64", {2}, std::vector<std::uint64_t>{0, UINT64_MAX})},
         {"`queries`", "too large"});

  const Workplace place;
  place.write("bad", safetensors({tensor("tokens", "F64", {1, 1, 1}, Doubles{1e39}),
                                  tensor("labels", "I64", {1}, Ints{1})}));
  require_refused(place.path("bad"), {"`tokens`", "element 0", "1e+39", "overflows"},
                  [&] { load_dataset<float>(place.path("bad")); });
  CHECK(load_dataset<double>(place.path("bad")).view().tokens[0] == 1e39);
}

TEST_CASE("offsets that do not divide the rows are refused", "[data]") {
  const auto refuse = [](const Ints& offsets, const std::vector<std::string>& words) {
    refuse_bytes(
        safetensors({ragged_tokens, good_labels, tensor("offsets", "I64", {offsets.size()}, offsets)}),
        words);
  };
  refuse({0, 3, 7}, {"`offsets`", "ends with 7", "6"});
  refuse({0, 3, 5}, {"`offsets`", "ends with 5", "6"});
  refuse({0, 3, INT64_MAX}, {"`offsets`", "ends with"});
  refuse({0, 3, -6}, {"`offsets`", "ends with -6"});
  refuse({-1, 3, 6}, {"`offsets`", "begins with -1"});
  refuse({0, 6, 6}, {"offsets", "sample 1 has no tokens"});
  refuse({0, 7, 6}, {"offsets", "6 after 7"});
  refuse({0, INT64_MIN, 6}, {"offsets", "after 0"});
  refuse({0}, {"`offsets`", "ends with 0"});
  refuse({}, {"`offsets`", "[0]"});
  refuse({0, 2, 4, 6}, {"`labels`", "[2]", "[3]"});
  refuse_bytes(safetensors({ragged_tokens, good_labels, tensor("offsets", "F64", {3}, Doubles{0, 3, 6})}),
               {"`offsets`", "F64"});
  refuse_bytes(safetensors({ragged_tokens, good_labels, tensor("offsets", "I64", {3, 1}, Ints{0, 3, 6})}),
               {"`offsets`", "[3, 1]"});
}

TEST_CASE("weights that are missing, misshapen or not finite are refused", "[data]") {
  const Workplace place;
  const std::string path = place.path("w");
  const auto refuse = [&](const std::vector<RawTensor>& tensors, const std::vector<std::string>& words) {
    place.write("w", safetensors(tensors));
    require_refused(path, words, [&] { load_weights(path, 2); });
  };
  refuse({tensor("W", "F64", {2, 2}, Doubles(4)), tensor("b", "F64", {1}, Doubles(1))},
         {"`weights`", "`W`, `b`"});
  refuse({tensor("weights", "F64", {2, 3}, Doubles(6))}, {"[2, 3]", "[2, 2]"});
  refuse({tensor("weights", "F64", {4}, Doubles(4))}, {"[4]", "[2, 2]"});
  refuse({tensor("weights", "I64", {2, 2}, Ints(4))}, {"I64"});
  refuse({tensor("weights", "F64", {2, 2}, Doubles{0, 0, std::numeric_limits<double>::infinity(), 0})},
         {"row 1, column 0", "inf"});
  require_refused("stored_type", {"f8", "f64, f32, f16, bf16"}, [] { parse_stored_type("f8"); });
  require_refused("stored_type", {"F64"}, [] { parse_stored_type("F64"); });
}
