// The samples of one of several ranks: each sample of a part is that sample of the whole batch, read by the
// accessors of both.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <vector>

#include "refused.h"
#include "softstep/batch.h"
#include "softstep/ranks.h"

using namespace softstep;
using softstep::test::require_refused;

namespace {

constexpr std::size_t dim = 2, n_samples = 5, n_queries = 9;

// Five samples, numbers that are all different; several queries for each, which lie in rows of three.
template <class T>
struct Whole {
  std::vector<T> tokens, queries, decoder = {T(1), T(-1)}, weights;
  std::vector<std::int8_t> labels = {1, -1, 1, 1, -1};
  std::vector<T> targets = {T(1), T(2), T(3), T(4), T(5)};
  std::vector<std::int64_t> offsets = {0, 2, 3, 7, 8, 10}, query_offsets = {0, 2, 3, 6, 8, 9};
  std::vector<std::int64_t> query_index = {0, 1, 0, 3, 0, 1, 0, 0, 1};
  BatchView<T> view;

  Whole(bool ragged, bool own_queries) {
    for (std::size_t k = 0; k < 10 * dim; ++k) tokens.push_back(T(k + 1));
    for (std::size_t k = 0; k < 3 * n_queries; ++k) queries.push_back(T(100 + k));
    for (std::size_t k = 0; k < n_queries; ++k) weights.push_back(T(0.1) * T(k + 1));
    view.tokens = tokens.data();
    view.n_samples = n_samples;
    view.n_tokens = 2;
    view.dim = dim;
    view.decoder = decoder.data();
    view.labels = labels.data();
    view.targets = targets.data();
    if (ragged) view.offsets = offsets.data();
    view.query_offsets = query_offsets;
    view.query_weights = weights;
    if (own_queries) {
      view.queries = queries.data();
      view.query_stride = 3;
    } else {
      view.query_index = query_index.data();
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("a part of a batch has the samples of the whole", "[data]", float, double) {
  for (const bool ragged : {false, true})
    for (const bool own_queries : {false, true}) {
      const Whole<TestType> whole(ragged, own_queries);
      const BatchView<TestType>& all = whole.view;
      for (std::size_t begin = 0; begin < n_samples; ++begin)
        for (std::size_t end = begin + 1; end <= n_samples; ++end) {
          CAPTURE(ragged, own_queries, begin, end);
          std::vector<std::int64_t> query_offsets = {7, 7};  // of a part before: nothing of it stays
          const BatchView<TestType> part = part_of(all, SampleRange{begin, end}, query_offsets);
          REQUIRE(part.n_samples == end - begin);
          const std::size_t first = all.first_query(begin);
          REQUIRE(part.total_queries() == all.first_query(end - 1) + all.queries_of(end - 1) - first);
          for (std::size_t i = 0; i < part.n_samples; ++i) {
            REQUIRE(part.sample(i) == all.sample(begin + i));
            REQUIRE(part.tokens_of(i) == all.tokens_of(begin + i));
            REQUIRE(part.labels[i] == all.labels[begin + i]);
            REQUIRE(part.targets[i] == all.targets[begin + i]);
            REQUIRE(part.first_query(i) == all.first_query(begin + i) - first);
            REQUIRE(part.queries_of(i) == all.queries_of(begin + i));
          }
          for (std::size_t q = 0; q < part.total_queries(); ++q) {
            REQUIRE(part.query_weights[q] == all.query_weights[first + q]);
            if (own_queries)
              REQUIRE(part.queries + q * part.query_stride == all.queries + (first + q) * all.query_stride);
            else
              REQUIRE(part.query_index[q] == all.query_index[first + q]);
          }
        }
      std::vector<std::int64_t> query_offsets;
      for (const SampleRange wrong : {SampleRange{2, 2}, SampleRange{3, 2}, SampleRange{4, 6}})
        require_refused("range", {"the batch has 5 samples"}, [&] { part_of(all, wrong, query_offsets); });
    }
}

TEST_CASE("shares of ranks follow each other", "[data]") {
  for (const std::size_t size : {1u, 2u, 3u, 7u}) {
    std::size_t end = 0;
    for (std::size_t rank = 0; rank < size; ++rank) {
      const SampleRange share = share_of_rank(7, rank, size);
      REQUIRE(share.begin == end);
      REQUIRE(share.end > share.begin);
      end = share.end;
    }
    REQUIRE(end == 7);
  }
  require_refused("ranks", {"8", "7 samples"}, [] { share_of_rank(7, 0, 8); });
  require_refused("rank", {"2", "there are 2"}, [] { share_of_rank(7, 2, 2); });
  require_refused("rank", {"0", "there are 0"}, [] { share_of_rank(7, 0, 0); });
}
