// Data sets, tensors and weights through files that are as they should be.

#include <algorithm>
#include <array>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "refused.h"
#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Whether the address lies in a mapping of the file, by the list that Linux keeps of this process.
bool lies_in_file(const void* address, const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  const auto where = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with(path)) continue;
    std::istringstream range(line);
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    range >> std::hex >> begin >> dash >> end;
    if (begin <= where && where < end) return true;
  }
  return false;
}

bool is_mapped(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.ends_with(path)) return true;
  return false;
}

// Every part of two batches, value by value.
template <class A, class B>
void require_same(const BatchView<A>& a, const BatchView<B>& b) {
  REQUIRE(a.n_samples == b.n_samples);
  REQUIRE(a.dim == b.dim);
  const auto same = [&](const A* x, const B* y) {
    for (std::size_t k = 0; k < a.dim; ++k) REQUIRE(static_cast<double>(x[k]) == static_cast<double>(y[k]));
  };
  REQUIRE((a.decoder == nullptr) == (b.decoder == nullptr));
  REQUIRE((a.offsets == nullptr) == (b.offsets == nullptr));
  if (a.decoder) same(a.decoder, b.decoder);
  for (std::size_t i = 0; i < a.n_samples; ++i) {
    REQUIRE(a.labels[i] == b.labels[i]);
    REQUIRE(a.tokens_of(i) == b.tokens_of(i));
    for (std::size_t t = 0; t < a.tokens_of(i); ++t)
      same(a.sample(i) + t * a.row_stride(), b.sample(i) + t * b.row_stride());
    same(a.query(i), b.query(i));
  }
}

// Multiples of 1/8 up to 16 in size: exact in every type.
Dataset<double> sample_data(bool ragged, int queries, bool decoder, std::size_t n_rows = 12) {
  DatasetParts<double> p;
  p.n_samples = 3;
  p.n_tokens = ragged ? 0 : 4;
  p.dim = 5;
  p.tokens.resize(n_rows * p.dim);
  for (std::size_t k = 0; k < p.tokens.size(); ++k)
    p.tokens[k] = static_cast<double>((k * 37) % 255) / 8 - 15;
  p.labels = {-1, 1, 1};
  if (ragged) p.offsets = {0, 1, 9, static_cast<std::int64_t>(n_rows)};
  if (decoder) p.decoder = {1, -2, 0.5, 0, 3};
  if (queries == 1) p.query_index = {0, 3, 1};
  if (queries == 2) p.queries = std::vector<double>(p.tokens.begin() + 3, p.tokens.begin() + 18);
  return make_dataset(p);
}

}  // namespace

TEST_CASE("data sets of every kind and type come back as they were", "[data]") {
  const Workplace place;
  const std::string path = place.path("data.safetensors");
  const Dataset<double> data = sample_data(GENERATE(false, true), GENERATE(0, 1, 2), GENERATE(false, true));
  for (const char* name : {"f64", "f32", "f16", "bf16"}) {
    INFO(name);
    const StoredType type = parse_stored_type(name);
    save_dataset(path, data, type);
    CHECK(stored_type(path) == type);
    CHECK(std::string(to_string(type)) == name);
    CHECK(place.contents() == std::vector<std::string>{"data.safetensors"});
    require_same(data.view(), load_dataset<double>(path).view());
    require_same(data.view(), load_dataset<float>(path).view());
    const std::string first = place.read("data.safetensors");
    save_dataset(path, load_dataset<double>(path), type);  // over the very file that is mapped
    CHECK(place.read("data.safetensors") == first);
    save_dataset(path, convert<float>(data), type);
    require_same(data.view(), load_dataset<float>(path).view());
  }
  save_dataset(path, data);  // as they are
  CHECK(stored_type(path) == StoredType::f64);
  save_dataset(path, convert<float>(data), parse_stored_type("working"));
  CHECK(stored_type(path) == StoredType::f32);
}

TEST_CASE("strided and overlapping views are written packed", "[data]") {
  const Workplace place;
  const std::vector<double> tokens = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<std::int8_t> labels = {1, -1};
  std::vector<std::int64_t> offsets = {1, 2, 3};
  BatchView<double> view;
  view.tokens = tokens.data();
  view.n_samples = 2;
  view.n_tokens = 2;
  view.dim = 2;
  view.token_stride = 3;
  view.sample_stride = 4;
  view.labels = labels.data();
  view.queries = tokens.data();
  view.query_stride = 5;
  if (GENERATE(false, true)) view.offsets = offsets.data();
  save_dataset(place.path("d"), Dataset<double>(view, nullptr), StoredType::f64);
  require_same(view, load_dataset<double>(place.path("d")).view());
}

TEST_CASE("numbers are rounded to the type of the file, the decoder is not", "[data]") {
  const Workplace place;
  DatasetParts<double> parts;
  parts.n_samples = parts.n_tokens = 1;
  parts.dim = 2;
  parts.tokens = {0.1, 1.0 / 3};
  parts.labels = {1};
  parts.decoder = {0.1, -0.1};
  save_dataset(place.path("d"), make_dataset(parts), StoredType::f16);
  const Dataset<double> back = load_dataset<double>(place.path("d"));
  CHECK(back.view().tokens[0] == 0x1.998p-4);
  CHECK(back.view().tokens[1] == 0x1.554p-2);
  CHECK(back.view().decoder[0] == 0.1);
}

TEMPLATE_TEST_CASE("tokens of the same type are used where a large file lies", "[data]", float, double) {
  const Workplace place;
  const std::string path = place.path("data.safetensors");
  // Larger than what is copied (core/data/files/mapped_file.h).
  const Dataset<double> data = sample_data(true, 2, true, (std::size_t{1} << 24) / sizeof(TestType) / 5 + 1);
  save_dataset(path, data, sizeof(TestType) == 4 ? StoredType::f32 : StoredType::f64);
  {
    Dataset<TestType> kept;
    {
      const Dataset<TestType> loaded = load_dataset<TestType>(path);
      kept = loaded;
    }
    CHECK(lies_in_file(kept.view().tokens, path));
    CHECK(lies_in_file(kept.view().queries, path));
    // Indices are looked at once, and must stay as they were.
    CHECK_FALSE(lies_in_file(kept.view().offsets, path));
    CHECK(std::equal(data.view().tokens, data.view().tokens + 5 * data.view().total_tokens(),
                     kept.view().tokens, [](double a, TestType b) { return a == static_cast<double>(b); }));
    CHECK(kept.view().decoder[4] == TestType(3));
  }
  CHECK_FALSE(is_mapped(path));
  using Other = std::conditional_t<sizeof(TestType) == 4, double, float>;
  const Dataset<Other> converted = load_dataset<Other>(path);
  CHECK_FALSE(lies_in_file(converted.view().tokens, path));
}

TEST_CASE("misaligned tensors are converted, never misread", "[data]") {
  const Workplace place;
  const std::vector<double> tokens = {1, 2, 3, 4, 5, 6, 7, 8}, decoder = {9, 10};
  const std::vector<std::int64_t> queries = {1, 0};
  const std::vector<std::int8_t> labels = {1, -1};
  const std::size_t padding = GENERATE(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u);
  const std::string good = safetensors({{"tokens", "F64", {2, 2, 2}, bytes_of(tokens)},
                                        {"decoder", "F64", {2}, bytes_of(decoder)},
                                        {"queries", "I64", {2}, bytes_of(queries)},
                                        {"labels", "I8", {2}, bytes_of(labels)}});
  std::uint64_t size = 0;
  std::memcpy(&size, good.data(), 8);
  const std::string header = good.substr(8, size) + std::string(padding, ' ');
  place.write("d", safetensors(header, good.substr(8 + size)));
  const Dataset<double> data = load_dataset<double>(place.path("d"));
  CHECK(std::equal(tokens.begin(), tokens.end(), data.view().tokens));
  CHECK(std::equal(queries.begin(), queries.end(), data.view().query_index));
  CHECK(reinterpret_cast<std::uintptr_t>(data.view().tokens) % alignof(double) == 0);
  // Used as they lie, one behind the other, only where they are aligned.
  const auto* const begin = reinterpret_cast<const char*>(data.view().tokens);
  const bool one_behind_the_other = reinterpret_cast<const char*>(data.view().decoder) == begin + 64;
  CHECK(one_behind_the_other == (padding == 0));
  CHECK(load_tensors(place.path("d"))[1].values == tokens);
}

TEST_CASE("labels, offsets and query indices of every sensible type are read", "[data]") {
  const Workplace place;
  const auto cast = [](const std::vector<int>& values, const std::string& dtype) {
    const auto to = [&](auto zero) {
      return bytes_of(std::vector<decltype(zero)>(values.begin(), values.end()));
    };
    if (dtype == "I8") return to(std::int8_t{});
    if (dtype == "U8") return to(std::uint8_t{});
    if (dtype == "I16") return to(std::int16_t{});
    if (dtype == "U16") return to(std::uint16_t{});
    if (dtype == "I32") return to(std::int32_t{});
    if (dtype == "U32") return to(std::uint32_t{});
    if (dtype == "I64") return to(std::int64_t{});
    if (dtype == "U64") return to(std::uint64_t{});
    if (dtype == "F32") return to(float{});
    return to(double{});
  };
  const std::string tokens = bytes_of(std::vector<double>{1, 2, 3, 4, 5, 6});
  for (const std::string dtype : {"I8", "I16", "I32", "I64", "F32", "F64", "U8", "U16", "U32", "U64"}) {
    INFO(dtype);
    const bool is_unsigned = dtype[0] == 'U';
    const std::vector<int> labels = {1, is_unsigned ? 1 : -1};
    std::vector<RawTensor> tensors = {{"tokens", "F64", {3, 2}, tokens},
                                      {"labels", dtype, {2}, cast(labels, dtype)}};
    const std::string index_type = dtype[0] == 'F' ? "I32" : dtype;
    tensors.push_back({"offsets", index_type, {3}, cast({0, 1, 3}, index_type)});
    tensors.push_back({"queries", index_type, {2}, cast({0, 1}, index_type)});
    place.write("d", safetensors(tensors));
    const Dataset<double> data = load_dataset<double>(place.path("d"));
    CHECK(data.view().labels[1] == labels[1]);
    CHECK(data.view().tokens_of(1) == 2);
    CHECK(data.view().query(1)[0] == 5.0);
  }
}

TEST_CASE("a file is exactly what the reference implementation of the format writes", "[data]") {
  const Workplace place;
  save_weights(place.path("w"), {1, 2, 3, -0.5}, 2);
  std::string header = R"({"weights":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(place.read("w") == safetensors(header, bytes_of(std::vector<double>{1, 2, 3, -0.5})));

  // Wide types first, then by name; metadata before all.
  save_tensors(place.path("t"),
               {{"b", {1}, {2}, StoredType::f32},
                {"z\"\n", {}, {1}, StoredType::f64},
                {"a", {1, 1}, {3}, StoredType::f32},
                {"h", {2}, {1, 1}, StoredType::f16},
                {"e", {0, 7}, {}, StoredType::f64}},
               {{"k", "v\\"}, {"format", "x"}});
  header = R"({"__metadata__":{"k":"v\\","format":"x"},)"
           R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[0,0]},)"
           R"("z\"\n":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
           R"("a":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},)"
           R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},)"
           R"("h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(place.read("t") ==
        safetensors(header, bytes_of(std::vector<double>{1}) + bytes_of(std::vector<float>{3, 2}) +
                                std::string("\0\x3c\0\x3c", 4)));
}

TEST_CASE("data begin at a multiple of eight bytes, however long the header", "[data]") {
  const Workplace place;
  for (std::size_t length = 1; length <= 16; ++length) {
    save_tensors(place.path("t"), {{std::string(length, 'n'), {1}, {2.5}, StoredType::f64}});
    CHECK(place.read("t").size() % 8 == 0);
  }
}

TEST_CASE("named tensors and metadata come back, integers are passed over", "[data]") {
  const Workplace place;
  const double nan = std::nan("");
  const std::vector<NamedTensor> tensors = {{"a", {2, 1}, {1.5, -2}, StoredType::f64},
                                            {"b", {}, {0.1}, StoredType::f64},
                                            {"c", {1}, {0.5}, StoredType::bf16},
                                            {"d", {1}, {nan}, StoredType::f32}};
  save_tensors(place.path("t"), tensors, {{"zeta", "1"}, {"alpha", "ä"}});
  std::vector<std::pair<std::string, std::string>> metadata = {{"left", "over"}};
  const std::vector<NamedTensor> back = load_tensors(place.path("t"), &metadata);
  REQUIRE(back.size() == 4);
  for (std::size_t k = 0; k < 4; ++k) {
    CHECK(back[k].name == tensors[k].name);
    CHECK(back[k].shape == tensors[k].shape);
    CHECK(back[k].type == tensors[k].type);
    if (k < 3) CHECK(back[k].values == tensors[k].values);
  }
  CHECK(std::isnan(back[3].values[0]));
  CHECK(metadata == std::vector<std::pair<std::string, std::string>>{{"alpha", "ä"}, {"zeta", "1"}});

  place.write(
      "i", safetensors({{"n", "I64", {1}, std::string(8, '\1')}, {"x", "F32", {1}, std::string(4, '\0')}}));
  CHECK(load_tensors(place.path("i")).size() == 1);
  save_tensors(place.path("none"), {});
  CHECK(load_tensors(place.path("none"), &metadata).empty());
  CHECK(metadata.empty());
}

TEST_CASE("weights come back in every type", "[data]") {
  const Workplace place;
  const std::vector<double> weights = {1, 0.5, -2, 3};
  for (const StoredType type : {StoredType::f64, StoredType::f32, StoredType::f16, StoredType::bf16}) {
    save_weights(place.path("w"), weights, 2, type);
    CHECK(load_weights(place.path("w"), 2) == weights);
  }
}
