// Attention over heads raises no floating-point flag but inexact and underflow on clean data: a host may have
// turned the others into traps. Flags belong to a thread, so one thread computes.

#include <limits>

#include "heads/heads_tests.h"
#include "support/floating_point_flags.h"

namespace softstep::test {
namespace {

template <class T>
void check_flags(const HeadsSetup& setup) {
  const HeadsCase<T> in(setup);
  for_each_isa([&](const simd::Isa& isa) {
    INFO((sizeof(T) == 4 ? "float, " : "double, ") << isa.name << ": " << setup.text());
    CHECK(flags_raised_by([&] { run(in, isa.name); }) == "");
  });
}

// With the largest numbers in the keys and values that are padding.
template <class T>
void check_flags_of_padding(const HeadsSetup& setup) {
  HeadsCase<T> in(setup);
  const double largest = static_cast<double>(std::numeric_limits<T>::max());
  for (HeadsArray<T>* array : {&in.keys, &in.values})
    array->for_each([&](std::size_t b, std::size_t h, std::size_t j, std::size_t c) {
      if (j >= in.n_keys(b)) array->set(b, h, j, c, largest);
    });
  for_each_isa([&](const simd::Isa& isa) {
    INFO((sizeof(T) == 4 ? "float, " : "double, ") << isa.name << ": " << setup.text());
    CHECK(flags_raised_by([&] { run(in, isa.name); }) == "");
  });
}

}  // namespace

TEST_CASE("Attention over heads raises no flag on clean data", "[heads]") {
  for (const double spread : {0.0, 1.0, 1e4, 1e8})
    for (int mask = 0; mask < 6; ++mask)
      for (const std::size_t n : {1, 5, 70}) {
        HeadsSetup setup;
        setup.shape = {.batch = 2, .n_heads = 2, .n_queries = 37, .n_keys = n, .dim = 9, .value_dim = 17};
        setup.spread = spread;
        if (mask == 1) setup.causal = true;  // rows without keys
        if (mask == 2) setup.key_lengths = {0, 1};
        if (mask == 3) setup.bias = true, setup.hidden = 0.7;
        if (mask == 4) setup.soft_cap = 30.0, setup.before = 2;
        if (mask == 5) setup.exponents = false;
        check_flags<float>(setup);
        check_flags<double>(setup);
        if (spread <= 1.0) {
          setup.storage = StoredType::f16;
          setup.result_storage = StoredType::bf16;
          check_flags<float>(setup);
        }
      }
}

TEST_CASE("What stands in the padding of attention over heads raises no flag", "[heads]") {
  for (const std::size_t m : {0, 3, 37})
    for (const double spread : {1.0, 1e4}) {
      HeadsSetup setup;
      setup.shape = {.batch = 3, .n_heads = 2, .n_queries = m, .n_keys = 70, .dim = 9, .value_dim = 17};
      setup.spread = spread;
      setup.key_lengths = {0, 5, 69};
      check_flags_of_padding<float>(setup);
      check_flags_of_padding<double>(setup);
    }
}

}  // namespace softstep::test
