// The same bits for any number of threads, whether they have heads of their own or share one; memory that
// does not grow with the square of the length.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

#include "linear_heads/linear_case.h"
#include "support/allocations.h"
#include "support/isas.h"

namespace softstep {
namespace {

using namespace test;

struct Kind {
  HeadGates gates;
  bool causal;
};
constexpr Kind kinds[] = {
    {HeadGates::none, false}, {HeadGates::none, true}, {HeadGates::scalar, true}, {HeadGates::vector, true}};

template <class T>
void require_same_bits(const LinearSetup& setup) {
  const LinearCase<T> in(setup);
  for_each_isa([&](const simd::Isa& isa) {
    LinearRun<T> alone = run(in, isa.name, 1);
    for (const int threads : {2, 3}) {
      INFO(isa.name << " " << setup.text() << " threads " << threads);
      LinearRun<T> team = run(in, isa.name, threads);
      REQUIRE(team.bits(setup.gates) == alone.bits(setup.gates));
    }
  });
}

TEST_CASE("Linear attention has the same bits for any number of threads", "[linear_heads]") {
  // Enough work that threads are started: (m + n) d dv >= 1e6.
  for (const Kind kind : kinds)
    for (const std::size_t heads : {1, 2, 4, 5}) {
      LinearSetup setup{
          .shape = {.n_heads = heads, .n_queries = 700, .n_keys = 900, .dim = 32, .value_dim = 24},
          .causal = kind.causal,
          .gates = kind.gates,
          .low = -0.1};
      require_same_bits<float>(setup);
      if (heads == 1) require_same_bits<double>(setup);
      setup.shape.n_key_heads = 1;
      if (heads == 4) require_same_bits<float>(setup);
    }
}

TEST_CASE("Linear attention of ragged batches has the same bits for any number of threads",
          "[linear_heads]") {
  for (const Kind kind : kinds)
    require_same_bits<float>({.shape = {.batch = 3, .n_heads = 1, .dim = 40, .value_dim = 32},
                              .causal = kind.causal,
                              .gates = kind.gates,
                              .low = -0.1,
                              .query_offsets = {0, 500, 500, 1300},
                              .key_offsets = {0, 700, 800, 1500},
                              .storage = StoredType::bf16});
}

TEST_CASE("Linear attention needs no memory that grows with the square of the length", "[linear_heads]") {
  if (!counts_allocations) return;
  const std::size_t d = 16;
  for (const Kind kind : kinds) {
    std::size_t forward[2], backward[2];
    for (const std::size_t k : {0, 1}) {
      const std::size_t n = k == 0 ? 1024 : 4096;
      const LinearCase<float> in(
          {.shape = {.n_queries = n, .n_keys = n, .dim = d}, .causal = kind.causal, .gates = kind.gates});
      LinearRun<float> out(in);
      const std::size_t before = allocated_bytes;
      linear_attention_forward<float>(in.inputs(), out.outputs.span(), in.options("", 1));
      const std::size_t between = allocated_bytes;
      linear_attention_backward<float>(in.inputs(), in.output_gradient.view(), out.gradients(kind.gates),
                                       in.options("", 1));
      forward[k] = between - before;
      backward[k] = allocated_bytes - between;
    }
    INFO("gates " << static_cast<int>(kind.gates) << " causal " << kind.causal);
    REQUIRE(forward[1] == forward[0]);
    // The states before all chunks, and a gate's product for each; some bytes for names.
    const std::size_t chunks = (4096 - 1024) / 64;
    REQUIRE(backward[1] <= backward[0] + (kind.causal ? chunks * (d * d + 2 * d) * sizeof(float) : 0));
  }
}

TEST_CASE("Linear attention of few keys takes no states for chunks that there are not", "[linear_heads]") {
  if (!counts_allocations) return;
  // One chunk, and enough work that threads are started. A team shares the states, so that each member adds
  // at most what one thread takes alone.
  const LinearCase<float> in({.shape = {.n_queries = 64, .n_keys = 64, .dim = 256}});
  LinearRun<float> out(in);
  const auto bytes = [&](int threads) {
    const std::size_t before = allocated_bytes;
    linear_attention_forward<float>(in.inputs(), out.outputs.span(), in.options("", threads));
    return allocated_bytes - before;
  };
  const std::size_t alone = bytes(1);
  for (const std::size_t threads : {2, 4}) REQUIRE(bytes(static_cast<int>(threads)) <= threads * alone);
}

}  // namespace
}  // namespace softstep
