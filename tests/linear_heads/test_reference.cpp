// Linear attention beside its definition, in every order, storage and mask, on every instruction set; results
// and the gaps between them in memory that ends at a protected page.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include "linear_heads/linear_case.h"
#include "support/isas.h"

namespace softstep {
namespace {

using namespace test;

template <class T>
void require_right(const LinearSetup& setup) {
  const LinearCase<T> in(setup);
  const LinearReference wanted(in);
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name << " " << sizeof(T) << " bytes " << setup.text());
    LinearRun<T> out = run(in, isa.name);
    REQUIRE(worst_over_bound(in, out, wanted) <= 1.0);
  });
}

constexpr HeadGates every_kind[] = {HeadGates::none, HeadGates::scalar, HeadGates::vector};

TEST_CASE("Linear attention is its definition at lengths around chunks", "[linear_heads]") {
  for (const HeadGates gates : every_kind)
    for (const auto& [m, n] : {std::pair<std::size_t, std::size_t>{1, 1},
                               {63, 63},
                               {64, 64},
                               {65, 65},
                               {131, 131},
                               {7, 131},
                               {70, 131},
                               {131, 64},
                               {130, 9},
                               {1, 200}}) {
      LinearSetup setup{
          .shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = m, .n_keys = n, .dim = 17, .value_dim = 8},
          .gates = gates};
      require_right<float>(setup);
      setup.scale = -0.3;
      require_right<double>(setup);
      if (gates != HeadGates::none) continue;
      setup.causal = false;
      require_right<float>(setup);
      require_right<double>(setup);
    }
}

TEST_CASE("Linear attention of no queries or no keys is 0", "[linear_heads]") {
  for (const HeadGates gates : every_kind)
    for (const bool causal : {true, false})
      for (const auto& [m, n] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 0}, {0, 0}})
        if (causal || gates == HeadGates::none)
          require_right<float>(
              {.shape = {.n_queries = m, .n_keys = n, .dim = 3}, .causal = causal, .gates = gates});
}

TEST_CASE("A window of no keys behind is the causal mask", "[linear_heads]") {
  const LinearCase<float> in({.shape = {.n_queries = 70, .n_keys = 80, .dim = 5}});
  LinearRun<float> causal = run(in, ""), window(in);
  LinearAttentionOptions options = in.options("");
  options.mask.causal = false;
  options.mask.after = 0;
  linear_attention_forward<float>(in.inputs(), window.outputs.span(), options);
  linear_attention_backward<float>(in.inputs(), in.output_gradient.view(), window.gradients(HeadGates::none),
                                   options);
  REQUIRE(window.bits(HeadGates::none) == causal.bits(HeadGates::none));
}

TEST_CASE("Linear attention without a mask sums keys and queries by blocks", "[linear_heads]") {
  for (const std::size_t n : {255, 256, 257, 600}) {
    const LinearSetup setup{
        .shape =
            {.n_heads = 2, .n_key_heads = 1, .n_queries = 611 - n, .n_keys = n, .dim = 9, .value_dim = 20},
        .causal = false};
    require_right<float>(setup);
    require_right<double>(setup);
  }
}

TEST_CASE("Linear attention takes any head size", "[linear_heads]") {
  for (const HeadGates gates : every_kind)
    for (const auto& [d, dv] : {std::pair<std::size_t, std::size_t>{1, 1},
                                {3, 8},
                                {8, 3},
                                {17, 64},
                                {64, 17},
                                {64, 64},
                                {128, 1},
                                {1, 128},
                                {128, 128}}) {
      LinearSetup setup{
          .shape = {.n_queries = 67, .n_keys = 67, .dim = d, .value_dim = dv}, .gates = gates, .low = -0.2};
      require_right<float>(setup);
      require_right<double>(setup);
      if (gates != HeadGates::none) continue;
      setup.causal = false;
      require_right<float>(setup);
      require_right<double>(setup);
    }
}

TEST_CASE("Linear attention takes any order, storage and mask", "[linear_heads]") {
  struct Mask {
    std::vector<std::int64_t> lengths, query_offsets, key_offsets;
  };
  const Mask masks[] = {{},
                        {{70, 0, 33}, {}, {}},
                        {{}, {0, 66, 66, 80}, {0, 70, 75, 80}},
                        {{65, 5, 0}, {0, 66, 66, 80}, {0, 70, 75, 80}}};
  struct Kind {
    HeadGates gates;
    bool causal;
  };
  for (const Kind kind : {Kind{HeadGates::none, false}, Kind{HeadGates::none, true},
                          Kind{HeadGates::scalar, true}, Kind{HeadGates::vector, true}})
    for (const Mask& mask : masks)
      for (const Order order :
           {Order::packed, Order::tokens_first, Order::padded, Order::backwards, Order::repeated}) {
        if (!mask.query_offsets.empty() && order == Order::repeated) continue;
        LinearSetup setup{.shape = {.batch = 3,
                                    .n_heads = 4,
                                    .n_key_heads = 2,
                                    .n_queries = 66,
                                    .n_keys = 70,
                                    .dim = 10,
                                    .value_dim = 12},
                          .causal = kind.causal,
                          .gates = kind.gates,
                          .scale = 0.7,
                          .key_lengths = mask.lengths,
                          .query_offsets = mask.query_offsets,
                          .key_offsets = mask.key_offsets,
                          .order = order};
        require_right<double>(setup);
        require_right<float>(setup);
        setup.storage = setup.result_storage = StoredType::f16;
        require_right<float>(setup);
        setup.storage = StoredType::bf16;
        require_right<float>(setup);
        setup.result_storage = StoredType::bf16;
        setup.storage = StoredType::working;
        require_right<float>(setup);
      }
}

}  // namespace
}  // namespace softstep
