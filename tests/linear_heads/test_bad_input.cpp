// What cannot be used is refused with one message that names it, before anything is written.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>

#include "data/refused.h"
#include "linear_heads/linear_case.h"
#include "softstep/error.h"

namespace softstep {
namespace {

using namespace test;

/// A call that is right, to be made wrong.
struct Call {
  LinearCase<float> in;
  LinearRun<float> out;
  LinearAttentionInputs<float> inputs;
  LinearAttentionOptions options;
  HeadsSpan<float> outputs;
  HeadsView<float> output_gradient;
  LinearAttentionGradients<float> gradients;
  std::vector<std::int64_t> numbers;

  explicit Call(const LinearSetup& setup)
      : in(setup),
        out(in),
        inputs(in.inputs()),
        options(in.options("")),
        outputs(out.outputs.span()),
        output_gradient(in.output_gradient.view()),
        gradients(out.gradients(setup.gates)) {}
};

LinearSetup gated() {
  return {
      .shape =
          {.batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 5, .n_keys = 6, .dim = 3, .value_dim = 2},
      .gates = HeadGates::vector};
}

void require_refused(const std::string& argument, const std::string& text, bool forward, bool backward,
                     const std::function<void(Call&)>& spoil) {
  Call call(gated());
  spoil(call);
  const auto bits = call.out.bits(HeadGates::vector);
  const auto check = [&](auto&& body) {
    INFO(argument << " " << text);
    std::string what, name;
    try {
      body();
    } catch (const InvalidArgument& error) {
      what = error.what();
      name = error.argument();
    }
    INFO(what);
    REQUIRE(name == argument);
    REQUIRE(what.find(text) != std::string::npos);
    REQUIRE(what.find('\n') == std::string::npos);
    REQUIRE(call.out.bits(HeadGates::vector) == bits);
  };
  if (forward) check([&] { linear_attention_forward<float>(call.inputs, call.outputs, call.options); });
  if (backward)
    check([&] {
      linear_attention_backward<float>(call.inputs, call.output_gradient, call.gradients, call.options);
    });
}
void require_refused(const std::string& argument, const std::string& text,
                     const std::function<void(Call&)>& spoil) {
  require_refused(argument, text, true, true, spoil);
}

TEST_CASE("Linear attention refuses what is not its own", "[linear_heads]") {
  require_refused("before", "5", [](Call& c) { c.options.mask.before = 5; });
  require_refused("after", "2", [](Call& c) { c.options.mask.after = 2; });
  require_refused("gates", "causal", [](Call& c) { c.options.mask.causal = false; });
  require_refused("gates", "7", [](Call& c) { c.inputs.gates = static_cast<HeadGates>(7); });
  require_refused("log_gates", "gates", [](Call& c) { c.inputs.gates = HeadGates::none; });
  require_refused("gradients.log_gates", "gates", false, true, [](Call& c) {
    c.inputs.gates = HeadGates::none;
    c.inputs.log_gates = {};
  });
  require_refused("scale", "nan", [](Call& c) { c.options.scale = NAN; });
  require_refused("scale", "1e+300", [](Call& c) { c.options.scale = 1e300; });
  // 0 in float, or a number that has lost digits.
  require_refused("scale", "1e-60", [](Call& c) { c.options.scale = 1e-60; });
  require_refused("scale", "-1e-40", [](Call& c) { c.options.scale = -1e-40; });
}

TEST_CASE("Linear attention refuses gates that are none, and names the place", "[linear_heads]") {
  require_refused("log_gates", "0.5 for key 4 of batch entry 1, key head 1, dimension 2",
                  [](Call& c) { c.in.log_gates.set(1, 1, 4, 2, 0.5); });
  require_refused("log_gates", "nan for key 0", [](Call& c) { c.in.log_gates.set(0, 0, 0, 0, NAN); });
  require_refused("log_gates", "inf", [](Call& c) { c.in.log_gates.set(0, 0, 5, 0, INFINITY); });
}

TEST_CASE("Linear attention refuses sizes, strides and storage that do not fit", "[linear_heads]") {
  require_refused("batch", "0", [](Call& c) { c.inputs.shape.batch = 0; });
  require_refused("dim", "0", [](Call& c) { c.inputs.shape.dim = 0; });
  require_refused("n_key_heads", "3", [](Call& c) { c.inputs.shape.n_key_heads = 3; });
  require_refused("key_lengths[1]", "7", [](Call& c) {
    c.numbers = {1, 7};
    c.options.mask.key_lengths = c.numbers;
  });
  require_refused("key_lengths[0]", "-1", [](Call& c) {
    c.numbers = {-1, 6};
    c.options.mask.key_lengths = c.numbers;
  });
  require_refused("queries", "",
                  [](Call& c) { c.inputs.queries.numbers = c.inputs.queries.numbers.first(10); });
  require_refused("keys", "", [](Call& c) { c.inputs.keys.numbers = {}; });
  require_refused("values", "", [](Call& c) { c.inputs.values.strides.origin = 1; });
  require_refused("log_gates", "",
                  [](Call& c) { c.inputs.log_gates.numbers = c.inputs.log_gates.numbers.first(71); });
  require_refused("log_gates.storage", "f64", [](Call& c) { c.inputs.log_gates.storage = StoredType::f64; });
  require_refused("isa", "mmx", [](Call& c) { c.options.isa = "mmx"; });
  require_refused("threads", "-1", [](Call& c) { c.options.threads = -1; });
}

TEST_CASE("Linear attention refuses states that are beyond memory", "[linear_heads]") {
  // 2^44 states of 2^20 numbers: their count is 0 in 64 bits.
  const std::size_t d = 1024, n = ((std::size_t{1} << 44) - 1) * 64;
  const std::vector<float> row(d, 1.0f);
  std::vector<float> gradient(d);
  const std::vector<std::int64_t> all{static_cast<std::int64_t>(n)}, few{200};
  LinearAttentionInputs<float> in;
  in.shape = {.n_queries = 1, .n_keys = n, .dim = d};
  for (HeadsView<float>* array : {&in.queries, &in.keys, &in.values}) {
    array->numbers = row;
    array->strides.row = 0;
  }
  LinearAttentionOptions options;
  options.mask.causal = true;
  LinearAttentionGradients<float> gradients;
  gradients.queries.numbers = gradient;
  const auto backward = [&] { linear_attention_backward<float>(in, {row}, gradients, options); };
  test::require_refused("shape", {"1024 by 1024", "memory"}, backward);
  // Padding needs no states.
  options.mask.key_lengths = few;
  backward();
  CHECK(std::isfinite(gradient[0]));
}

TEST_CASE("Linear attention refuses outputs that overlap", "[linear_heads]") {
  require_refused("outputs", "overlap", true, false, [](Call& c) { c.outputs.strides.row = 1; });
  require_refused("outputs", "queries", true, false, [](Call& c) {
    c.outputs.numbers = {const_cast<float*>(c.inputs.queries.numbers.data()),
                         c.inputs.queries.numbers.size()};
  });
  require_refused("gradients.keys", "overlap", false, true,
                  [](Call& c) { c.gradients.keys.strides.batch = 0; });
  require_refused("gradients.log_gates", "log_gates", false, true, [](Call& c) {
    c.gradients.log_gates.numbers = {const_cast<float*>(c.inputs.log_gates.numbers.data()),
                                     c.inputs.log_gates.numbers.size()};
  });
  require_refused("gradients.keys", "gradients.queries", false, true,
                  [](Call& c) { c.gradients.keys.numbers = c.gradients.queries.numbers; });
  require_refused("output_gradient", "", false, true,
                  [](Call& c) { c.output_gradient.numbers = c.output_gradient.numbers.first(3); });
}

TEST_CASE("Gradients of linear attention that are not wanted are left out", "[linear_heads]") {
  for (const HeadGates gates : {HeadGates::none, HeadGates::vector}) {
    LinearSetup setup = gated();
    setup.gates = gates;
    setup.shape.n_queries = setup.shape.n_keys = 70;
    for (const bool causal : {false, true}) {
      if (gates != HeadGates::none && !causal) continue;
      setup.causal = causal;
      const LinearCase<float> in(setup);
      LinearRun<float> all = run(in, "");
      for (int left_out = 0; left_out < 16; ++left_out) {
        LinearRun<float> some(in);
        LinearAttentionGradients<float> faces = some.gradients(gates);
        if (left_out & 1) faces.queries = {};
        if (left_out & 2) faces.keys = {};
        if (left_out & 4) faces.values = {};
        if (left_out & 8) faces.log_gates = {};
        linear_attention_backward<float>(in.inputs(), in.output_gradient.view(), faces, in.options(""));
        const auto require_bits = [&](const HeadsArray<float>& a, const HeadsArray<float>& b,
                                      const HeadsSpan<float>& face) {
          INFO("left out " << left_out << " gates " << static_cast<int>(gates) << " causal " << causal);
          if (face.wanted())
            REQUIRE(a.bits() == b.bits());
          else
            for (const std::uint64_t x : a.element_bits())
              REQUIRE(std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(x))));
        };
        require_bits(some.queries, all.queries, faces.queries);
        require_bits(some.keys, all.keys, faces.keys);
        require_bits(some.values, all.values, faces.values);
        require_bits(some.log_gates, all.log_gates, faces.log_gates);
      }
    }
  }
}

}  // namespace
}  // namespace softstep
