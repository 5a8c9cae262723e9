// Overlapping windows of one sequence, told by strides, are the samples that a copy of each window would be.

#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <vector>

#include "softstep/softstep.h"
#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::run;
using softstep::test::same_bits;

namespace {

constexpr std::size_t n_samples = 12, n_tokens = 5, dim = 16, row = 19;

/// A sequence of tokens, each in a row of more elements than it has, and the windows of it copied one after
/// the other.
template <class T>
struct Windows {
  std::vector<T> sequence, copied, decoder;
  std::vector<std::int8_t> labels;
  std::vector<std::int64_t> query_index;
  BatchView<T> seen, copies;

  /// A window begins `step` tokens after the one before.
  explicit Windows(std::size_t step) {
    const std::size_t length = (n_samples - 1) * step + n_tokens;
    for (const double x : normal_values(length * row, 1.0, 7)) sequence.push_back(static_cast<T>(x));
    for (const double x : normal_values(dim, 1.0, 8)) decoder.push_back(static_cast<T>(x));
    for (std::size_t i = 0; i < n_samples; ++i) {
      labels.push_back(i % 3 == 0 ? -1 : 1);
      query_index.push_back(static_cast<std::int64_t>(i % n_tokens));
      for (std::size_t t = 0; t < n_tokens; ++t) {
        const auto x = sequence.begin() + static_cast<std::ptrdiff_t>((i * step + t) * row);
        copied.insert(copied.end(), x, x + static_cast<std::ptrdiff_t>(dim));
      }
    }
    copies.tokens = copied.data();
    copies.n_samples = n_samples;
    copies.n_tokens = n_tokens;
    copies.dim = dim;
    copies.labels = labels.data();
    copies.decoder = decoder.data();
    copies.query_index = query_index.data();
    seen = copies;
    seen.tokens = sequence.data();
    seen.token_stride = row;
    seen.sample_stride = step * row;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("overlapping windows are trained on like copies of them", "[data]", float, double) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}}) {
    const Windows<TestType> windows(step);
    for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
      INFO("every " << step << " tokens, " << to_string(form));
      TrainerOptions options;
      options.form = form;
      const auto by_strides = run(windows.seen, "ngd", 30, {}, {}, options);
      const auto by_copies = run(windows.copies, "ngd", 30, {}, {}, options);
      CHECK(by_strides.summary.steps == 30);
      CHECK(same_bits(by_strides.state.blocks[0], by_copies.state.blocks[0]));
    }
    AttentionOptions halves;
    halves.token_storage = sizeof(TestType) == 4 ? StoredType::f16 : StoredType::working;
    CHECK(same_bits(run(windows.seen, "ngd", 5, {}, halves).state.blocks[0],
                    run(windows.copies, "ngd", 5, {}, halves).state.blocks[0]));
  }
}

TEMPLATE_TEST_CASE("overlapping windows are solved and written like copies of them", "[data]", float,
                   double) {
  const Windows<TestType> windows(1);
  const MaxMarginResult by_strides = solve_max_margin(windows.seen),
                        by_copies = solve_max_margin(windows.copies);
  CHECK(by_strides.status == by_copies.status);
  CHECK(same_bits(by_strides.weights, by_copies.weights));

  const softstep::test::TemporaryFile file("windows.safetensors");
  save_dataset(file.path, Dataset<TestType>(windows.seen, nullptr),
               sizeof(TestType) == 4 ? StoredType::f32 : StoredType::f64);
  const Dataset<TestType> back = load_dataset<TestType>(file.path);
  for (std::size_t i = 0; i < n_samples; ++i)
    for (std::size_t k = 0; k < n_tokens * dim; ++k)
      REQUIRE(back.view().sample(i)[k] == windows.copies.sample(i)[k]);
}

TEST_CASE("windows that begin within a token are refused", "[data]") {
  Windows<double> windows(1);
  windows.seen.sample_stride = dim - 1;
  REQUIRE_THROWS_AS(windows.seen.validate(), InvalidArgument);
}
