// Damaged files: every one either loads as valid data or throws InvalidArgument. Under the sanitizers this
// also shows that nothing is read outside the file.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Whether it loads. Whatever loads is read to the end.
template <class Body>
bool loads(Body body) {
  try {
    body();
    return true;
  } catch (const InvalidArgument& error) {
    REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    return false;
  }
}

template <class T>
bool loads_as(const std::string& path) {
  return loads([&] {
    const Dataset<T> data = load_dataset<T>(path);
    const BatchView<T>& b = data.view();
    b.validate();
    double sum = 0;
    for (std::size_t i = 0; i < b.n_samples; ++i) {
      for (std::size_t k = 0; k < b.tokens_of(i) * b.dim; ++k) sum += static_cast<double>(b.sample(i)[k]);
      for (std::size_t k = 0; k < b.dim; ++k) sum += static_cast<double>(b.query(i)[k]);
    }
    REQUIRE_FALSE(std::isnan(sum));
  });
}

bool any_loads(const Workplace& place, const std::string& bytes) {
  std::filesystem::remove(place.path("f"));  // some file systems write truncated files to disk at once
  place.write("f", bytes);
  const std::string path = place.path("f");
  bool any = loads_as<double>(path);
  any |= loads_as<float>(path);
  any |= loads([&] { load_tensors(path); });
  any |= loads([&] { load_weights(path, 2); });
  any |= loads([&] { stored_type(path); });
  return any;
}

// Every kind of tensor in one small file: bfloat16 and integers that need conversion, doubles that do not.
std::string good_file(const Workplace& place, bool ragged) {
  DatasetParts<double> p;
  p.n_samples = 2;
  p.n_tokens = ragged ? 0 : 3;
  p.dim = 2;
  p.tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  p.labels = {1, -1};
  p.decoder = {1, -1};
  if (ragged)
    p.offsets = {0, 2, 6};
  else
    p.query_index = {2, 0};
  save_dataset(place.path("good"), make_dataset(p), ragged ? StoredType::bf16 : StoredType::f64);
  return place.read("good");
}

std::size_t header_end(const std::string& file) {
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), 8);
  return 8 + size;
}

}  // namespace

TEST_CASE("no truncated file loads", "[data]") {
  const Workplace place;
  for (const bool ragged : {false, true}) {
    const std::string good = good_file(place, ragged);
    REQUIRE(any_loads(place, good));
    for (std::size_t size = 0; size < good.size(); ++size)
      REQUIRE_FALSE(any_loads(place, good.substr(0, size)));
  }
}

TEST_CASE("flipping any bit of header, offsets or labels loads or is refused", "[data]") {
  const Workplace place;
  const std::string good = good_file(place, true);
  int loaded = 0, refused = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      ++(any_loads(place, bad) ? loaded : refused);
    }
  CHECK(loaded > 0);
  CHECK(refused > 8 * 200);
}

TEST_CASE("random damage loads or is refused", "[data]") {
  const Workplace place;
  std::mt19937 random(20240205);
  const auto below = [&](std::size_t n) { return random() % n; };
  const std::string good[] = {good_file(place, true), good_file(place, false)};
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good[round % 2];
    for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
      const std::size_t end = header_end(bad) < bad.size() ? header_end(bad) : bad.size(), at = below(end);
      switch (below(5)) {
        case 0:
          bad[at] = static_cast<char>(random());
          break;
        case 1:
          bad[at] = "0123456789-.,:[]{}\"eE "[below(22)];
          break;  // still nearly JSON
        case 2:
          bad.insert(at, 1, "0123456789[]{}\"-"[below(16)]);
          break;
        case 3:
          bad.erase(at, 1 + below(3));
          break;
        default:
          bad.insert(at, bad.substr(below(bad.size()), below(40)));
          break;
      }
      if (bad.size() < 8) bad.resize(8);
      if (below(2) == 0) {  // a header length that fits what follows, so that more of it is read
        const std::size_t brace = bad.rfind('}');
        const std::uint64_t size =
            brace == std::string::npos || brace < 8 ? below(bad.size() - 7) : brace - 7;
        std::memcpy(bad.data(), &size, 8);
      }
    }
    any_loads(place, bad);
  }
  SUCCEED("nothing but InvalidArgument was thrown");
}
