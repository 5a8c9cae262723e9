#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <limits>

#include "refused.h"
#include "softstep/dataset.h"

using namespace softstep;
using softstep::test::require_refused;

namespace {

template <class T>
DatasetParts<T> good_parts() {
  DatasetParts<T> p;
  p.n_samples = 2;
  p.n_tokens = 3;
  p.dim = 2;
  p.tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  p.labels = {1, -1};
  return p;
}

template <class T, class Spoil>
void refused(const char* argument, const std::vector<std::string>& words, Spoil spoil) {
  DatasetParts<T> parts = good_parts<T>();
  spoil(parts);
  require_refused(argument, words, [&] { make_dataset(std::move(parts)); });
}

}  // namespace

TEMPLATE_TEST_CASE("a data set owns its parts, and copies share them", "[data]", float, double) {
  Dataset<TestType> copy;
  {
    DatasetParts<TestType> parts = good_parts<TestType>();
    const TestType* where = parts.tokens.data();
    parts.decoder = {1, 0};
    parts.query_index = {2, 0};
    const Dataset<TestType> made = make_dataset(std::move(parts));
    CHECK(made.view().tokens == where);  // moved, not copied
    copy = made;
  }
  const BatchView<TestType>& view = copy.view();
  CHECK(view.sample(1)[0] == TestType(7));
  CHECK(view.query(0)[1] == TestType(6));
  CHECK(view.decoder[0] == TestType(1));
  CHECK(view.queries == nullptr);
  CHECK(view.offsets == nullptr);
}

TEMPLATE_TEST_CASE("parts whose sizes disagree are refused", "[data]", float, double) {
  using Parts = DatasetParts<TestType>;
  refused<TestType>("n_samples", {"0"}, [](Parts& p) { p.n_samples = 0; });
  refused<TestType>("n_tokens", {"0"}, [](Parts& p) { p.n_tokens = 0; });
  refused<TestType>("dim", {"0"}, [](Parts& p) { p.dim = 0; });
  refused<TestType>("tokens", {"11", "12"}, [](Parts& p) { p.tokens.pop_back(); });
  refused<TestType>("tokens", {"12", "18"}, [](Parts& p) { p.dim = 3; });
  refused<TestType>("labels", {"3", "2"}, [](Parts& p) { p.labels.push_back(1); });
  refused<TestType>("labels", {"0", "2"}, [](Parts& p) { p.labels.clear(); });
  refused<TestType>("decoder", {"1", "2"}, [](Parts& p) { p.decoder = {1}; });
  refused<TestType>("query_index", {"1", "2"}, [](Parts& p) { p.query_index = {0}; });
  refused<TestType>("queries", {"2", "4"}, [](Parts& p) { p.queries = {0, 1}; });
  refused<TestType>("offsets", {"2"}, [](Parts& p) { p.offsets = {0, 6}; });
  refused<TestType>("offsets", {"-1"}, [](Parts& p) { p.offsets = {0, 6, -1}; });
  refused<TestType>("tokens", {"12", "10"}, [](Parts& p) { p.offsets = {0, 2, 5}; });
  refused<TestType>("offsets", {"entry 2", "6 after 7"}, [](Parts& p) { p.offsets = {0, 7, 6}; });
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  refused<TestType>("n_samples", {"overflow"}, [=](Parts& p) { p.n_samples = huge / 2; });
  refused<TestType>("tokens", {"overflow"}, [=](Parts& p) { p.dim = huge / 2; });
  refused<TestType>("offsets", {}, [=](Parts& p) {
    p.n_samples = huge;
    p.offsets = {0, 6};
  });
  refused<TestType>("tokens", {"nan", "sample 1, token 0"},
                    [](Parts& p) { p.tokens[7] = std::numeric_limits<TestType>::quiet_NaN(); });
}

TEST_CASE("conversion keeps the data, packed, and rounds to nearest", "[data]") {
  DatasetParts<double> parts = good_parts<double>();
  parts.tokens[0] = 0.1;
  parts.tokens[1] = 1.0 + 0x1p-24;          // a tie, to even: 1
  parts.tokens[2] = 1.0 + 3 * 0x1p-24;      // a tie, to even: 1 + 2^-22
  parts.tokens[3] = 1e-60;                  // below float: 0
  parts.tokens[4] = 0x1.fffffefffffffp127;  // just below halfway to 2^128: the largest float
  parts.offsets = {0, 2, 6};
  parts.decoder = {0.25, -3};
  parts.queries = {1, 2, 3, 0.1};
  const Dataset<float> narrow = convert<float>(make_dataset(parts));
  const BatchView<float>& f = narrow.view();
  CHECK(f.tokens[0] == 0.1f);
  CHECK(f.tokens[1] == 1.0f);
  CHECK(f.tokens[2] == 1.0f + 0x1p-22f);
  CHECK(f.tokens[3] == 0.0f);
  CHECK(f.tokens[4] == std::numeric_limits<float>::max());
  CHECK(f.offsets[1] == 2);
  CHECK(f.total_tokens() == 6);
  CHECK(f.query(1)[1] == 0.1f);
  CHECK(f.decoder[1] == -3.0f);
  CHECK(f.labels[1] == -1);
  const Dataset<double> wide = convert<double>(narrow);
  CHECK(wide.view().tokens[0] == static_cast<double>(0.1f));
  CHECK(convert<double>(wide).view().tokens == wide.view().tokens);
  CHECK(convert<float>(narrow).view().tokens == f.tokens);
}

TEST_CASE("conversion packs strided, overlapping and offset views", "[data]") {
  const std::vector<float> tokens = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::vector<std::int8_t> labels = {1, -1};
  const std::vector<std::int64_t> query_index = {1, 0};
  BatchView<float> view;
  view.tokens = tokens.data();
  view.n_samples = 2;
  view.n_tokens = 2;
  view.dim = 2;
  view.token_stride = 3;
  view.sample_stride = 4;
  view.labels = labels.data();
  view.query_index = query_index.data();
  const Dataset<double> uniform = convert<double>(Dataset<float>(view, nullptr));
  const double expected[] = {0, 1, 3, 4, 4, 5, 7, 8};
  CHECK(std::equal(std::begin(expected), std::end(expected), uniform.view().tokens));
  CHECK(uniform.view().query(0)[0] == 3.0);
  CHECK(uniform.view().row_stride() == 2);

  const std::vector<std::int64_t> offsets = {1, 2, 3};
  view.offsets = offsets.data();
  view.query_index = nullptr;
  const Dataset<double> ragged = convert<double>(Dataset<float>(view, nullptr));
  CHECK(ragged.view().offsets[0] == 0);
  CHECK(ragged.view().offsets[2] == 2);
  CHECK(ragged.view().sample(1)[1] == 7.0);
}

TEST_CASE("a value that overflows in float is refused", "[data]") {
  const auto overflow = GENERATE(0x1.ffffffp127, -0x1.ffffffp127, 1e39, -1e300);
  DatasetParts<double> parts = good_parts<double>();
  parts.decoder = {1, 2};
  parts.queries = {1, 2, 3, 4};
  const DatasetParts<double> good = parts;
  parts.tokens[9] = overflow;
  require_refused("tokens", {"sample 1, token 1, element 1", "overflows"},
                  [&] { convert<float>(make_dataset(parts)); });
  parts = good;
  parts.decoder[1] = overflow;
  require_refused("decoder", {"element 1", "overflows"}, [&] { convert<float>(make_dataset(parts)); });
  parts = good;
  parts.queries[2] = overflow;
  require_refused("queries", {"sample 1, element 0", "overflows"},
                  [&] { convert<float>(make_dataset(parts)); });
}
