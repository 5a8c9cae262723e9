// Several queries a sample: what a batch says of them, what it refuses, and data sets and files of them.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "refused.h"
#include "softstep/dataset.h"
#include "support/batches.h"
#include "support/temporary_file.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// As make_dataset takes it, three samples of three tokens of dimension 2.
template <class T>
DatasetParts<T> three() {
  DatasetParts<T> parts;
  parts.n_samples = 3;
  parts.n_tokens = 3;
  parts.dim = 2;
  for (int k = 0; k < 18; ++k) parts.tokens.push_back(static_cast<T>(k));
  parts.labels = {1, -1, 1};
  parts.decoder = {T(1), T(2)};
  return parts;
}

template <class T>
std::vector<DatasetParts<T>> several() {
  std::vector<DatasetParts<T>> out(5, three<T>());
  out[0].all_tokens_are_queries = true;
  out[1].n_queries = 2;
  out[1].query_index = {0, 1, 2, 2, 1, 0};
  out[1].query_weights = {T(0.5), T(0.25)};
  out[2].query_offsets = {0, 1, 4, 6};
  out[2].query_index = {2, 0, 1, 2, 1, 1};
  out[2].query_weights = {T(1), T(2), T(3), T(4), T(5), T(6)};
  out[3].n_queries = 2;
  for (int k = 0; k < 12; ++k) out[3].queries.push_back(static_cast<T>(k * k));
  out[4].offsets = {0, 4, 5, 9};
  out[4].n_tokens = 0;
  out[4].all_tokens_are_queries = true;
  return out;
}

template <class A, class B>
void same_queries(const BatchView<A>& a, const BatchView<B>& b) {
  REQUIRE(a.n_samples == b.n_samples);
  REQUIRE(a.total_queries() == b.total_queries());
  for (std::size_t i = 0; i < a.n_samples; ++i) {
    REQUIRE(a.queries_of(i) == b.queries_of(i));
    for (std::size_t q = 0; q < a.queries_of(i); ++q) {
      REQUIRE(a.query_weight(i, q) == b.query_weight(i, q));
      for (std::size_t j = 0; j < a.dim; ++j)
        REQUIRE(static_cast<double>(a.query(i, q)[j]) == static_cast<double>(b.query(i, q)[j]));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a batch says which queries its samples have", "[data]", float, double) {
  const auto parts = several<TestType>();
  const Dataset<TestType> all = make_dataset(parts[0]), list = make_dataset(parts[2]),
                          vectors = make_dataset(parts[3]);
  CHECK(all.view().total_queries() == 9);
  CHECK_FALSE(all.view().has_single_queries());
  CHECK(all.view().query(1, 2) == all.view().sample(1) + 4);
  CHECK(all.view().query_weight(1, 2) == 1.0 / 3.0);
  CHECK(list.view().queries_of(1) == 3);
  CHECK(list.view().first_query(2) == 4);
  CHECK(list.view().query_token(1, 1) == 1);
  CHECK(list.view().query_weight(2, 1) == 6.0);
  CHECK(vectors.view().query(2, 1)[0] == TestType(100));
  const Dataset<TestType> single = make_dataset(three<TestType>());
  CHECK(single.view().has_single_queries());
  CHECK(single.view().total_queries() == 3);
}

TEMPLATE_TEST_CASE("several queries go through conversions and files", "[data]", float, double) {
  using Other = std::conditional_t<std::is_same_v<TestType, float>, double, float>;
  const TemporaryFile file("softstep-queries");
  for (const DatasetParts<TestType>& parts : several<TestType>()) {
    const Dataset<TestType> data = make_dataset(parts);
    same_queries(data.view(), convert<Other>(data).view());
    save_dataset(file.path, data);
    const Dataset<TestType> read = load_dataset<TestType>(file.path);
    same_queries(data.view(), read.view());
    same_queries(data.view(), load_dataset<Other>(file.path).view());
    save_dataset(file.path, read);
    same_queries(data.view(), load_dataset<TestType>(file.path).view());
    save_dataset(file.path, data, StoredType::f16);  // small whole numbers, which it holds
    const HalfDataset halves = load_half_dataset(file.path);
    REQUIRE(halves.view().rest.total_queries() == data.view().total_queries());
    for (std::size_t i = 0; i < 3; ++i)
      REQUIRE(halves.view().rest.query_weight(i) == data.view().query_weight(i));
  }
}

TEMPLATE_TEST_CASE("queries and weights that do not fit are refused by name", "[data]", float, double) {
  using T = TestType;
  const Dataset<T> data = make_dataset(three<T>());
  const std::vector<std::int64_t> index{0, 1, 2, 0, 1, 2};
  const std::vector<T> queries(12, T(1));
  const auto refused = [&](const char* argument, const std::vector<std::string>& words, auto spoil) {
    BatchView<T> view = data.view();
    spoil(view);
    require_refused(argument, words, [&] { view.validate(); });
  };
  refused("n_queries", {"0", "1"}, [](auto& v) { v.n_queries = 0; });
  refused("n_queries", {"query_index"}, [](auto& v) { v.n_queries = 2; });
  refused("n_queries", {"overflow"}, [&](auto& v) {
    v.n_queries = std::numeric_limits<std::size_t>::max() / 2;
    v.query_index = index.data();
  });
  refused("all_tokens_are_queries", {"query_index"}, [&](auto& v) {
    v.all_tokens_are_queries = true;
    v.query_index = index.data();
  });
  refused("all_tokens_are_queries", {"n_queries"}, [&](auto& v) {
    v.all_tokens_are_queries = true;
    v.n_queries = 2;
  });
  const auto with_offsets = [&](const std::vector<std::int64_t>& offsets) {
    return [&](auto& v) {
      v.query_index = index.data();
      v.query_offsets = offsets;
    };
  };
  refused("query_offsets", {"3 entries", "4"}, with_offsets({0, 3, 6}));
  refused("query_offsets", {"entry 0", "1"}, with_offsets({1, 3, 4, 6}));
  refused("query_offsets", {"sample 1", "no queries"}, with_offsets({0, 3, 3, 6}));  // an empty list
  refused("query_offsets", {"sample 1", "no queries"}, with_offsets({0, 3, 2, 6}));
  refused("query_offsets", {"queries"}, [&](auto& v) {
    static const std::vector<std::int64_t> offsets{0, 2, 4, 6};
    v.query_offsets = offsets;
  });
  const std::vector<std::int64_t> offsets{0, 2, 4, 6};
  refused("n_queries", {"2", "query_offsets"}, [&](auto& v) {
    v.query_index = index.data();
    v.query_offsets = offsets;
    v.n_queries = 2;
  });
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{3}}) {
    const std::vector<std::int64_t> out_of_range{0, 1, 2, bad, 1, 2};
    refused("query_index", {"sample 1, query 1", std::to_string(bad), "0 to 2"}, [&](auto& v) {
      v.query_index = out_of_range.data();
      v.n_queries = 2;
    });
  }
  std::vector<T> not_finite = queries;
  not_finite[9] = std::numeric_limits<T>::quiet_NaN();
  refused("queries", {"sample 2, query 0", "element 1", "nan"}, [&](auto& v) {
    v.queries = not_finite.data();
    v.n_queries = 2;
  });
  const auto with_weights = [&](const std::vector<T>& weights) {
    return [&](auto& v) {
      v.query_index = index.data();
      v.n_queries = 2;
      v.query_weights = weights;
    };
  };
  refused("query_weights", {"3 entries", "6", "2"}, with_weights({T(1), T(1), T(1)}));
  for (const T bad : {T(0), T(-1), std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()})
    refused("query_weights", {"entry 1", "above 0"}, with_weights({T(1), bad}));
  if constexpr (std::is_same_v<T, double>)
    refused("query_weights", {"sample 0", "overflow"}, with_weights({1.5e308, 1.5e308}));
  refused("query_weights", {"2 entries", "3"}, [&](auto& v) {
    static const std::vector<T> weights{T(1), T(1)};
    v.query_weights = weights;
  });
}

TEST_CASE("files whose queries do not fit are refused", "[data]") {
  const TemporaryFile file("softstep-queries-bad");
  const auto refused = [&](const std::string& word, const std::vector<NamedTensor>& more) {
    std::vector<NamedTensor> tensors = {{"tokens", {2, 3, 2}, std::vector<double>(12, 1.0)},
                                        {"labels", {2}, {1, -1}}};
    tensors.insert(tensors.end(), more.begin(), more.end());
    save_tensors(file.path, tensors);
    try {
      load_dataset<double>(file.path);
      FAIL_CHECK("accepted, expected: " << word);
    } catch (const BadFile& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find(word) != std::string::npos);
    }
  };
  refused("query_weights", {{"query_weights", {2}, {1, 1}}});
  refused("queries", {{"queries", {2, 2, 3}, std::vector<double>(12, 1.0)}});
  refused("queries", {{"queries", {3, 2, 2}, std::vector<double>(12, 1.0)}});
  refused("query_weights",
          {{"queries", {2, 2, 2}, std::vector<double>(8, 1.0)}, {"query_weights", {3}, {1, 1, 1}}});
  refused("query_weights",
          {{"queries", {2, 2, 2}, std::vector<double>(8, 1.0)}, {"query_weights", {2}, {1, -1}}});
  refused("query_offsets",
          {{"queries", {4, 2}, std::vector<double>(8, 1.0)}, {"query_offsets", {3}, {0, 1, 4}}});
}
