// Tokens stored in 16 bits: the objective of the rounded tokens, and of the tokens themselves where 16 bits
// hold them.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "layer/exact_objective.h"
#include "softstep/softstep.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::Exact;
using softstep::test::TestBatch;
using softstep::test::Toward;

TEST_CASE("tokens that 16 bits hold give the gradient within the bound of float32", "[layer]") {
  softstep::test::for_each_isa([&](const simd::Isa& isa) {
    std::uint64_t seed = 50;
    for (const StoredType storage : {StoredType::f16, StoredType::bf16})
      for (const double norm : {1.0, 100.0, 1e4}) {
        TestBatch<float> batch({{5, 9, 1, 17}, 21, 3, true, false, true}, ++seed);
        // Multiples of 1/128 below 1 have 7 bits at most.
        for (float& x : batch.tokens)
          if (!std::isnan(x)) x = std::ldexp(std::nearbyint(std::ldexp(x, 7)), -7);
        const auto w = weights_toward(batch.view, Toward::optimal, norm);
        AttentionOptions options;
        options.isa = isa.name;
        options.token_storage = storage;
        AttentionModel<float> model(batch.view, options);
        Evaluation<float> out;
        model.evaluate(w, out);
        const softstep::test::ExactObjective<float> exact(batch.view, w, Loss::logistic);
        Exact squared = 0;
        for (std::size_t k = 0; k < out.gradients[0].values.size(); ++k) {
          const Exact difference = Exact(out.gradients[0].values[k]) / Exact(out.gradients[0].norm) -
                                   exact.gradient[k] / exact.gradient_norm;
          squared += difference * difference;
        }
        INFO(isa.name << ' ' << to_string(storage) << " norm " << norm);
        // The norm that is divided by was rounded as well: (d^2 + 8) u at most.
        REQUIRE(std::sqrt(static_cast<double>(squared)) <=
                exact.gradient_bound.direction +
                    0.5 * (21.0 * 21.0 + 8.0) * softstep::test::unit_roundoff<float>);
      }
  });
}

TEST_CASE("a run on tokens in 16 bits is the run on the rounded tokens", "[layer]") {
  GeneratorOptions generator;
  generator.n_tokens = 20;
  const Dataset<float> data = convert<float>(generate(generator));
  const auto train_with = [&](StoredType storage) {
    AttentionOptions how;
    how.token_storage = storage;
    AttentionModel<float> model(data.view(), how);
    auto state = initial_state(model);
    TrainerOptions options;
    options.n_steps = 200;
    options.form = Form::dense;
    train(model, state, options);
    return state.blocks[0];
  };
  const auto working = train_with(StoredType::working);
  // Tokens rounded by at most r = 2^-11 or 2^-8 of themselves; the constraints A_k of unit tokens turn by 2 r
  // each, and the direction that is fitted to them by a multiple of that, their condition, which is below 10
  // here.
  for (const auto& [storage, r] :
       {std::pair{StoredType::f16, 0x1p-11}, std::pair{StoredType::bf16, 0x1p-8}}) {
    const auto stored = train_with(storage);
    const Direction turned = compare_direction(working, stored);
    CHECK(turned.angle <= 10.0 * 2.0 * r);
    CHECK(turned.angle > 0.0);  // they are different tokens
  }
}

TEST_CASE("a storage that cannot be is refused by name", "[layer]") {
  TestBatch<float> batch({{2, 2}, 3}, 1);
  batch.tokens[4] = 1e5f;
  AttentionOptions options;
  options.token_storage = StoredType::f16;
  CHECK_THROWS_MATCHES(AttentionModel<float>(batch.view, options), InvalidArgument,
                       MessageMatches(ContainsSubstring("token_storage") && ContainsSubstring("100000")));
  options.token_storage = StoredType::bf16;
  CHECK_NOTHROW(AttentionModel<float>(batch.view, options));
  const TestBatch<double> wide({{2, 2}, 3}, 1);
  CHECK_THROWS_MATCHES(AttentionModel<double>(wide.view, options), InvalidArgument,
                       MessageMatches(ContainsSubstring("token_storage")));
  for (const StoredType other : {StoredType::f64, StoredType::f32}) {
    options.token_storage = other;
    const auto make_narrow = [&] { AttentionModel<float>(batch.view, options).identity(); };
    const auto make_wide = [&] { AttentionModel<double>(wide.view, options).identity(); };
    const auto refused = [&](const auto& make) {
      CHECK_THROWS_MATCHES(
          make(), InvalidArgument,
          MessageMatches(ContainsSubstring("token_storage: ") && ContainsSubstring(to_string(other))));
    };
    if (other == StoredType::f64) {
      refused(make_narrow);
      CHECK_NOTHROW(make_wide());
    } else {
      CHECK_NOTHROW(make_narrow());
      refused(make_wide);
    }
  }
  options.token_storage = StoredType::f32;
  const std::string by_name = AttentionModel<float>(batch.view, options).identity();
  options.token_storage = StoredType::working;
  CHECK(AttentionModel<float>(batch.view, options).identity() == by_name);  // the same model
  options.token_storage = StoredType::bf16;
  CHECK_THROWS_MATCHES(parse_stored_type("f8"), InvalidArgument, MessageMatches(ContainsSubstring("bf16")));
  AttentionModel<float> model(batch.view, options);
  auto state = initial_state(model);
  TrainerOptions trainer;
  trainer.form = Form::token_span;
  CHECK_THROWS_MATCHES(train(model, state, trainer), InvalidArgument,
                       MessageMatches(ContainsSubstring("token-span") && ContainsSubstring("bf16")));
}
