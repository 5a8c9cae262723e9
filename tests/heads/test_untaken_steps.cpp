// Where a size is 1 a stride is never stepped over, and may be any number: NumPy and PyTorch leave anything
// there. Where there are no rows at all nothing is.

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "data/refused.h"
#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

constexpr std::ptrdiff_t far_steps[] = {
    PTRDIFF_MIN, PTRDIFF_MAX, PTRDIFF_MAX / 4, PTRDIFF_MIN / 4 + 1, std::int64_t{1} << 60, -7, 0};

// The array with `step` in the place of each stride that is not taken.
template <class Array>
Array with_step(Array array, std::ptrdiff_t step, std::size_t entries, std::size_t heads, std::size_t rows) {
  if (rows == 0) array.strides.origin = static_cast<std::size_t>(step);
  if (entries < 2 || rows == 0) array.strides.batch = step;
  if (heads < 2 || rows == 0) array.strides.head = step;
  if (rows < 2) array.strides.row = step;
  return array;
}

void check(const HeadsSetup& setup, std::ptrdiff_t step) {
  INFO(setup.text() << ", step " << step);
  const HeadsCase<double> in(setup);
  const HeadsShape& shape = setup.shape;
  const auto of_queries = [&](auto array) {
    return with_step(array, step, shape.batch, shape.n_heads, shape.n_queries);
  };
  const auto of_keys = [&](auto array) {
    return with_step(array, step, shape.batch, setup.n_key_heads(), shape.n_keys);
  };
  HeadsInputs<double> inputs = in.inputs();
  inputs.queries = of_queries(inputs.queries);
  inputs.keys = of_keys(inputs.keys);
  inputs.values = of_keys(inputs.values);
  HeadsRun<double> out(in);
  HeadsOutputs<double> outputs = out.forward_face();
  outputs.outputs = of_queries(outputs.outputs);
  const HeadsOptions options = in.options("", 1);
  attention_forward(inputs, outputs, options);
  HeadsGradients<double> gradients = out.backward_face();
  gradients.queries = of_queries(gradients.queries);
  gradients.keys = of_keys(gradients.keys);
  gradients.values = of_keys(gradients.values);
  attention_backward(inputs, out.state, of_queries(in.output_gradient.view()), gradients, options);
  CHECK((out.bits() == run(in, "").bits()));
}

// Gradients in one array [entries][rows][3][2], with one head.
struct SideBySide {
  std::size_t entries, rows;
  HeadsStrides strides;
};

}  // namespace

TEST_CASE("A stride of a size of 1 may be any number", "[heads]") {
  for (const std::ptrdiff_t step : far_steps)
    for (const HeadsShape& shape :
         {HeadsShape{.n_queries = 5, .n_keys = 7, .dim = 3},
          HeadsShape{.n_queries = 1, .n_keys = 1, .dim = 3},
          HeadsShape{.batch = 2, .n_heads = 3, .n_queries = 1, .n_keys = 1, .dim = 3},
          HeadsShape{.batch = 2, .n_heads = 3, .n_queries = 1, .n_keys = 40, .dim = 3},
          HeadsShape{.batch = 2, .n_heads = 4, .n_key_heads = 1, .n_queries = 2, .n_keys = 3, .dim = 3},
          HeadsShape{.batch = 2, .n_heads = 2, .n_queries = 0, .n_keys = 3, .dim = 3},
          HeadsShape{.batch = 2, .n_heads = 2, .n_queries = 3, .n_keys = 0, .dim = 3}})
      check({.shape = shape}, step);
}

TEST_CASE("Gradients lie side by side where sizes of 1 have any stride", "[heads]") {
  // One entry: its stride means nothing. One row an entry: that of the row.
  for (const SideBySide& kind : {SideBySide{1, 5, {.batch = 7, .head = 1, .row = 6}},
                                 SideBySide{5, 1, {.batch = 6, .head = 1, .row = 7}},
                                 SideBySide{5, 1, {.batch = 6, .head = PTRDIFF_MIN, .row = PTRDIFF_MIN}}}) {
    const HeadsCase<double> in(
        {.shape = {.batch = kind.entries, .n_queries = kind.rows, .n_keys = kind.rows, .dim = 2},
         .exponents = false});
    HeadsRun<double> out = run(in, "");
    std::vector<double> all(kind.entries * kind.rows * 6);
    HeadsGradients<double> gradients;
    HeadsSpan<double>* const faces[] = {&gradients.queries, &gradients.keys, &gradients.values};
    for (std::size_t k = 0; k < 3; ++k) {
      faces[k]->numbers = all;
      faces[k]->strides = kind.strides;
      faces[k]->strides.origin = 2 * k;
    }
    attention_backward(in.inputs(), out.state, in.output_gradient.view(), gradients, in.options("", 1));
    const HeadsArray<double>* const own[] = {&out.queries, &out.keys, &out.values};
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t e = 0; e < kind.entries; ++e)
        for (std::size_t r = 0; r < kind.rows; ++r)
          for (std::size_t c = 0; c < 2; ++c)
            CHECK(all[(e * kind.rows + r) * 6 + 2 * k + c] == own[k]->get(e, 0, r, c));
    // And with the same columns a row later, or one column further, they overlap.
    all.resize(all.size() + 12);
    for (const std::size_t origin : {6u, 1u, 11u}) {
      for (HeadsSpan<double>* face : faces) face->numbers = all;
      gradients.keys.strides.origin = origin;
      require_refused("gradients.keys", {"overlaps gradients.queries"}, [&] {
        attention_backward(in.inputs(), out.state, in.output_gradient.view(), gradients, in.options("", 1));
      });
    }
  }
}

}  // namespace softstep::test
