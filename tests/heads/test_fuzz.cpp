// Random shapes and options against the reference; always the same ones.

#include <random>

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

class RandomSetup {
 public:
  explicit RandomSetup(std::uint64_t seed) : random_(seed) {}

  HeadsSetup next(bool halves) {
    HeadsSetup out;
    out.seed = random_();
    const std::size_t n_key_heads = between(1, 3);
    out.shape = {.batch = between(1, 3),
                 .n_heads = n_key_heads * between(1, 3),
                 .n_key_heads = n_key_heads,
                 .n_queries = length(),
                 .n_keys = length(),
                 .dim = one_in(3) ? between(1, 80) : between(1, 20),
                 .value_dim = one_in(3) ? between(1, 80) : between(1, 20)};
    out.causal = one_in(3);
    if (one_in(4)) out.before = between(0, out.shape.n_keys);
    if (one_in(4)) out.after = between(0, out.shape.n_keys);
    if (one_in(3)) out.soft_cap = pick({0.5, 3.0, 50.0});
    if (one_in(4)) out.scale = pick({0.125, 1.0, -0.7, 1e-3});
    out.order = static_cast<Order>(between(0, 4));
    if (halves && one_in(3)) out.storage = one_in(2) ? StoredType::f16 : StoredType::bf16;
    if (halves && one_in(3)) out.result_storage = one_in(2) ? StoredType::f16 : StoredType::bf16;
    out.spread = pick({0.0, 1.0, 1.0, 5.0, 50.0, 1000.0});
    if (in_16_bits(out.storage)) {
      out.spread = std::min(out.spread, 50.0);
      if (out.scale) out.scale = 0.125;
    }
    out.exponents = one_in(2);
    if (one_in(4)) {
      for (std::vector<std::int64_t>* offsets : {&out.query_offsets, &out.key_offsets}) {
        offsets->assign(1, 0);
        for (std::size_t b = 0; b < out.shape.batch; ++b)
          offsets->push_back(offsets->back() + static_cast<std::int64_t>(one_in(5) ? 0 : length()));
      }
      return out;
    }
    if (one_in(3))
      for (std::size_t b = 0; b < out.shape.batch; ++b)
        out.key_lengths.push_back(static_cast<std::int64_t>(between(0, out.shape.n_keys)));
    if (one_in(3)) {
      out.bias = true;
      out.bias_per_batch = one_in(2);
      out.bias_per_head = one_in(2);
      out.hidden = pick({0.0, 0.2, 0.9});
    }
    return out;
  }
  bool one_in(std::size_t n) { return between(1, n) == 1; }

 private:
  std::size_t between(std::size_t low, std::size_t high) {
    return low + static_cast<std::size_t>(random_() % (high - low + 1));
  }
  double pick(std::initializer_list<double> choices) {
    return choices.begin()[between(0, choices.size() - 1)];
  }
  std::size_t length() { return one_in(4) ? between(1, 150) : between(1, 24); }

  std::mt19937_64 random_;
};

void fuzz(std::uint64_t seed, int n_cases) {
  RandomSetup setups(seed);
  for (int k = 0; k < n_cases; ++k) {
    const std::vector<int> threads{1 + k % 3};
    if (k % 3 == 0)
      check<double>(setups.next(false), threads);
    else
      check<float>(setups.next(true), threads);
  }
}

}  // namespace

TEST_CASE("Random shapes and options", "[heads]") { fuzz(20261127, 300); }
TEST_CASE("Many random shapes and options", "[heads][long]") { fuzz(7, 20000); }

}  // namespace softstep::test
