// NaN and infinity stay with the queries that see them; clean data raise no floating-point flags but inexact
// and underflow; memory does not grow with queries times keys; a state serves many calls.

#include "heads/heads_tests.h"
#include "support/allocations.h"

namespace softstep::test {
namespace {

HeadsSetup windowed() {
  HeadsSetup setup;
  setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 90, .n_keys = 90, .dim = 8, .value_dim = 7};
  setup.before = 4;
  setup.after = 3;
  return setup;
}

// Queries that see key 40, and keys that these see.
bool sees_spoilt(std::size_t i) { return i >= 37 && i <= 44; }

enum class Kind { number, nan };
Kind kind_of(float x) { return std::isfinite(x) ? Kind::number : Kind::nan; }

}  // namespace

TEST_CASE("NaN and infinity in keys and values reach the queries that see them", "[heads]") {
  for (const double bad : {static_cast<double>(NAN), HUGE_VAL, -HUGE_VAL})
    for (const bool in_keys : {true, false})
      for (const bool capped : {false, true}) {
        HeadsSetup setup = windowed();
        setup.soft_cap = capped ? 5.0 : 0.0;
        HeadsCase<float> in(setup);
        HeadsArray<float>& array = in_keys ? in.keys : in.values;
        for (std::size_t c = 0; c < array.n_cols(); ++c) array.set(0, 0, 40, c, bad);
        for_each_isa([&](const simd::Isa& isa) {
          INFO(isa.name << ", " << bad << " in " << (in_keys ? "keys" : "values")
                        << (capped ? ", capped" : ""));
          const HeadsRun<float> out = run(in, isa.name);
          out.outputs.for_each([&](std::size_t b, std::size_t h, std::size_t i, std::size_t c) {
            const float x = out.outputs.get(b, h, i, c);
            if (sees_spoilt(i)) CHECK(kind_of(x) == Kind::nan);
          });
          out.queries.for_each([&](std::size_t b, std::size_t h, std::size_t i, std::size_t c) {
            const float x = out.queries.get(b, h, i, c);
            if (sees_spoilt(i)) CHECK(kind_of(x) == Kind::nan);
          });
        });
      }
}

TEST_CASE("NaN and infinity in a query or an output's gradient stay in its row", "[heads]") {
  for (const double bad : {static_cast<double>(NAN), HUGE_VAL})
    for (const bool in_queries : {true, false}) {
      HeadsCase<float> in(windowed());
      HeadsArray<float>& array = in_queries ? in.queries : in.output_gradient;
      for (std::size_t c = 0; c < array.n_cols(); ++c) array.set(0, 1, 40, c, bad);
      for_each_isa([&](const simd::Isa& isa) {
        INFO(isa.name << ", " << bad << " in " << (in_queries ? "queries" : "the output's gradient"));
        const HeadsRun<float> out = run(in, isa.name);
        for (const HeadsArray<float>* rows : {&out.outputs, &out.queries})
          rows->for_each([&](std::size_t b, std::size_t h, std::size_t i, std::size_t c) {
            const float x = rows->get(b, h, i, c);
            if (h != 1 || i != 40)
              CHECK(kind_of(x) == Kind::number);
            else if (in_queries || rows == &out.queries)
              CHECK(std::isnan(x));
          });
        // What it spoils is seen to be spoilt.
        for (const HeadsArray<float>* gradient : {&out.keys, &out.values})
          gradient->for_each([&](std::size_t b, std::size_t h, std::size_t j, std::size_t c) {
            const float x = gradient->get(b, h, j, c);
            if (j >= 36 && j <= 43) CHECK(kind_of(x) == Kind::nan);
          });
      });
    }
}

TEST_CASE("What is NaN is so along a direction too", "[heads]") {
  HeadsSetup two_keys;
  two_keys.shape = {.n_queries = 1, .n_keys = 2, .dim = 3};
  for (const HeadsSetup& small : {windowed(), two_keys})
    for (const bool in_queries : {true, false})
      for (const bool capped : {false, true}) {
        HeadsSetup setup = small, other = small;
        setup.soft_cap = other.soft_cap = capped ? 5.0 : 0.0;
        other.seed += 1000;
        HeadsCase<float> in(setup);
        const HeadsCase<float> along(other);
        HeadsArray<float>& array = in_queries ? in.queries : in.keys;
        const std::size_t row = (in_queries ? setup.shape.n_queries : setup.shape.n_keys) / 2;
        for (std::size_t c = 0; c < array.n_cols(); ++c)
          array.set(0, array.n_heads() - 1, row, c, static_cast<double>(NAN));
        for_each_isa([&](const simd::Isa& isa) {
          INFO(isa.name << ", NaN in " << (in_queries ? "queries" : "keys") << ": " << setup.text());
          const HeadsRun<float> plain = run(in, isa.name);
          HeadsRun<float> out(in);
          const HeadsDirection<float> direction{along.queries.view(), along.keys.view(), along.values.view(),
                                                along.output_gradient.view()};
          attention_tangent(in.inputs(), plain.state, direction, out.outputs.span(), in.options(isa.name, 1));
          attention_hessian_product(in.inputs(), plain.state, in.output_gradient.view(), direction,
                                    out.backward_face(), in.options(isa.name, 1));
          std::size_t n_spoilt = 0;
          for (const auto& both :
               {std::pair{&plain.outputs, &out.outputs}, std::pair{&plain.queries, &out.queries},
                std::pair{&plain.keys, &out.keys}, std::pair{&plain.values, &out.values}})
            both.first->for_each([&](std::size_t b, std::size_t h, std::size_t i, std::size_t c) {
              if (kind_of(both.first->get(b, h, i, c)) == Kind::number) return;
              ++n_spoilt;
              CHECK(kind_of(both.second->get(b, h, i, c)) == Kind::nan);
            });
          CHECK(n_spoilt > 0);
        });
      }
}

TEST_CASE("Memory of attention over heads does not grow with queries times keys", "[heads]") {
  if (!counts_allocations) return;
  HeadsSetup setup;
  setup.shape = {.n_queries = 6000, .n_keys = 6000, .dim = 8};
  setup.causal = true;
  setup.before = 100;  // little work
  const HeadsCase<float> in(setup);
  HeadsRun<float> out(in);
  const std::size_t before = allocated_bytes;
  attention_forward(in.inputs(), out.forward_face(), in.options("", 2));
  attention_backward(in.inputs(), out.state, in.output_gradient.view(), out.backward_face(),
                     in.options("", 2));
  // 6000^2 floats are 144 MB, one row of each kind 192 kB.
  CHECK(allocated_bytes - before <= std::size_t{8} << 20);
}

TEST_CASE("One state serves calls of different shapes", "[heads]") {
  HeadsState<float> state;
  for (const std::size_t n : {40, 3, 200, 1}) {
    HeadsSetup setup;
    setup.shape = {.n_heads = 2, .n_queries = n, .n_keys = n + 2, .dim = 8};
    const HeadsCase<float> in(setup);
    HeadsRun<float> out(in);
    HeadsOutputs<float> outputs = out.forward_face();
    outputs.state = &state;
    attention_forward(in.inputs(), outputs, in.options("", 1));
    // Twice: the first leaves the state as it was.
    for (int k = 0; k < 2; ++k)
      attention_backward(in.inputs(), state, in.output_gradient.view(), out.backward_face(),
                         in.options("", 1));
    const HeadsRatios ratios = HeadsExact<float>(in).compare(out);
    INFO(n << " queries, " << ratios.text());
    CHECK(ratios.ok());
  }
}

TEST_CASE("What is not wanted is left out, and the rest has the same bits", "[heads]") {
  HeadsSetup setup;
  setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 40, .n_keys = 50, .dim = 8};
  setup.bias = true;
  const HeadsCase<float> in(setup);
  for_each_isa([&](const simd::Isa& isa) {
    const HeadsRun<float> all = run(in, isa.name);
    for (int wanted = 0; wanted < 64; ++wanted) {
      INFO(isa.name << ", wanted " << wanted);
      HeadsRun<float> out(in);
      HeadsOutputs<float> outputs = out.forward_face();
      if (wanted % 2 == 0) outputs.log_sum_exp = {};
      attention_forward(in.inputs(), outputs, in.options(isa.name, 1));
      HeadsGradients<float> gradients = out.backward_face();
      if ((wanted & 1) == 0) gradients.queries = {};
      if ((wanted & 2) == 0) gradients.keys = {};
      if ((wanted & 4) == 0) gradients.values = {};
      if ((wanted & 8) == 0) gradients.bias = {};
      if ((wanted & 16) == 0) gradients.query_exponents = {};
      if ((wanted & 32) == 0) gradients.key_exponents = {};
      attention_backward(in.inputs(), out.state, in.output_gradient.view(), gradients,
                         in.options(isa.name, 1));
      CHECK((out.outputs.element_bits() == all.outputs.element_bits()));
      if ((wanted & 17) == 17) CHECK((out.queries.element_bits() == all.queries.element_bits()));
      if ((wanted & 34) == 34) CHECK((out.keys.element_bits() == all.keys.element_bits()));
      if ((wanted & 4) != 0) CHECK((out.values.element_bits() == all.values.element_bits()));
      for (std::size_t k = 0; (wanted & 8) != 0 && k < in.bias.size(); ++k) CHECK(out.bias[k] == all.bias[k]);
      if ((wanted & 1) == 0) CHECK(std::isnan(out.queries.get(0, 0, 0, 0)));
      if ((wanted & 2) == 0) CHECK(std::isnan(out.keys.get(0, 0, 0, 0)));
      if ((wanted & 4) == 0) CHECK(std::isnan(out.values.get(0, 0, 0, 0)));
      if ((wanted & 8) == 0) CHECK(std::isnan(out.bias[0]));
    }
    // A forward pass without a state writes the same.
    HeadsRun<float> out(in);
    HeadsOutputs<float> outputs = out.forward_face();
    outputs.state = nullptr;
    attention_forward(in.inputs(), outputs, in.options(isa.name, 1));
    CHECK((out.outputs.element_bits() == all.outputs.element_bits()));
  });
}

}  // namespace softstep::test
