// Small random problems against an exact active-set method, and the certificate of each computed afresh.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include "max_margin/certificate_check.h"
#include "max_margin/oracle.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
bool batch_agrees(const BatchView<T>& batch) {
  const Rows rows = constraint_matrix(batch, score_tokens(batch));
  const auto agrees = [&](std::size_t max_gram_rows) {
    const MaxMarginResult result = solve_max_margin(batch, {.max_gram_rows = max_gram_rows});
    return agrees_with_oracle(rows, batch.dim * batch.dim, batch.dim, result, MaxMarginOptions{}.tolerance);
  };
  const bool by_the_ascent = agrees(0);
  return agrees(MaxMarginOptions{}.max_gram_rows) && by_the_ascent;
}

}  // namespace

TEMPLATE_TEST_CASE("small problems agree with the exact method", "[max_margin]", float, double) {
  const std::vector<std::vector<std::size_t>> shapes = {
      {2},
      {7},
      {3, 3},
      {4, 4, 4},
      {2, 2, 2, 2, 2, 2},
      {6, 6, 6, 6},
      {10, 10, 10},
      // More samples than the queries have dimensions: often not separable.
      {3, 3, 3, 3, 3, 3, 3, 3, 3, 3},
      {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}};
  int separable = 0, not_separable = 0;
  std::uint64_t seed = 0;
  for (const std::vector<std::size_t>& n_tokens : shapes)
    for (const std::size_t dim : {2, 3, 4, 6})
      for (const bool separate : {false, true})
        for (const bool ragged : {false, true})
          for (int repeat = 0; repeat < 3; ++repeat) {
            Layout layout;
            layout.n_tokens = n_tokens;
            if (ragged)
              for (std::size_t i = 0; i < n_tokens.size(); i += 2)
                layout.n_tokens[i] = i % 4 == 0 ? 1 : n_tokens[i] + 2;
            if (ragged) layout.n_tokens.push_back(3);
            layout.dim = dim;
            layout.ragged = ragged;
            layout.separate_queries = separate;
            layout.query_index = !separate;
            layout.pad = repeat == 1 ? 3 : 0;
            ++seed;
            CAPTURE(seed, n_tokens.size(), n_tokens[0], dim, separate, ragged, repeat);
            const TestBatch<TestType> data(layout, seed);
            if (batch_agrees(data.view))
              ++separable;
            else
              ++not_separable;
          }
  // Both kinds were met.
  CHECK(separable >= 100);
  CHECK(not_separable >= 30);
}

TEMPLATE_TEST_CASE("duplicated queries share their direction", "[max_margin]", float, double) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Layout layout;
    layout.n_tokens = {3, 3, 3, 3, 3};
    layout.dim = 12;  // more than twice the samples: the queries' own span is used
    layout.separate_queries = true;
    TestBatch<TestType> data(layout, seed);
    for (std::size_t j = 0; j < 12; ++j) {
      data.queries[1 * 12 + j] = data.queries[0 * 12 + j];
      data.queries[3 * 12 + j] = data.queries[0 * 12 + j];
      data.queries[4 * 12 + j] = -2 * data.queries[2 * 12 + j];
    }
    data.view.queries = data.queries.data();
    batch_agrees(data.view);
  }
}

TEST_CASE("generated data agree with the exact method", "[max_margin]") {
  int separable = 0;
  for (const char* generator : {"signal_noise", "random_unit", "orthogonal", "planar"})
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      CAPTURE(generator, seed);
      GeneratorOptions options;
      options.generator = generator;
      options.n_samples = 4;
      options.n_tokens = 5;
      options.dim = 20;
      if (options.generator == "random_unit") options.n_samples = 6, options.n_tokens = 8, options.dim = 10;
      if (options.generator == "planar") options.n_samples = 2, options.n_tokens = 3, options.dim = 2;
      options.seed = seed;
      const Dataset<double> data = generate(options);
      separable += batch_agrees(data.view());
    }
  CHECK(separable == 24);
}
