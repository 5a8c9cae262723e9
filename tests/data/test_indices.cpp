// Indices of data files: those of mapped files stay as they were checked, and those of unknown types are
// refused.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <vector>

#include "refused.h"
#include "softstep/dataset.h"
#include "softstep/mapped_files.h"
#include "softstep/multiclass.h"
#include "softstep/ranks.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Ints = std::vector<std::int64_t>;

// 20 MB of ragged tokens, with `queries` and `query_offsets`: above the size that is copied whole.
std::string large_ragged(const Ints& offsets, const Ints& queries, const Ints& query_offsets) {
  constexpr std::size_t dim = 50;
  const auto n = static_cast<std::uint64_t>(offsets.size() - 1);
  const auto n_rows = static_cast<std::uint64_t>(offsets.back());
  const std::vector<double> tokens(n_rows * dim, 0.5);
  const std::vector<std::int8_t> labels(n, 1);
  return safetensors({{"offsets", "I64", {n + 1}, bytes_of(offsets)},
                      {"query_offsets", "I64", {n + 1}, bytes_of(query_offsets)},
                      {"queries", "I64", {queries.size()}, bytes_of(queries)},
                      {"tokens", "F64", {n_rows, dim}, bytes_of(tokens)},
                      {"labels", "I8", {n}, bytes_of(labels)}});
}

// As another process does it, in place; with the older time, so that other tests find no changed file.
void overwrite(const std::string& path, std::size_t at, const std::string& bytes) {
  const auto time = std::filesystem::last_write_time(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  REQUIRE(file.good());
  std::filesystem::last_write_time(path, time);
}

}  // namespace

TEST_CASE("indices of a mapped file stay as they were checked when the file is written to", "[data]") {
  constexpr std::size_t n = 500, per_sample = 100;
  Ints offsets, queries, query_offsets;
  for (std::size_t i = 0; i <= n; ++i) {
    offsets.push_back(static_cast<std::int64_t>(i * per_sample));
    query_offsets.push_back(static_cast<std::int64_t>(2 * i));
  }
  for (std::size_t q = 0; q < 2 * n; ++q) queries.push_back(static_cast<std::int64_t>(q % per_sample));
  const Workplace place;
  const std::string bytes = large_ragged(offsets, queries, query_offsets);
  place.write("data", bytes);
  const std::string path = place.path("data");

  const Dataset<double> data = load_dataset<double>(path);
  const BatchView<double>& view = data.view();
  REQUIRE(mapped_file_at(view.tokens) != nullptr);
  const std::size_t from = bytes.find(bytes_of(offsets));
  const std::string harm = bytes_of(Ints(offsets.size() + query_offsets.size() + queries.size(), 1LL << 40));
  overwrite(path, from, harm);
  CHECK(std::equal(offsets.begin(), offsets.end(), view.offsets));
  CHECK(std::equal(query_offsets.begin(), query_offsets.end(), view.query_offsets.begin()));
  CHECK(std::equal(queries.begin(), queries.end(), view.query_index));

  // The same of a part.
  place.write("part", bytes);
  const Dataset<double> part = load_dataset_part<double>(place.path("part"), 1, 2);
  overwrite(place.path("part"), from, harm);
  CHECK(std::equal(offsets.begin(), offsets.begin() + n / 2 + 1, part.view().offsets));
  CHECK(std::equal(queries.begin() + n, queries.end(), part.view().query_index));
}

TEST_CASE("a type that is unknown is refused before room is made for its elements", "[data]") {
  constexpr std::uint64_t many = std::uint64_t{1} << 62;
  const RawTensor one_row = {"tokens", "F64", {1, 1}, bytes_of(std::vector<double>{1.0})};
  const RawTensor no_rows = {"tokens", "F64", {many, 0, 1}, ""};
  const RawTensor labels = {"labels", "X9", {many}, ""};
  const RawTensor no_features = {"features", "F64", {many, 0}, ""};
  const Workplace place;
  const std::string path = place.path("bad");
  place.write("bad", safetensors({one_row, {"offsets", "X9", {many}, ""}}));
  require_refused(path, {"`offsets`", "`X9`", "need an integer type"}, [&] { load_dataset<double>(path); });
  place.write("bad", safetensors({no_rows, labels}));
  require_refused(path, {"`labels`", "`X9`", "need an integer or floating-point type"},
                  [&] { load_dataset<float>(path); });
  place.write("bad", safetensors({{"selected", "X9", {many}, ""}}));
  require_refused(path, {"`selected`", "`X9`", "need an integer type"}, [&] { load_selected(path); });
  place.write("bad", safetensors({no_features, {"classes", "X9", {many}, ""}}));
  require_refused(path, {"`classes`", "`X9`", "need an integer type"}, [&] { load_multiclass_data(path); });
}
