// Everything that BatchView::validate refuses, each spoilt in one place of a good batch.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "refused.h"
#include "softstep/batch.h"
#include "softstep/eigen.h"

using namespace softstep;
using softstep::test::require_refused;

namespace {

// Three samples of four tokens of dimension 5, with room for strides; refused() spoils a copy of the view.
template <class T>
struct Good {
  std::vector<T> tokens = std::vector<T>(200, T(0.5));
  std::vector<T> decoder = std::vector<T>(5, T(1)), queries = std::vector<T>(40, T(2));
  std::vector<std::int8_t> labels = {1, -1, 1};
  std::vector<std::int64_t> offsets = {2, 3, 7, 9}, query_index = {0, 3, 1};
  BatchView<T> view;

  Good() {
    view.tokens = tokens.data();
    view.n_samples = 3;
    view.n_tokens = 4;
    view.dim = 5;
    view.labels = labels.data();
    view.decoder = decoder.data();
  }
  template <class Spoil>
  void refused(const char* argument, const std::vector<std::string>& words, Spoil spoil) {
    BatchView<T> spoilt = view;
    spoil(spoilt);
    require_refused(argument, words, [&] { spoilt.validate(); });
  }
};

constexpr std::size_t huge = std::numeric_limits<std::size_t>::max();

}  // namespace

TEMPLATE_TEST_CASE("good batches of every kind are accepted", "[data]", float, double) {
  Good<TestType> good;
  good.view.validate();
  CHECK(good.view.total_tokens() == 12);
  good.view.query_index = good.query_index.data();
  good.view.validate();
  good.view.queries = good.queries.data();
  good.view.query_stride = 7;
  good.view.token_stride = 6;
  good.view.sample_stride = 50;
  good.view.validate();
  good.view.sample_stride = 6;  // windows that overlap
  good.view.validate();
  good.view.decoder = nullptr;
  good.view.n_tokens = 1;
  good.view.validate();
  good.view.offsets = good.offsets.data();
  good.view.n_tokens = 0;
  good.view.validate();
  CHECK(good.view.total_tokens() == 7);
  CHECK(good.view.sample(1) == good.tokens.data() + 18);
}

TEMPLATE_TEST_CASE("missing parts and zero sizes are refused", "[data]", float, double) {
  Good<TestType> good;
  good.refused("n_samples", {"0"}, [](auto& v) { v.n_samples = 0; });
  good.refused("n_tokens", {"0"}, [](auto& v) { v.n_tokens = 0; });
  good.refused("dim", {"0"}, [](auto& v) { v.dim = 0; });
  good.refused("tokens", {"null"}, [](auto& v) { v.tokens = nullptr; });
  good.refused("labels", {"null"}, [](auto& v) { v.labels = nullptr; });
}

TEMPLATE_TEST_CASE("strides below dim and sizes that overflow are refused", "[data]", float, double) {
  Good<TestType> good;
  good.refused("token_stride", {"4", "5"}, [](auto& v) { v.token_stride = 4; });
  good.refused("sample_stride", {"1", "5"}, [](auto& v) { v.sample_stride = 1; });
  good.refused("query_stride", {"3", "5"}, [](auto& v) { v.query_stride = 3; });
  for (const std::size_t size : {huge, huge / 2, huge / 8, (huge / 4 + 1) / 5 * 4}) {
    INFO(size);
    good.refused("dim", {std::to_string(size)}, [=](auto& v) { v.dim = size; });
    good.refused("n_tokens", {std::to_string(size)}, [=](auto& v) { v.token_stride = size; });
    good.refused("n_tokens", {std::to_string(size)}, [=](auto& v) { v.n_tokens = size; });
    good.refused("n_samples", {std::to_string(size)}, [=](auto& v) { v.n_samples = size; });
    good.refused("n_samples", {std::to_string(size)}, [=](auto& v) { v.sample_stride = size; });
    good.refused("queries", {std::to_string(size)}, [&](auto& v) {
      v.queries = good.queries.data();
      v.query_stride = size;
    });
  }
  // Each factor is harmless, the product wraps around to something small.
  good.refused("n_samples", {}, [](auto& v) { v.n_samples = v.n_tokens = std::size_t{1} << 32; });
  good.refused("n_samples", {}, [](auto& v) {
    v.n_samples = v.n_tokens = std::size_t{1} << 32;
    v.dim = v.token_stride = v.sample_stride = 1;
  });
  // The last sample would end beyond what can be addressed.
  good.refused("n_samples", {}, [](auto& v) {
    v.n_samples = 1;
    v.sample_stride = PTRDIFF_MAX / sizeof(TestType) - 3;
  });
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t last : {far, far / 4, far / 16}) {
    good.offsets.back() = last;
    good.refused("offsets", {std::to_string(last)}, [&](auto& v) { v.offsets = good.offsets.data(); });
  }
}

TEMPLATE_TEST_CASE("bad offsets, labels and query indices are named with sample and value", "[data]", float,
                   double) {
  Good<TestType> good;
  const auto offsets = [&](std::vector<std::int64_t> values, const std::vector<std::string>& words) {
    good.offsets = std::move(values);
    good.refused("offsets", words, [&](auto& v) { v.offsets = good.offsets.data(); });
  };
  offsets({-1, 3, 7, 9}, {"entry 0", "-1"});
  offsets({0, 3, 3, 9}, {"sample 1", "no tokens"});
  offsets({0, 3, 2, 9}, {"entry 2", "2 after 3"});
  offsets({5, 6, 7, -3}, {"entry 3", "-3"});

  for (const int label : {0, 2, -2, 127, -128}) {
    good.labels[1] = static_cast<std::int8_t>(label);
    good.refused("labels", {"sample 1", std::to_string(label)}, [](auto&) {});
  }
  good.labels[1] = -1;

  for (const std::int64_t index :
       {std::int64_t{4}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    good.query_index = {0, 0, index};
    good.refused("query_index", {"sample 2", std::to_string(index), "0 to 3"},
                 [&](auto& v) { v.query_index = good.query_index.data(); });
  }
  good.offsets = {0, 3, 4, 9};
  good.query_index = {2, 1, 0};
  good.refused("query_index", {"sample 1", "1", "0 to 0"}, [&](auto& v) {
    v.offsets = good.offsets.data();
    v.query_index = good.query_index.data();
  });
}

TEMPLATE_TEST_CASE("a number that is not finite is found wherever it is, and nowhere else", "[data]", float,
                   double) {
  using Limits = std::numeric_limits<TestType>;
  const TestType bad = GENERATE(Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity());
  const std::string word = std::isnan(bad) ? "nan" : bad > 0 ? " inf" : "-inf";
  Good<TestType> good;
  // dim 5 and 4 tokens: 20 numbers per sample, so the scan's blocks of 16 have a rest.
  for (std::size_t k = 0; k < 60; ++k) {
    good.tokens[k] = bad;
    good.refused("tokens",
                 {"sample " + std::to_string(k / 20) + ", token " + std::to_string(k % 20 / 5) +
                      ", element " + std::to_string(k % 5) + ":",
                  word},
                 [](auto&) {});
    good.tokens[k] = TestType(0);
  }
  good.view.token_stride = 7;
  good.view.sample_stride = 30;
  good.tokens[30 + 3 * 7 + 4] = bad;
  good.refused("tokens", {"sample 1, token 3, element 4:", word}, [](auto&) {});
  good.tokens[30 + 3 * 7 + 4] = TestType(0);
  for (const std::size_t between : {5, 6, 13, 28, 29}) good.tokens[between] = bad;  // belong to no token
  good.view.validate();

  good.decoder[3] = bad;
  good.refused("decoder", {"element 3", word}, [](auto&) {});
  good.decoder[3] = 0;
  good.queries[7 + 1] = bad;
  good.refused("queries", {"sample 1, element 1", word}, [&](auto& v) {
    v.queries = good.queries.data();
    v.query_stride = 7;
  });
}

TEMPLATE_TEST_CASE("the largest and smallest finite numbers are accepted", "[data]", float, double) {
  using Limits = std::numeric_limits<TestType>;
  Good<TestType> good;
  good.tokens = std::vector<TestType>(60, Limits::max());
  for (std::size_t k = 0; k < 60; k += 3) {
    good.tokens[k] = Limits::lowest();
    good.tokens[k + 1] = Limits::denorm_min();
  }
  good.view.tokens = good.tokens.data();
  good.view.validate();
}

namespace {

template <class Matrix>
concept Viewed = requires(Matrix&& matrix) {
  batch_of<double>(static_cast<Matrix&&>(matrix), std::size_t{2});
};

}  // namespace

TEST_CASE("a matrix of Eigen is looked at where it lies, or does not compile", "[data]") {
  using Rows = RowMajorMatrix<double>;
  Rows tokens = Rows::Constant(6, 3, 0.5);
  CHECK(batch_of<double>(tokens, 2).tokens == tokens.data());
  CHECK(batch_of<double>(std::as_const(tokens), 2).tokens == tokens.data());
  const BatchView<double> block = batch_of<double>(tokens.block(2, 1, 4, 2), 2);
  CHECK(block.tokens == tokens.data() + 7);
  CHECK(block.token_stride == 3);
  CHECK(batch_of<double>(Eigen::Map<const Rows>(tokens.data(), 6, 3), 2).tokens == tokens.data());
  const Eigen::Ref<const Rows, 0, Eigen::OuterStride<>> ref(tokens);
  CHECK(batch_of<double>(ref, 2).tokens == tokens.data());
  // Eigen::Ref would copy these, and the view would look at a copy that is gone.
  CHECK_FALSE(Viewed<Eigen::MatrixXd&>);
  CHECK_FALSE(Viewed<const Eigen::MatrixXd&>);
  CHECK_FALSE(Viewed<decltype(2.0 * tokens)>);
  CHECK_FALSE(Viewed<decltype(tokens.transpose())>);
  CHECK_FALSE(Viewed<Rows>);  // a temporary
  CHECK(Viewed<Rows&>);
}

TEST_CASE("weights as a matrix of Eigen have dim x dim entries, however large dim is", "[data]") {
  CHECK(as_matrix(std::vector<double>(4, 1.0), 2).sum() == 4.0);
  require_refused("values", {"4", "3"}, [] { as_matrix(std::vector<double>(4, 1.0), 3); });
  // Squared: 2^64, and 4 beside it.
  require_refused("values", {"4294967296"}, [] { as_matrix(std::vector<double>(), std::size_t{1} << 32); });
  require_refused("values", {"4"},
                  [] { as_matrix(std::vector<double>(4, 1.0), (std::size_t{1} << 63) + 2); });
}
