// Shards that are mapped hold one open descriptor each.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <iterator>

#include "softstep/large_data.h"
#include "softstep/mapped_files.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace fs = std::filesystem;

namespace {

long n_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

}  // namespace

TEST_CASE("a shard that is mapped holds one descriptor, however often it is mapped", "[data]") {
  const Workplace place;
  // 17 MB each.
  const GeneratedFiles made = generate_files({.n_samples = 1600, .n_tokens = 64, .dim = 64, .seed = 2},
                                             place.path("d.safetensors"), StoredType::f64, 3);
  const long before = n_descriptors();
  {
    const Dataset<double> data = load_dataset<double>(made.files.back());
    REQUIRE(mapped_file_at(data.view().sample(700)) == made.files[1]);
    CHECK(n_descriptors() == before + 3);
  }
  CHECK(n_descriptors() == before);
}
