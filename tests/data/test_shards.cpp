// Data sets in shards with an index, written and read; what is wrong with an index; how much of a file is
// resident.

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "data/refused.h"
#include "softstep/files.h"
#include "softstep/large_data.h"
#include "softstep/mapped_files.h"
#include "support/temporary_file.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

template <class T>
bool same(const BatchView<T>& a, const BatchView<T>& b) {
  if (a.n_samples != b.n_samples || a.dim != b.dim || a.total_tokens() != b.total_tokens()) return false;
  for (std::size_t i = 0; i < a.n_samples; ++i) {
    if (a.tokens_of(i) != b.tokens_of(i) || a.labels[i] != b.labels[i]) return false;
    if (std::memcmp(a.sample(i), b.sample(i), a.tokens_of(i) * a.dim * sizeof(T)) != 0) return false;
    if (std::memcmp(a.query(i), b.query(i), a.dim * sizeof(T)) != 0) return false;
  }
  return (a.decoder == nullptr) == (b.decoder == nullptr) &&
         (a.decoder == nullptr || std::memcmp(a.decoder, b.decoder, a.dim * sizeof(T)) == 0);
}

GeneratorOptions settings(const std::string& generator) {
  GeneratorOptions options{.generator = generator, .n_samples = 7, .n_tokens = 3, .dim = 22, .seed = 5};
  return options;
}

// The message of a file that is refused, or nothing.
std::string refusal(const std::string& path) {
  try {
    load_dataset<double>(path);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return {};
}

// Kilobytes that are resident of the maps of files whose name holds `name`.
std::size_t resident_kb(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool wanted = false;
  std::size_t sum = 0;
  while (std::getline(maps, line)) {
    if (line.find('-') != std::string::npos && line.find(" r") != std::string::npos)
      wanted = line.find(name) != std::string::npos;
    std::istringstream words(line);
    std::string key;
    std::size_t kb = 0;
    if (wanted && words >> key >> kb && key == "Rss:") sum += kb;
  }
  return sum;
}

}  // namespace

TEST_CASE("a data set written while it is drawn has the bytes of one that was held in memory", "[data]") {
  const Workplace place;
  for (const GeneratorInfo& info : generators())
    for (const StoredType type : {StoredType::f64, StoredType::f32, StoredType::bf16}) {
      const GeneratorOptions options = settings(info.name);
      const GeneratedFiles made = generate_files(options, place.path("a"), type);
      save_dataset(place.path("b"), generate(options), type);
      INFO(info.name);
      CHECK(made.files == std::vector<std::string>{place.path("a")});
      CHECK(place.read("a") == place.read("b"));
    }
}

TEST_CASE("samples that overflow are refused when they are written as when they are held", "[data]") {
  const Workplace place;
  const std::string path = place.path("data.safetensors");
  for (const char* generator : {"signal_noise", "separable"}) {
    GeneratorOptions options = settings(generator);
    options.noise = 1e308;  // times a normal number of 1.8 or more: beyond the largest double
    require_refused("tokens", {"sample"}, [&] { generate(options); });
    for (const std::size_t n_shards : {0, 2})
      require_refused("tokens", {"sample"},
                      [&] { generate_files(options, path, StoredType::f64, n_shards); });
  }
  CHECK(place.contents().empty());
}

TEST_CASE("shards are read as the file that they are", "[data]") {
  const Workplace place;
  for (const GeneratorInfo& info : generators()) {
    const GeneratorOptions options = settings(info.name);
    const Dataset<double> whole = generate(options);
    for (const std::size_t n_shards : {1, 2}) {
      const GeneratedFiles made =
          generate_files(options, place.path("data.safetensors"), StoredType::f64, n_shards);
      REQUIRE(made.files.size() == n_shards + 1);
      REQUIRE(made.files.back().ends_with("data.safetensors.index.json"));
      INFO(info.name << ", shards " << n_shards);
      CHECK(same(load_dataset<double>(made.files.back()).view(), whole.view()));
      CHECK(same(load_dataset<float>(made.files.back()).view(), convert<float>(whole).view()));
    }
  }
  CHECK_THROWS_AS(generate_files(settings("planar"), place.path("data.safetensors"), StoredType::f64, 3),
                  InvalidArgument);  // of two samples
  CHECK_THROWS_AS(generate_files(settings("planar"), place.path("data"), StoredType::f64, 1),
                  InvalidArgument);
}

TEST_CASE("ragged shards of others, and tensors that are whole in one of them", "[data]") {
  const Workplace place;
  std::vector<double> tokens(9 * 2);
  for (std::size_t k = 0; k < tokens.size(); ++k) tokens[k] = 0.25 * static_cast<double>(k) - 1.0;
  const auto part = [&](std::size_t from, std::size_t to) {
    return NamedTensor{
        "",
        {to - from, 2},
        {tokens.begin() + 2 * static_cast<long>(from), tokens.begin() + 2 * static_cast<long>(to)}};
  };
  const auto named = [](NamedTensor tensor, const char* name) {
    tensor.name = name;
    return tensor;
  };
  DatasetParts<double> parts{
      .n_samples = 3, .dim = 2, .tokens = tokens, .offsets = {0, 4, 5, 9}, .labels = {1, -1, 1}};
  parts.decoder = {1.0, -1.0};
  const Dataset<double> whole = make_dataset(parts);
  save_dataset(place.path("rest.safetensors"), whole);  // its own `tokens` are not in the index
  save_tensors(place.path("x-1.safetensors"), {named(part(0, 2), "tokens.1")});
  save_tensors(place.path("x-2.safetensors"), {named(part(2, 6), "tokens.2"), named(part(6, 9), "tokens.3")});
  write_file(place.path("x.json"), R"({"metadata": {"total_size": 1, "more": [{"a": null}]}, "weight_map": {
      "tokens.3": "x-2.safetensors", "tokens.1": "x-1.safetensors", "tokens.2": "x-2.safetensors",
      "labels": "rest.safetensors", "offsets": "rest.safetensors", "decoder": "rest.safetensors"}})");
  CHECK(same(load_dataset<double>(place.path("x.json")).view(), whole.view()));
  CHECK(same(load_dataset<float>(place.path("x.json")).view(), convert<float>(whole).view()));
}

TEST_CASE("an index that is wrong is refused, and no name leads out of its folder", "[data]") {
  const Workplace place;
  fs::create_directory(place.path("in"));
  fs::create_directory(place.path("in/sub"));
  const GeneratedFiles made =
      generate_files(settings("signal_noise"), place.path("in/d.safetensors"), StoredType::f64, 2);
  const std::string first = "d-00001-of-00002.safetensors", second = "d-00002-of-00002.safetensors";
  for (const char* outside : {"out.safetensors", "in/sub/d.safetensors"})
    fs::copy_file(place.path("in/" + first), place.path(outside));
  fs::create_symlink(place.path("out.safetensors"), place.path("in/link.safetensors"));
  save_tensors(place.path("in/f32.safetensors"),
               {{"tokens.2", {3, 3, 22}, std::vector<double>(198), StoredType::f32}});
  save_tensors(place.path("in/wide.safetensors"), {{"tokens.2", {3, 3, 21}, std::vector<double>(189)}});
  save_tensors(place.path("in/third.safetensors"), {{"tokens.3", {3, 3, 22}, std::vector<double>(198)}});
  save_tensors(place.path("in/tokens.safetensors"), {{"tokens", {3, 3, 22}, std::vector<double>(198)}});

  const auto index = [&](const std::string& text) {
    write_file(place.path("in/i.json"), text);
    return refusal(place.path("in/i.json"));
  };
  const auto with = [&](const std::string& more, const std::string& file_of_first) {
    return index(R"({"weight_map": {"tokens.1": ")" + file_of_first + R"(", "labels": ")" + second +
                 R"(", "decoder": ")" + second + "\"" + more + "}}");
  };
  const auto has = [](const std::string& message, const char* words) {
    INFO(message);
    return message.find(words) != std::string::npos && message.find('\n') == std::string::npos;
  };
  const std::string two = R"(, "tokens.2": ")";
  CHECK(with(two + second + "\"", first).empty());  // the good one
  CHECK(has(with("", "../out.safetensors"), "not in the folder"));
  CHECK(has(with("", place.path("out.safetensors")), "not in the folder"));
  CHECK(has(with("", "sub/d.safetensors"), "not in the folder"));
  CHECK(has(with("", "sub\\\\d.safetensors"), "not in the folder"));
  CHECK(has(with("", ".."), "no file name"));
  CHECK(has(with("", ""), "no file name"));
  CHECK(has(with("", "a\\nb.safetensors"), "control character"));
  CHECK(has(with("", "i.json"), "no safetensors file by its name"));
  CHECK(has(with("", "link.safetensors"), "symbolic link"));
  CHECK(has(with("", "none.safetensors"), "cannot be read"));
  CHECK(has(with("", second), "has it not"));
  CHECK(has(with(R"(, "tokens.3": "third.safetensors")", first), "no tensor `tokens.2`"));
  CHECK(has(with(two + "f32.safetensors\"", first), "is F32"));
  CHECK(has(with(two + "wide.safetensors\"", first), "has shape"));
  CHECK(has(with(R"(, "tokens": "tokens.safetensors")", first), "whole and in parts"));
  CHECK(has(with(R"(, "labels": "x.safetensors")", first), "twice"));
  CHECK(has(with(R"(, "other": 3)", first), "no file name for tensor"));
  CHECK(has(with(R"(, "other": {})", first), "no file name for tensor"));
  CHECK(has(with(R"(, "other": [])", first), "no file name for tensor"));
  CHECK(has(index(""), "is empty"));
  CHECK(has(index("[]"), "is no JSON object"));
  CHECK(has(index("7"), "is no JSON object"));
  CHECK(has(index("{}"), "no `weight_map`"));
  CHECK(has(index(R"({"weight_map": []})"), "no JSON object"));
  CHECK(has(index(R"({"weight_map": {}})"), "no tensors"));
  CHECK(has(index(R"({"weight_map": {}, "weight_map": {}})"), "`weight_map` twice"));
  CHECK(has(index(R"({"weight_map": {"a": )"), "is not JSON"));
  CHECK(has(index(std::string("{\0}", 3)), "NUL"));
  CHECK(has(index("{\"metadata\": " + std::string(100000, '[')), "nested too deeply"));
}

TEST_CASE("of a file that is read within a bound few pages are resident, with the same bits", "[data]") {
  const Workplace place;
  const GeneratorOptions options{.n_samples = 1500, .n_tokens = 64, .dim = 64, .seed = 2};  // 49 MB
  const GeneratedFiles one = generate_files(options, place.path("one.safetensors"));
  // 24 MB each, so that both are mapped, one behind the other.
  const GeneratedFiles two = generate_files(options, place.path("two.safetensors"), StoredType::f64, 2);
  const Dataset<double> all = load_dataset<double>(one.files.back());
  const TokenScores expected = score_tokens(all.view());
  for (const GeneratedFiles& files : {one, two}) {
    const std::string name = files.files.size() == 1 ? "one.safetensors" : "two-0000";
    const Dataset<double> data = load_dataset<double>(files.files.back(), {.resident_bytes = 4 << 20});
    CHECK(mapped_file_at(data.view().sample(700)) != nullptr);
    CHECK(mapped_file_at(data.view().sample(1400)) != nullptr);
    const std::size_t others = name == "one.safetensors" ? resident_kb(name) : 0;  // of `all`
    const TokenScores scores = score_tokens(data.view());
    CHECK(scores.gaps == expected.gaps);
    CHECK(same(data.view(), all.view()));  // which reads without asking
    INFO(name);
    CHECK(resident_kb(name) > 40000 + others);
    // A pass that asks lets go of everything it has been through, whoever brought it in.
    data.view().validate();
    CHECK(resident_kb(name) <= 4096 + others);
  }
}

TEST_CASE("bounds that cannot be kept are refused", "[data]") {
  const Workplace place;
  const GeneratorOptions options{.n_samples = 1500, .n_tokens = 64, .dim = 64, .seed = 2};
  generate_files(options, place.path("d.safetensors"), StoredType::f32);
  CHECK_THROWS_AS(load_dataset<double>(place.path("d.safetensors"), {.resident_bytes = 4 << 20}),
                  InvalidArgument);
  CHECK_THROWS_AS(load_dataset<float>(place.path("d.safetensors"), {.resident_bytes = 1000}),
                  InvalidArgument);
  CHECK(load_dataset<float>(place.path("d.safetensors"), {.resident_bytes = 4 << 20}).view().n_samples ==
        1500);
}
