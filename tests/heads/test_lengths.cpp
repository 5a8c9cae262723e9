// Numbers of queries and keys, and head sizes, around multiples of lanes and tiles.

#include <utility>

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

const std::vector<std::size_t> lengths{1,  2,  3,  4,  5,  6,  7,  8,   9,   15,  16,  17,  23,  24, 25,
                                       31, 33, 63, 64, 65, 95, 97, 127, 129, 191, 192, 193, 257, 400};
const std::vector<std::size_t> dims{1, 3, 8, 16, 17, 64, 80, 128, 256};

// Every length once as that of queries and once as that of keys; head sizes in turn, smaller ones where both
// are long.
template <class T>
void check_pairs(std::size_t step, bool causal) {
  for (std::size_t k = 0; k < lengths.size(); ++k) {
    HeadsSetup setup;
    const std::size_t m = lengths[k], n = lengths[(k * step + 5) % lengths.size()],
                      n_dims = m * n > 6000 ? 5 : dims.size();
    setup.shape = {.n_heads = 2,
                   .n_key_heads = 1 + k % 2,
                   .n_queries = m,
                   .n_keys = n,
                   .dim = dims[(k + step) % n_dims],
                   .value_dim = dims[(2 * k + step) % n_dims]};
    if (m * n > 20000) setup.shape.n_heads = setup.shape.n_key_heads = 1;
    setup.causal = causal;
    setup.spread = 3.0;
    setup.seed = k + 100 * step;
    check<T>(setup);
  }
}

}  // namespace

TEST_CASE("Lengths and head sizes around lanes and tiles, float", "[heads]") {
  check_pairs<float>(7, false);
  check_pairs<float>(11, true);
}

TEST_CASE("Lengths and head sizes around lanes and tiles, double", "[heads]") {
  check_pairs<double>(8, false);
  check_pairs<double>(13, true);
}

TEST_CASE("Every head size with every other", "[heads]") {
  for (const std::size_t dim : dims)
    for (const std::size_t value_dim : dims) {
      HeadsSetup setup;
      setup.shape = {.n_queries = 5, .n_keys = 11, .dim = dim, .value_dim = value_dim};
      setup.seed = dim * 1000 + value_dim;
      check<float>(setup);
      check<double>(setup);
    }
}

TEST_CASE("One query beside many keys, one key beside many queries, none", "[heads]") {
  for (const std::size_t n : {1, 2, 64, 65, 1000, 3001}) {
    HeadsSetup setup;
    setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 1, .n_keys = n, .dim = 16, .value_dim = 8};
    check<float>(setup, {1, 3});
    check<double>(setup, {1, 3});
    std::swap(setup.shape.n_queries, setup.shape.n_keys);
    check<float>(setup, {1, 3});
    check<double>(setup, {1, 3});
  }
  // None of either
  for (const auto& [m, n] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 0}, {0, 0}}) {
    HeadsSetup none;
    none.shape = {.batch = 2, .n_heads = 2, .n_queries = m, .n_keys = n, .dim = 8};
    check<float>(none);
    check<double>(none);
  }
  // Offsets may leave an entry without queries or without keys.
  HeadsSetup setup;
  setup.shape = {.batch = 4, .dim = 8};
  setup.query_offsets = {0, 0, 3, 5, 5};
  setup.key_offsets = {0, 4, 4, 9, 9};
  check<float>(setup);
  check<double>(setup);
}

// Few rows take keys 128 at a time, where a block of many rows has fewer: copies and scores have room for
// them.
TEST_CASE("One query beside long keys that must be copied", "[heads]") {
  for (const std::size_t dim : {256, 1500}) {
    HeadsSetup setup;
    setup.shape = {.n_queries = 1, .n_keys = 300, .dim = dim};
    setup.order = Order::backwards;
    check<float>(setup);
    check<double>(setup);
  }
}

}  // namespace softstep::test
