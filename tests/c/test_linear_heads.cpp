// Linear attention over heads through the C face: the bits of the C++ face.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "softstep/c/softstep.h"
#include "softstep/linear_attention.h"
#include "softstep/train_state.h"

using namespace softstep;

namespace {

constexpr std::size_t b = 2, h = 4, hk = 2, n = 11, d = 6, dv = 5;

softstep_heads_array array_of(std::vector<double>& numbers) {
  softstep_heads_array out{};
  out.data = numbers.data();
  out.size = numbers.size();
  out.type = SOFTSTEP_F64;
  return out;
}
softstep_linear_heads_options options_of(std::int32_t gates, const std::vector<std::int64_t>& lengths) {
  softstep_linear_heads_options out{};
  out.struct_size = sizeof out;
  out.type = SOFTSTEP_F64;
  out.n_threads = 1;
  out.batch = b;
  out.n_heads = h;
  out.n_key_heads = hk;
  out.n_queries = n;
  out.n_keys = n;
  out.dim = d;
  out.value_dim = dv;
  out.has_scale = 1;
  out.scale = 0.5;
  out.causal = 1;
  out.gates = gates;
  out.key_lengths = lengths.data();
  return out;
}
std::string named(softstep_status status) {
  return status == SOFTSTEP_BAD_ARGUMENT ? std::string(softstep_last_argument()) : std::string("no error");
}

}  // namespace

TEST_CASE("Linear attention has the same bits in C and in C++, with each kind of gates", "[c]") {
  const std::vector<std::int64_t> lengths{11, 7};
  for (const std::int32_t gates : {SOFTSTEP_GATES_NONE, SOFTSTEP_GATES_SCALAR, SOFTSTEP_GATES_VECTOR}) {
    CAPTURE(gates);
    const std::size_t columns = gates == SOFTSTEP_GATES_NONE ? 0 : gates == SOFTSTEP_GATES_SCALAR ? 1 : d;
    std::vector<double> q = normal_values(b * h * n * d, 1.0, 1), k = normal_values(b * hk * n * d, 1.0, 2),
                        v = normal_values(b * hk * n * dv, 1.0, 3),
                        a = normal_values(b * hk * n * columns, 1.0, 4),
                        slopes = normal_values(b * h * n * dv, 1.0, 5);
    for (double& x : a) x = -std::fabs(x);
    std::vector<double> o(slopes.size()), dq(q.size()), dk(k.size()), dv_(v.size()), da(a.size());
    const softstep_linear_heads_options options = options_of(gates, lengths);
    const softstep_heads_array queries = array_of(q), keys = array_of(k), values = array_of(v),
                               log_gates = array_of(a), outputs = array_of(o),
                               output_gradient = array_of(slopes), query_gradient = array_of(dq),
                               key_gradient = array_of(dk), value_gradient = array_of(dv_),
                               gate_gradient = array_of(da);
    const softstep_heads_array* gates_or_none = columns == 0 ? nullptr : &log_gates;
    REQUIRE(softstep_linear_heads_forward(&options, &queries, &keys, &values, gates_or_none, &outputs) ==
            SOFTSTEP_OK);
    REQUIRE(softstep_linear_heads_backward(&options, &queries, &keys, &values, gates_or_none,
                                           &output_gradient, &query_gradient, &key_gradient, &value_gradient,
                                           columns == 0 ? nullptr : &gate_gradient) == SOFTSTEP_OK);

    LinearAttentionInputs<double> in;
    in.shape = {b, h, hk, n, n, d, dv};
    in.queries = {q};
    in.keys = {k};
    in.values = {v};
    in.gates = static_cast<HeadGates>(gates);
    if (columns != 0) in.log_gates = {a};
    LinearAttentionOptions own;
    own.scale = 0.5;
    own.mask.causal = true;
    own.mask.key_lengths = lengths;
    own.threads = 1;
    std::vector<double> o2(o.size()), dq2(q.size()), dk2(k.size()), dv2(v.size()), da2(a.size());
    linear_attention_forward<double>(in, {o2}, own);
    LinearAttentionGradients<double> gradients{{dq2}, {dk2}, {dv2}, {}};
    if (columns != 0) gradients.log_gates = {da2};
    linear_attention_backward<double>(in, {slopes}, gradients, own);
    CHECK(o == o2);
    CHECK(dq == dq2);
    CHECK(dk == dk2);
    CHECK(dv_ == dv2);
    CHECK(da == da2);
  }
}

TEST_CASE("Bad input of linear attention has a code and names its argument in C", "[c]") {
  const std::vector<std::int64_t> lengths{11, 7};
  std::vector<double> q(b * h * n * d, 1.0), k(b * hk * n * d, 1.0), v(b * hk * n * dv, 1.0),
      o(b * h * n * dv, 7.0);
  softstep_linear_heads_options options = options_of(SOFTSTEP_GATES_NONE, lengths);
  const softstep_heads_array queries = array_of(q), keys = array_of(k), values = array_of(v),
                             outputs = array_of(o);
  const auto forward = [&](const softstep_heads_array* at) {
    return named(softstep_linear_heads_forward(&options, at, &keys, &values, nullptr, &outputs));
  };
  CHECK(forward(nullptr) == "queries");
  softstep_heads_array bad = queries;
  bad.size = 3;
  CHECK(forward(&bad) == "queries");
  bad = queries;
  bad.type = 9;
  CHECK(forward(&bad) == "queries.type");
  options.gates = 3;
  CHECK(forward(&queries) == "options.gates");
  options.gates = SOFTSTEP_GATES_SCALAR;
  CHECK(forward(&queries) == "log_gates");
  options = options_of(SOFTSTEP_GATES_NONE, lengths);
  options.batch = static_cast<std::size_t>(-1);
  CHECK(forward(&queries) == "options.batch");
  options = options_of(SOFTSTEP_GATES_NONE, lengths);
  options.n_threads = -1;
  CHECK(forward(&queries) == "threads");
  options.n_threads = 1;
  options.type = SOFTSTEP_F16;
  CHECK(forward(&queries) == "options.type");
  options.struct_size = 3;
  CHECK(forward(&queries) == "options.struct_size");
  CHECK(named(softstep_linear_heads_forward(nullptr, &queries, &keys, &values, nullptr, &outputs)) ==
        "options");
  CHECK(o == std::vector<double>(o.size(), 7.0));
}
