// Tokens in 16 bits where they lie: the bits of the copying path, and no copy.

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <vector>

#include "softstep/softstep.h"
#include "support/allocations.h"
#include "support/batches.h"
#include "support/temporary_file.h"

using namespace softstep;
using namespace softstep::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

constexpr StoredType both[] = {StoredType::f16, StoredType::bf16};

// A multiple of 1/128 below 1, which both types hold, as its bits; NaN between the rows.
std::uint16_t bits_of(float x, StoredType storage) {
  if (std::isnan(x)) return 0x7fff;
  const auto wide = std::bit_cast<std::uint32_t>(x);
  if (storage == StoredType::bf16) return static_cast<std::uint16_t>(wide >> 16);
  const std::uint32_t sign = wide >> 31 << 15, exponent = (wide >> 23) & 255u;
  if (exponent == 0) return static_cast<std::uint16_t>(sign);
  return static_cast<std::uint16_t>(sign | (exponent - 112) << 10 | ((wide >> 13) & 1023u));
}

// The same batch in float32 and in 16 bits.
struct Both {
  TestBatch<float> wide;
  std::vector<std::uint16_t> bits;
  HalfBatchView view;

  Both(const Layout& layout, std::uint64_t seed, StoredType storage) : wide(layout, seed) {
    for (float& x : wide.tokens) {
      if (!std::isnan(x)) x = std::ldexp(std::nearbyint(std::ldexp(x, 7)), -7);
      bits.push_back(bits_of(x, storage));
    }
    // No further than the last token, so that sanitizers see a read beyond it.
    const std::size_t rest = layout.pad + (layout.pad != 0 && !layout.ragged ? 3 : 0);
    bits.resize(bits.size() - rest);
    bits.shrink_to_fit();
    view = {bits, storage, wide.view};
    view.rest.tokens = nullptr;
  }
};

const Layout layouts[] = {{{4, 4, 4}, 5},
                          {{6, 6, 6, 6}, 21, 3, false, true},
                          {{5, 9, 1, 17}, 19, 2, true, false, true},
                          {{3, 8, 2}, 33, 0, false, true, true}};

}  // namespace

TEST_CASE("a model of tokens in 16 bits has the bits of the one that copies them", "[models]") {
  std::uint64_t seed = 70;
  for (const Layout& layout : layouts)
    for (const StoredType storage : both) {
      const Both batch(layout, ++seed, storage);
      INFO(to_string(storage) << ", dim " << layout.dim);
      const AttentionModel<float> copying(batch.wide.view, {.token_storage = storage});
      const AttentionModel<float> model(batch.view);
      REQUIRE(model.identity() == copying.identity());
      REQUIRE(model.token_scores().gaps == copying.token_scores().gaps);
      REQUIRE(score_tokens(batch.view).gaps == score_tokens(batch.wide.view).gaps);

      const std::vector<float> at = weights_toward(batch.wide.view, Toward::other, 7.0);
      const std::vector<float> turn = weights_toward(batch.wide.view, Toward::anywhere, 1.0);
      REQUIRE(model.attention(std::span(at)) == copying.attention(std::span(at)));
      const std::vector<std::size_t> some = {2, 0};
      for (const bool all : {true, false}) {
        const SampleSet samples = all ? SampleSet{} : SampleSet{some};
        const std::span<const float> place(at), direction(turn);
        const auto outcome = [&](const AttentionModel<float>& of) {
          const auto space = of.make_workspace();
          Evaluation<float> out;
          of.evaluate(Point<float>(&place, 1), out, *space, want_all, samples);
          std::vector<BlockGradient<float>> product;
          of.hessian_product(Point<float>(&place, 1), Point<float>(&direction, 1), product, *space, samples);
          std::vector<double> numbers = {out.loss, out.loss_gap.mantissa, out.loss_gap.exponent,
                                         out.gradients[0].exponent, product[0].exponent};
          for (const auto& values : {out.gradients[0].values, product[0].values})
            numbers.insert(numbers.end(), values.begin(), values.end());
          return numbers;
        };
        REQUIRE(outcome(model) == outcome(copying));
      }
    }
}

TEST_CASE("runs on tokens in 16 bits have the bits of those that copy them", "[models]") {
  std::uint64_t seed = 90;
  for (const Layout& layout : layouts)
    for (const StoredType storage : both)
      for (const Form form : {Form::automatic, Form::dense, Form::query_span}) {
        const Both batch(layout, ++seed, storage);
        AttentionModel<float> copying(batch.wide.view, {.token_storage = storage}), model(batch.view);
        const auto trained = [&](AttentionModel<float>& of) {
          auto state = initial_state(of);
          TrainerOptions options;
          options.n_steps = 30;
          options.form = form;
          train(of, state, options);
          return state.blocks[0];
        };
        REQUIRE(trained(model) == trained(copying));
      }
}

TEST_CASE("a model of tokens in 16 bits reads them where they lie", "[models]") {
  Both batch({{200, 200, 200}, 100}, 3, StoredType::bf16);
  const std::size_t before = allocated_bytes;
  const AttentionModel<float> model(batch.view);
  const auto space = model.make_workspace();
  Evaluation<float> first, second;
  const std::vector<float> at(100 * 100, 0.01f);
  const std::span<const float> place(at);
  model.evaluate(Point<float>(&place, 1), first, *space);
  // 60000 numbers of 2 bytes. Beside the gradient, which has 10000 numbers, all that is kept has an entry per
  // token, or a row per sample.
  const std::size_t token_bytes = batch.bits.size() * sizeof(std::uint16_t), kept = allocated_bytes - before;
  if (counts_allocations) {
    CHECK(kept - at.size() * sizeof(float) < token_bytes);
    const std::size_t start = allocated_bytes;
    const AttentionModel<float> copying(batch.wide.view, {.token_storage = StoredType::bf16});
    CHECK(allocated_bytes - start >= token_bytes);  // the counter counts
  }
  batch.bits[1234] = 0x3f80;  // 1; a model of its own would not see it
  model.evaluate(Point<float>(&place, 1), second, *space);
  CHECK(first.gradients[0].values != second.gradients[0].values);
}

TEST_CASE("16-bit tokens that cannot be used are refused by name", "[models]") {
  const auto refused = [](const std::function<void(HalfBatchView&, AttentionOptions&)>& spoil,
                          const std::string& words, const std::string& more = "") {
    const Both batch({{4, 4, 4}, 5, 2, false, true}, 4, StoredType::f16);
    HalfBatchView view = batch.view;
    AttentionOptions options;
    spoil(view, options);
    CHECK_THROWS_MATCHES(AttentionModel<float>(view, options), InvalidArgument,
                         MessageMatches(ContainsSubstring(words) && ContainsSubstring(more)));
  };
  refused([](auto& view, auto&) { view.tokens = view.tokens.first(view.tokens.size() - 1); },
          "tokens: ", "need at least");
  refused([](auto& view, auto&) { view.tokens = {}; }, "tokens: null");
  refused([](auto& view, auto&) { view.storage = StoredType::f32; }, "storage: f32", "need f16 or bf16");
  refused([](auto& view, auto&) { view.rest.dim = 0; }, "dim: 0");
  refused([](auto& view, auto&) { view.rest.decoder = nullptr; }, "decoder");
  const float number = 1.0f;
  refused([&](auto& view, auto&) { view.rest.tokens = &number; }, "rest.tokens");
  refused([](auto&, auto& options) { options.token_storage = StoredType::bf16; }, "token_storage: bf16",
          "f16");
  refused([](auto&, auto& options) { options.key_query = KeyQuery::prompt; }, "token_storage: f16");
  refused(
      [](auto&, auto& options) {
        options.train_decoder = true;
        options.optimal_loss = OptimalLoss::zero;
      },
      "token_storage: f16");
  std::vector<std::uint16_t> spoilt;
  refused(
      [&](auto& view, auto&) {
        spoilt.assign(view.tokens.begin(), view.tokens.end());
        spoilt[7 + 3] = 0x7c00;  // sample 0, token 1, element 3
        view.tokens = spoilt;
      },
      "tokens: sample 0, token 1, element 3: inf");

  const Both batch({{4, 4, 4}, 5}, 4, StoredType::f16);
  AttentionModel<float> model(batch.view);
  auto state = initial_state(model);
  TrainerOptions trainer;
  trainer.form = Form::token_span;
  CHECK_THROWS_MATCHES(train(model, state, trainer), InvalidArgument,
                       MessageMatches(ContainsSubstring("token-span") && ContainsSubstring("f16")));
}

TEST_CASE("a file of 16-bit tokens is used in place", "[models]") {
  for (const StoredType storage : both) {
    const TemporaryFile file("softstep-halves");
    const Dataset<float> data = convert<float>(generate({.n_samples = 20, .n_tokens = 50, .dim = 64}));
    save_dataset(file.path, data, storage);
    const std::size_t before = allocated_bytes;
    const HalfDataset halves = load_half_dataset(file.path);
    if (counts_allocations) CHECK(allocated_bytes - before < 20 * 50 * 64 * sizeof(std::uint16_t) / 4);
    const Dataset<float> widened = load_dataset<float>(file.path);
    CHECK(halves.view().storage == storage);
    CHECK(AttentionModel<float>(halves.view()).identity() ==
          AttentionModel<float>(widened.view(), {.token_storage = storage}).identity());
    save_dataset(file.path, data);
    CHECK_THROWS_MATCHES(load_half_dataset(file.path), BadFile, MessageMatches(ContainsSubstring("F32")));
  }
}
