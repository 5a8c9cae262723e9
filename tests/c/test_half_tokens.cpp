// Tokens in 16 bits that a program in C passes by pointers: where they lie, how far they reach, and the bits
// of the C++ face.

#include <algorithm>
#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "c/c_problem.h"
#include "softstep/trainer.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr std::size_t n = 4, n_tokens = 3, dim = 5, stride = 7;

// bfloat16 has the upper half of a float32.
std::uint16_t bfloat(float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16); }
// Of a power of two from 2^-14 on, or of its negative.
std::uint16_t half(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000u) | ((bits >> 23 & 0xffu) - 112u) << 10);
}

// Rows of powers of two, `stride` apart, with numbers that nobody may read as finite between them. Nothing
// stands behind the last row.
std::vector<std::uint16_t> rows(std::size_t n_rows, bool is_half) {
  std::vector<std::uint16_t> out((n_rows - 1) * stride + dim, is_half ? 0x7e00 : 0x7fc0);
  for (std::size_t r = 0; r < n_rows; ++r)
    for (std::size_t j = 0; j < dim; ++j) {
      const std::size_t k = r * 31 + j * 17;
      const float x =
          std::bit_cast<float>(static_cast<std::uint32_t>(124 + k % 5) << 23) * (k % 3 == 0 ? -1.0f : 1.0f);
      out[r * stride + j] = is_half ? half(x) : bfloat(x);
    }
  return out;
}

}  // namespace

TEST_CASE("C: tokens in 16 bits are used where they lie, with the bits of the C++ face", "[c]") {
  const std::int8_t labels[n] = {1, -1, 1, 1};
  const float decoder[dim] = {1, -0.5f, 0.25f, 2, -1};
  const std::int64_t offsets[n + 1] = {0, 3, 5, 9, 11};
  for (const bool is_half : {false, true})
    for (const bool is_ragged : {false, true}) {
      INFO((is_half ? "f16" : "bf16") << (is_ragged ? ", ragged" : ""));
      const std::vector<std::uint16_t> tokens = rows(is_ragged ? 11 : n * n_tokens, is_half);
      softstep_batch batch{};
      batch.struct_size = sizeof batch;
      batch.type = is_half ? SOFTSTEP_F16 : SOFTSTEP_BF16;
      batch.tokens = tokens.data();
      batch.n_samples = n;
      batch.n_tokens = is_ragged ? 0 : n_tokens;
      batch.dim = dim;
      batch.token_stride = stride;
      if (is_ragged) batch.offsets = offsets;
      batch.labels = labels;
      batch.decoder = decoder;
      HalfBatchView view;
      view.tokens = tokens;
      view.storage = is_half ? StoredType::f16 : StoredType::bf16;
      view.rest.n_samples = n;
      view.rest.n_tokens = batch.n_tokens;
      view.rest.dim = dim;
      view.rest.token_stride = stride;
      view.rest.offsets = batch.offsets;
      view.rest.labels = labels;
      view.rest.decoder = decoder;

      const auto model = make_attention_model(view);
      auto state = initial_state(*model);
      TrainerOptions options;
      options.rules = {parse_rule("ngd:step-size=0.5")};
      options.n_steps = 6;
      train(*model, state, options);

      const CModel of_c(batch);
      REQUIRE(of_c.status == SOFTSTEP_OK);
      softstep_state* state_of_c = nullptr;
      REQUIRE(softstep_state_create(of_c.model, nullptr, &state_of_c) == SOFTSTEP_OK);
      softstep_train_options training{};
      training.struct_size = sizeof training;
      training.rules = "ngd:step-size=0.5";
      training.n_steps = 6;
      CHECK(softstep_train(of_c.model, state_of_c, &training, nullptr) == SOFTSTEP_OK);
      std::vector<double> weights(dim * dim);
      REQUIRE(softstep_state_block(state_of_c, 0, weights.data(), weights.size()) == SOFTSTEP_OK);
      softstep_state_destroy(state_of_c);
      double largest = 0.0;
      for (std::size_t k = 0; k < weights.size(); ++k) {
        CHECK(weights[k] == static_cast<double>(state.blocks[0][k]));
        largest = std::max(largest, std::abs(weights[k]));
      }
      CHECK(largest > 0.1);
    }
}

TEST_CASE("C: a batch in 16 bits that lacks something is refused", "[c]") {
  const std::vector<std::uint16_t> tokens = rows(n * n_tokens, true);
  const std::int8_t labels[n] = {1, -1, 1, 1};
  const float decoder[dim] = {1, 1, 1, 1, 1};
  softstep_batch batch{};
  batch.struct_size = sizeof batch;
  batch.type = SOFTSTEP_F16;
  batch.tokens = tokens.data();
  batch.n_samples = n;
  batch.n_tokens = n_tokens;
  batch.dim = dim;
  batch.token_stride = stride;
  batch.labels = labels;
  batch.decoder = decoder;
  REQUIRE(CModel(batch).status == SOFTSTEP_OK);
  const auto refused = [&](auto spoil, const std::string& argument) {
    softstep_batch wrong = batch;
    spoil(wrong);
    CHECK(CModel(wrong).status == SOFTSTEP_BAD_ARGUMENT);
    CHECK(softstep_last_argument() == argument);
  };
  refused([](softstep_batch& b) { b.tokens = nullptr; }, "tokens");
  refused([](softstep_batch& b) { b.n_samples = 0; }, "n_samples");
  refused([](softstep_batch& b) { b.n_tokens = 0; }, "n_tokens");
  refused([](softstep_batch& b) { b.dim = 0; }, "dim");
  refused([](softstep_batch& b) { b.type = 77; }, "batch.type");
}
