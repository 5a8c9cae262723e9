// Attention over heads through the C face: the bits of the C++ face.

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "softstep/attention.h"
#include "softstep/c/softstep.h"
#include "softstep/train_state.h"

using namespace softstep;

namespace {

softstep_heads_array array_of(std::vector<float>& numbers) {
  softstep_heads_array out{};
  out.data = numbers.data();
  out.size = numbers.size();
  out.type = SOFTSTEP_F32;
  return out;
}
std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
  const std::vector<double> values = normal_values(n, 1.0, seed);
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("Attention over heads has the same bits in C and in C++", "[c]") {
  const std::size_t b = 2, h = 4, hk = 2, m = 9, n = 13, d = 8;
  std::vector<float> q = numbers(b * h * m * d, 1), k = numbers(b * hk * n * d, 2),
                     v = numbers(b * hk * n * d, 3), slopes = numbers(b * h * m * d, 4),
                     bias = numbers(h * m * n, 5);
  std::vector<float> o(q.size()), lse(b * h * m), dq(q.size()), dk(k.size()), dv(v.size()), db(bias.size());
  std::vector<double> qe(b * h * m), ke(b * hk);
  const std::vector<std::int64_t> lengths{13, 6};
  softstep_heads_options options{};
  options.struct_size = sizeof options;
  options.type = SOFTSTEP_F32;
  options.n_threads = 1;
  options.batch = b;
  options.n_heads = h;
  options.n_key_heads = hk;
  options.n_queries = m;
  options.n_keys = n;
  options.dim = d;
  options.causal = 1;
  options.key_lengths = lengths.data();
  options.bias = bias.data();
  options.bias_size = bias.size();
  options.bias_per_head = 1;
  softstep_heads_state* state = nullptr;
  REQUIRE(softstep_heads_state_create(SOFTSTEP_F32, &state) == SOFTSTEP_OK);
  const softstep_heads_array queries = array_of(q), keys = array_of(k), values = array_of(v),
                             outputs = array_of(o), output_gradient = array_of(slopes),
                             query_gradient = array_of(dq), key_gradient = array_of(dk),
                             value_gradient = array_of(dv);
  REQUIRE(softstep_heads_forward(&options, &queries, &keys, &values, &outputs, lse.data(), state) ==
          SOFTSTEP_OK);
  REQUIRE(softstep_heads_backward(&options, &queries, &keys, &values, state, &output_gradient,
                                  &query_gradient, &key_gradient, &value_gradient, db.data(), qe.data(),
                                  ke.data()) == SOFTSTEP_OK);

  HeadsInputs<float> in{{b, h, hk, m, n, d, 0}, {q}, {k}, {v}, {bias, false, true}};
  HeadsOptions own;
  own.mask.causal = true;
  own.mask.key_lengths = lengths;
  own.threads = 1;
  std::vector<float> o2(o.size()), lse2(lse.size()), dq2(dq.size()), dk2(dk.size()), dv2(dv.size()),
      db2(db.size());
  std::vector<double> qe2(qe.size()), ke2(ke.size());
  HeadsState<float> own_state;
  attention_forward<float>(in, {{o2}, lse2, &own_state}, own);
  attention_backward<float>(in, own_state, {slopes}, {{dq2}, {dk2}, {dv2}, db2, qe2, ke2}, own);
  CHECK(o == o2);
  CHECK(lse == lse2);
  CHECK(dq == dq2);
  CHECK(dk == dk2);
  CHECK(dv == dv2);
  CHECK(db == db2);
  CHECK(qe == qe2);
  CHECK(ke == ke2);

  // What is not wanted is left out; a bad array is named.
  CHECK(softstep_heads_backward(&options, &queries, &keys, &values, state, &output_gradient, nullptr,
                                &key_gradient, nullptr, nullptr, nullptr, nullptr) == SOFTSTEP_OK);
  softstep_heads_array shorter = keys;
  shorter.size = 3;
  CHECK(softstep_heads_forward(&options, &queries, &shorter, &values, &outputs, nullptr, nullptr) ==
        SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "keys");
  softstep_heads_array double_keys = keys;
  double_keys.type = SOFTSTEP_F64;
  CHECK(softstep_heads_forward(&options, &queries, &double_keys, &values, &outputs, nullptr, nullptr) ==
        SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "keys.type");
  softstep_heads_state_destroy(state);
}
