// The same bits for any number of threads.

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

template <class T>
void check_same(const HeadsSetup& setup) {
  const HeadsCase<T> in(setup);
  for_each_isa([&](const simd::Isa& isa) {
    INFO((sizeof(T) == 4 ? "float, " : "double, ") << isa.name << ": " << setup.text());
    const std::vector<std::uint64_t> one = run(in, isa.name, 1).bits();
    for (const int n_threads : {2, 3, 7}) {
      INFO(n_threads << " threads");
      CHECK((run(in, isa.name, n_threads).bits() == one));
    }
  });
}

template <class T>
void check_same_for_all() {
  HeadsSetup one_head;
  one_head.shape = {.n_queries = 301, .n_keys = 420, .dim = 17, .value_dim = 8};
  check_same<T>(one_head);
  one_head.causal = true;
  check_same<T>(one_head);

  HeadsSetup decoding;
  decoding.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 1, .n_keys = 4097, .dim = 16};
  check_same<T>(decoding);

  HeadsSetup one_key = decoding;
  std::swap(one_key.shape.n_queries, one_key.shape.n_keys);
  one_key.shape.n_keys = 3;
  check_same<T>(one_key);

  HeadsSetup groups;
  groups.shape = {.batch = 3, .n_heads = 6, .n_key_heads = 2, .n_queries = 70, .n_keys = 90, .dim = 8};
  groups.key_lengths = {90, 0, 33};
  groups.bias = true;
  groups.hidden = 0.1;
  groups.soft_cap = 2.0;
  check_same<T>(groups);
  groups.bias_per_head = true;
  groups.before = 20;
  groups.exponents = false;
  check_same<T>(groups);

  HeadsSetup ragged;
  ragged.shape = {.batch = 4, .n_heads = 2, .dim = 24};
  ragged.query_offsets = {0, 150, 151, 151, 290};
  ragged.key_offsets = {0, 90, 290, 300, 301};
  ragged.spread = 50.0;
  check_same<T>(ragged);
}

}  // namespace

TEST_CASE("Attention over heads has the same bits for any number of threads, float", "[heads]") {
  check_same_for_all<float>();
}
TEST_CASE("Attention over heads has the same bits for any number of threads, double", "[heads]") {
  check_same_for_all<double>();
}

}  // namespace softstep::test
