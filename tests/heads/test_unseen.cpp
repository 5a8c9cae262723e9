// Keys that no query sees, ahead of a window or behind the padding, and queries that see no key: what stands
// there is never looked at.

#include <catch2/catch_template_test_macros.hpp>

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

// Sets rows begin .. end - 1 of every head.
template <class T>
void fill_rows(HeadsArray<T>& array, std::size_t b, std::size_t begin, std::size_t end, double x) {
  for (std::size_t h = 0; h < array.n_heads(); ++h)
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t c = 0; c < array.n_cols(); ++c) array.set(b, h, r, c, x);
}

struct Unseen {
  HeadsSetup setup;
  std::size_t keys_begin, keys_end;  ///< of each entry
  std::size_t blind;                 ///< queries from the first on that see no key
};

// All that the four functions write, with `x` where nobody looks.
template <class T>
std::vector<std::uint64_t> results(const Unseen& of, const std::string& isa, double x) {
  HeadsSetup other = of.setup;
  other.seed += 1000;
  HeadsCase<T> in(of.setup), along(other);
  for (HeadsCase<T>* one : {&in, &along})
    for (std::size_t b = 0; b < of.setup.shape.batch; ++b) {
      for (HeadsArray<T>* array : {&one->keys, &one->values})
        fill_rows(*array, b, of.keys_begin, of.keys_end, x);
      for (HeadsArray<T>* array : {&one->queries, &one->output_gradient})
        fill_rows(*array, b, 0, of.blind, x);
    }
  HeadsRun<T> first = run(in, isa), product(in);
  std::vector<std::uint64_t> out = first.bits();
  const HeadsDirection<T> direction{along.queries.view(), along.keys.view(), along.values.view(),
                                    along.output_gradient.view()};
  HeadsGradients<T> face = product.backward_face();
  face.bias = {};
  attention_hessian_product(in.inputs(), first.state, in.output_gradient.view(), direction, face,
                            in.options(isa, 1));
  attention_tangent(in.inputs(), first.state, direction, product.outputs.span(), in.options(isa, 1));
  for (const HeadsArray<T>* array : {&product.outputs, &product.queries, &product.keys, &product.values})
    for (const std::uint64_t bits : array->element_bits()) out.push_back(bits);
  return out;
}

std::vector<Unseen> cases() {
  std::vector<Unseen> out;
  for (const std::size_t m : {1u, 2u, 9u, 70u}) {
    HeadsSetup setup;
    setup.shape = {.batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = m, .n_keys = 700, .dim = 5};
    setup.before = 2;
    for (const bool causal : {false, true}) {
      setup.causal = causal;
      out.push_back({setup, 0, 700 - m - 2, 0});
    }
    setup.key_lengths = {600, 600};
    out.push_back({setup, 0, 600 - m - 2, 0});
    out.push_back({setup, 600, 700, 0});
  }
  for (const std::size_t n : {4u, 90u}) {
    HeadsSetup blind;
    blind.shape = {.batch = 2, .n_heads = 2, .n_queries = n + 66, .n_keys = n, .dim = 5};
    blind.causal = true;
    out.push_back({blind, 0, 0, 66});
    blind.soft_cap = 2.0;
    out.push_back({blind, 0, 0, 66});
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("Keys that no query sees and queries that see no key are never looked at", "[heads]",
                   float, double) {
  using T = TestType;
  for (Unseen of : cases())
    for (const StoredType storage : {StoredType::working, StoredType::bf16}) {
      if (storage != StoredType::working && sizeof(T) != sizeof(float)) continue;
      of.setup.storage = storage;
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ": " << of.setup.text());
        const std::vector<std::uint64_t> zeros = results<T>(of, isa.name, 0.0);
        for (const double x : {static_cast<double>(NAN), HUGE_VAL})
          CHECK((results<T>(of, isa.name, x) == zeros));
      });
    }
}

}  // namespace softstep::test
