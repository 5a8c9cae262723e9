// The comparers of this room see a wrong answer: each is given one of every kind.

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

HeadsSetup setup_of() {
  HeadsSetup setup;
  setup.shape = {
      .batch = 2, .n_heads = 2, .n_key_heads = 1, .n_queries = 4, .n_keys = 6, .dim = 5, .value_dim = 3};
  setup.key_lengths = {6, 4};
  setup.bias = true;
  setup.order = Order::padded;
  return setup;
}

}  // namespace

TEST_CASE("A wrong number anywhere in what attention over heads writes is seen", "[heads]") {
  for (const bool exponents : {true, false}) {
    HeadsSetup setup = setup_of();
    setup.exponents = exponents;
    const HeadsCase<float> in(setup);
    const HeadsExact<float> exact(in);
    REQUIRE(exact.compare(run(in, "")).ok());
    using Run = HeadsRun<float>;
    const auto seen = [&](auto change) {
      Run out = run(in, "");
      change(out);
      return !exact.compare(out).ok();
    };
    for (HeadsArray<float> Run::*array : {&Run::outputs, &Run::queries, &Run::keys, &Run::values})
      (run(in, "").*array).for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
        INFO("element " << b << " " << h << " " << r << " " << c);
        const auto with = [&](auto new_value) {
          return seen([&](Run& out) {
            (out.*array).set(b, h, r, c, static_cast<double>(new_value((out.*array).get(b, h, r, c))));
          });
        };
        CHECK(with([](float) { return NAN; }));
        CHECK(with([](float x) { return x + 1e-3f; }));
        CHECK(with([](float x) { return x == 0.0f ? 1e-30f : x + 0.003f * std::fabs(x) + 1e-5f; }));
      });
    for (std::size_t k = 0; k < in.queries.rows().total() * 2; ++k) {
      CHECK(seen([&](Run& out) { out.log_sum_exp[k] = NAN; }));
      CHECK(seen([&](Run& out) { out.log_sum_exp[k] *= 1.001f; }));
      if (exponents) {
        CHECK(seen([&](Run& out) { out.query_exponents[k] = NAN; }));
        CHECK(seen([&](Run& out) { out.query_exponents[k] += 0.01; }));
      }
    }
    for (std::size_t k = 0; exponents && k < 2; ++k) {
      CHECK(seen([&](Run& out) { out.key_exponents[k] = NAN; }));
      CHECK(seen([&](Run& out) { out.key_exponents[k] -= 0.01; }));
    }
    for (std::size_t k = 0; k < in.bias.size(); ++k) {
      CHECK(seen([&](Run& out) { out.bias[k] = NAN; }));
      CHECK(seen([&](Run& out) { out.bias[k] += 1e-4f; }));
    }
  }
}

TEST_CASE("A number written between the rows is seen", "[heads]") {
  const HeadsCase<float> in(setup_of());
  const HeadsRun<float> out = run(in, "");
  REQUIRE(out.gaps_untouched());
  // The place after the last column of a row that is not the last.
  HeadsRun<float> wrong(in);
  HeadsSpan<float> outputs = wrong.outputs.span();
  outputs.numbers[wrong.outputs.place(0, 0, 0, 2) + 1] = 0.0f;
  CHECK_FALSE(wrong.gaps_untouched());
}

TEST_CASE("A row without keys that is not -infinity or not 0 is seen", "[heads]") {
  HeadsSetup setup = setup_of();
  setup.key_lengths = {0, 6};
  const HeadsCase<float> in(setup);
  const HeadsExact<float> exact(in);
  HeadsRun<float> out = run(in, "");
  REQUIRE(exact.compare(out).ok());
  out.log_sum_exp[0] = -1e38f;
  CHECK_FALSE(exact.compare(out).ok());
  out.log_sum_exp[0] = -std::numeric_limits<float>::infinity();
  REQUIRE(exact.compare(out).ok());
  out.outputs.set(0, 0, 0, 0, 1e-37);
  CHECK_FALSE(exact.compare(out).ok());
}

}  // namespace softstep::test
