// Attention over heads through the C face: the bits of the C++ face.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "softstep/attention.h"
#include "softstep/c/softstep.h"
#include "softstep/train_state.h"
#include "support/guarded.h"

using namespace softstep;

namespace {

template <class T>
softstep_heads_array array_of(std::vector<T>& numbers) {
  softstep_heads_array out{};
  out.data = numbers.data();
  out.size = numbers.size();
  out.type = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;
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

  // Along a direction.
  std::vector<float> xq = numbers(q.size(), 6), xk = numbers(k.size(), 7), xv = numbers(v.size(), 8),
                     xo = numbers(o.size(), 9), t(o.size()), t2(o.size());
  const softstep_heads_array query_direction = array_of(xq), key_direction = array_of(xk),
                             value_direction = array_of(xv), slope_direction = array_of(xo),
                             tangent = array_of(t);
  REQUIRE(softstep_heads_tangent(&options, &queries, &keys, &values, state, &query_direction, &key_direction,
                                 &value_direction, &tangent) == SOFTSTEP_OK);
  attention_tangent<float>(in, own_state, {{xq}, {xk}, {xv}, {}}, {t2}, own);
  CHECK(t == t2);
  REQUIRE(softstep_heads_hessian_product(&options, &queries, &keys, &values, state, &output_gradient,
                                         &query_direction, &key_direction, &value_direction, &slope_direction,
                                         &query_gradient, &key_gradient, &value_gradient, qe.data(),
                                         ke.data()) == SOFTSTEP_OK);
  attention_hessian_product<float>(in, own_state, {slopes}, {{xq}, {xk}, {xv}, {xo}},
                                   {{dq2}, {dk2}, {dv2}, {}, qe2, ke2}, own);
  CHECK(dq == dq2);
  CHECK(dk == dk2);
  CHECK(dv == dv2);
  CHECK(qe == qe2);
  CHECK(ke == ke2);
  REQUIRE(softstep_heads_tangent(&options, &queries, &keys, &values, state, nullptr, &key_direction, nullptr,
                                 &tangent) == SOFTSTEP_OK);
  attention_tangent<float>(in, own_state, {{}, {xk}, {}, {}}, {t2}, own);
  CHECK(t == t2);
  const auto named = [](softstep_status status) {
    return status == SOFTSTEP_BAD_ARGUMENT ? std::string(softstep_last_argument()) : std::string("no error");
  };
  CHECK(named(softstep_heads_tangent(&options, &queries, &keys, &values, nullptr, nullptr, nullptr, nullptr,
                                     &tangent)) == "state");
  CHECK(named(softstep_heads_tangent(&options, &queries, &keys, &values, state, nullptr, nullptr, nullptr,
                                     nullptr)) == "output_tangent");

  // Negative strides read backwards; those that leave the array are named.
  std::vector<float> reversed(k.size());
  for (std::size_t row = 0; row < b * hk * n; ++row)
    for (std::size_t j = 0; j < d; ++j) reversed[(b * hk * n - 1 - row) * d + j] = k[row * d + j];
  softstep_heads_array backwards = array_of(reversed);
  backwards.strided = 1;
  backwards.origin = (b * hk * n - 1) * d;
  backwards.row_stride = -static_cast<std::ptrdiff_t>(d);
  backwards.head_stride = -static_cast<std::ptrdiff_t>(n * d);
  backwards.batch_stride = -static_cast<std::ptrdiff_t>(hk * n * d);
  std::vector<float> o3(o.size());
  const softstep_heads_array other_outputs = array_of(o3);
  REQUIRE(softstep_heads_forward(&options, &queries, &backwards, &values, &other_outputs, nullptr, nullptr) ==
          SOFTSTEP_OK);
  CHECK(o3 == o);
  backwards.origin -= d;
  std::fill(o3.begin(), o3.end(), 7.0f);
  CHECK(named(softstep_heads_forward(&options, &queries, &backwards, &values, &other_outputs, nullptr,
                                     nullptr)) == "keys");
  CHECK(o3 == std::vector<float>(o.size(), 7.0f));

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

TEST_CASE("Sizes and parts that do not go together are refused over heads in C", "[c]") {
  std::vector<double> rows(6, 1.0), out(6), sums(3), bias(9, 1.0);
  const softstep_heads_array in = array_of(rows), outputs = array_of(out);
  softstep_heads_options options{};
  options.struct_size = sizeof options;
  options.type = SOFTSTEP_F64;
  options.batch = options.n_heads = 1;
  options.n_queries = options.n_keys = 3;
  options.dim = 2;
  const auto forward = [&](softstep_heads_state* state) {
    return softstep_heads_forward(&options, &in, &in, &in, &outputs, sums.data(), state);
  };
  options.bias = bias.data();
  CHECK(forward(nullptr) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "options.bias_size");
  options.bias_size = bias.size();
  softstep_heads_state* state = nullptr;
  REQUIRE(softstep_heads_state_create(SOFTSTEP_F64, &state) == SOFTSTEP_OK);
  CHECK(forward(state) == SOFTSTEP_OK);
  options.bias = nullptr;
  options.bias_size = 0;
  CHECK(softstep_heads_backward(&options, &in, &in, &in, state, &in, &outputs, nullptr, nullptr, bias.data(),
                                nullptr, nullptr) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "bias_gradient");
  softstep_heads_state_destroy(state);
  // No entry of the offsets is read before the size of the batch is known to be one.
  const test::Guarded<std::int64_t> offsets(512);  // a page: none is ahead of it
  options.query_offsets = options.key_offsets = offsets.data();
  options.batch = SIZE_MAX;
  CHECK(forward(nullptr) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "options.batch");
}

TEST_CASE("Sizes beyond memory are bad arguments in C", "[c]") {
  const std::vector<std::uint16_t> halves(8);
  const test::Guarded<std::int64_t> offsets(512);  // a page: none is ahead of it
  softstep_batch batch{};
  batch.struct_size = sizeof batch;
  batch.type = SOFTSTEP_F16;
  batch.tokens = halves.data();
  batch.dim = 2;
  batch.n_samples = SIZE_MAX;
  batch.offsets = offsets.data();
  softstep_model* model = nullptr;
  CHECK(softstep_attention_model_create(&batch, nullptr, &model) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "batch.n_samples");
  const double number = 1.0;
  const std::size_t first[] = {0, 1, 1, 1, 1}, token = 0;
  softstep_next_token_data data{};
  data.struct_size = sizeof data;
  data.vocabulary = 2;
  data.dim = std::size_t{1} << 58;
  data.n_contexts = 4;
  data.contexts = data.probabilities = data.labels = &number;
  data.first = first;
  data.tokens = &token;
  CHECK(softstep_next_token_model_create(&data, SOFTSTEP_F64, nullptr, &model) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "data.contexts");
  CHECK(softstep_weights_save("W", (std::size_t{1} << 32) + 1, &number) == SOFTSTEP_BAD_ARGUMENT);
  CHECK(std::string(softstep_last_argument()) == "dim");
}
