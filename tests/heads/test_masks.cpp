// Every mask in every order of memory and every storage.

#include <algorithm>
#include <limits>

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

constexpr std::size_t huge = static_cast<std::size_t>(-1);

std::vector<HeadsSetup> masks() {
  HeadsSetup plain;
  plain.shape = {
      .batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 19, .n_keys = 21, .dim = 9, .value_dim = 17};
  std::vector<HeadsSetup> out;
  const auto add = [&](auto change) {
    HeadsSetup setup = plain;
    setup.seed = out.size() + 1;
    change(setup);
    out.push_back(setup);
  };
  add([](HeadsSetup&) {});
  add([](HeadsSetup& s) { s.causal = true; });
  add([](HeadsSetup& s) { s.causal = true, s.shape.n_keys = 6; });  // queries without keys
  add([](HeadsSetup& s) { s.before = 4; });
  add([](HeadsSetup& s) { s.after = 3; });
  add([](HeadsSetup& s) { s.before = 0, s.after = 0; });
  add([](HeadsSetup& s) { s.before = 2, s.after = 5, s.shape.n_queries = 40; });
  add([](HeadsSetup& s) { s.causal = true, s.before = 7; });
  add([](HeadsSetup& s) { s.causal = true, s.after = 3; });
  add([](HeadsSetup& s) { s.before = huge, s.after = huge; });
  add([](HeadsSetup& s) { s.before = huge, s.causal = true, s.shape.n_keys = 6; });
  add([](HeadsSetup& s) { s.key_lengths = {0, 21}; });
  add([](HeadsSetup& s) { s.key_lengths = {1, 20}; });
  add([](HeadsSetup& s) { s.key_lengths = {16, 5}, s.causal = true; });
  add([](HeadsSetup& s) { s.key_lengths = {9, 17}, s.before = 3, s.after = 1; });
  add([](HeadsSetup& s) { s.soft_cap = 2.0, s.spread = 4.0; });
  add([](HeadsSetup& s) { s.soft_cap = 0.5, s.spread = 30.0, s.causal = true; });
  add([](HeadsSetup& s) { s.scale = -0.3; });
  add([](HeadsSetup& s) { s.bias = true; });
  add([](HeadsSetup& s) { s.bias = s.bias_per_batch = true, s.hidden = 0.2; });
  add([](HeadsSetup& s) { s.bias = s.bias_per_head = true, s.hidden = 0.9; });  // rows without keys
  add([](HeadsSetup& s) {
    s.bias = s.bias_per_batch = s.bias_per_head = true, s.hidden = 0.5, s.causal = true;
  });
  add([](HeadsSetup& s) { s.bias = true, s.hidden = 1.0; });
  add([](HeadsSetup& s) { s.bias = true, s.soft_cap = 1.5, s.key_lengths = {12, 3}, s.after = 2; });
  const auto ragged = [](HeadsSetup& s) {
    s.shape.batch = 4;
    s.query_offsets = {0, 7, 8, 8, 27};
    s.key_offsets = {0, 5, 20, 24, 25};
  };
  add([&](HeadsSetup& s) { ragged(s); });
  add([&](HeadsSetup& s) { ragged(s), s.causal = true; });
  add([&](HeadsSetup& s) { ragged(s), s.before = 3, s.after = 2, s.soft_cap = 1.0; });
  return out;
}

template <class T>
void check_masks(StoredType storage, StoredType result_storage) {
  for (const Order order :
       {Order::packed, Order::tokens_first, Order::padded, Order::backwards, Order::repeated})
    for (HeadsSetup setup : masks()) {
      setup.order = order;
      setup.storage = storage;
      setup.result_storage = result_storage;
      setup.exponents = setup.seed % 3 != 0;
      check<T>(setup);
    }
}

}  // namespace

TEST_CASE("Masks in every order, float", "[heads]") {
  check_masks<float>(StoredType::working, StoredType::working);
}
TEST_CASE("Masks in every order, double", "[heads]") {
  check_masks<double>(StoredType::working, StoredType::working);
}
TEST_CASE("Masks in every order, f16", "[heads]") { check_masks<float>(StoredType::f16, StoredType::f16); }
TEST_CASE("Masks in every order, bf16", "[heads]") { check_masks<float>(StoredType::bf16, StoredType::bf16); }
TEST_CASE("Inputs and results of different storage", "[heads]") {
  check_masks<float>(StoredType::f16, StoredType::working);
  check_masks<float>(StoredType::working, StoredType::bf16);
}

// Rows that see no key: exactly 0 and -infinity, not just within a bound.
TEST_CASE("A query without keys has output 0, log-sum-exp -infinity and gradient 0", "[heads]") {
  HeadsSetup setup;
  setup.shape = {.batch = 2, .n_heads = 2, .n_queries = 9, .n_keys = 4, .dim = 8, .value_dim = 5};
  setup.causal = true;
  setup.key_lengths = {0, 4};
  const HeadsCase<float> in(setup);
  for_each_isa([&](const simd::Isa& isa) {
    const HeadsRun<float> out = run(in, isa.name);
    INFO(isa.name);
    for (std::size_t b = 0; b < 2; ++b)
      for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t i = 0; i < (b == 0 ? 9u : 5u); ++i) {
          CHECK(out.log_sum_exp[out.row_place(b, h, i)] == -std::numeric_limits<float>::infinity());
          for (std::size_t l = 0; l < 5; ++l) CHECK(out.outputs.get(b, h, i, l) == 0.0f);
          for (std::size_t l = 0; l < 8; ++l) CHECK(out.queries.get(b, h, i, l) == 0.0f);
        }
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t j = 0; j < 4; ++j) {
        for (std::size_t l = 0; l < 8; ++l) CHECK(out.keys.get(0, h, j, l) == 0.0f);
        for (std::size_t l = 0; l < 5; ++l) CHECK(out.values.get(0, h, j, l) == 0.0f);
      }
  });
}

TEST_CASE("A key that a bias hides counts nothing where its scores overflow", "[heads]") {
  for (const std::size_t m : {1, 4, 6, 40})
    for (const double cap : {0.0, 5.0}) {
      HeadsSetup setup;
      setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = m, .n_keys = 19, .dim = 5};
      setup.spread = 100.0;  // queries times the largest number overflow
      setup.soft_cap = cap;
      setup.bias = true;
      const auto results = [&](const std::string& isa, double x) {
        HeadsCase<float> in(setup);
        for (const std::size_t j : {3u, 18u}) {
          for (std::size_t c = 0; c < 5; ++c) in.keys.set(0, 0, j, c, x);
          for (std::size_t i = 0; i < m; ++i)
            in.bias[in.bias_place(0, 0, i, j)] = -std::numeric_limits<float>::infinity();
        }
        return run(in, isa).bits();
      };
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ", " << m << " queries, cap " << cap);
        CHECK((results(isa.name, static_cast<double>(std::numeric_limits<float>::max())) ==
               results(isa.name, 0.0)));
      });
    }
}

TEST_CASE("A key that a bias hides counts nothing along a direction where its scores overflow", "[heads]") {
  for (const std::size_t m : {1, 4, 40})
    for (const double cap : {0.0, 5.0}) {
      HeadsSetup setup;
      setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = m, .n_keys = 19, .dim = 5};
      setup.spread = 100.0;  // queries and their changes times the largest number overflow
      setup.soft_cap = cap;
      setup.bias = true;
      HeadsSetup other = setup;
      other.seed += 1000;
      const HeadsCase<float> along(other);
      const auto results = [&](const std::string& isa, double x) {
        HeadsCase<float> in(setup);
        for (const std::size_t j : {3u, 18u}) {
          for (std::size_t c = 0; c < 5; ++c) in.keys.set(0, 0, j, c, x);
          for (std::size_t i = 0; i < m; ++i)
            in.bias[in.bias_place(0, 0, i, j)] = -std::numeric_limits<float>::infinity();
        }
        HeadsRun<float> out = run(in, isa);
        const HeadsDirection<float> direction{along.queries.view(), along.keys.view(), along.values.view(),
                                              along.output_gradient.view()};
        attention_tangent(in.inputs(), out.state, direction, out.outputs.span(), in.options(isa, 1));
        HeadsGradients<float> products = out.backward_face();
        products.bias = {};
        attention_hessian_product(in.inputs(), out.state, in.output_gradient.view(), direction, products,
                                  in.options(isa, 1));
        return out.bits();
      };
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ", " << m << " queries, cap " << cap);
        CHECK((results(isa.name, static_cast<double>(std::numeric_limits<float>::max())) ==
               results(isa.name, 0.0)));
      });
    }
}

}  // namespace softstep::test
