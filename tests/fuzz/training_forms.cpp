// Every form of W and every instruction set beside the gradient in 520 digits: the direction of the first NGD
// step of the span forms, within the bound of tests/trainer/test_forms.cpp, and that of the dense gradient
// within its own. Layouts, raggedness, scales and weights come from the bytes. Losses of several steps are
// numbers in every form.

#include <cmath>
#include <vector>

#include "bytes.h"
#include "memory_file.h"
#include "support/isas.h"
#include "trainer/forms_check.h"

using namespace softstep;
using fuzz::require;

namespace {

test::Layout layout_of(fuzz::Bytes& bytes) {
  test::Layout out;
  out.ragged = bytes.flag();
  const std::size_t n = bytes.between(1, 5), n_tokens = bytes.between(1, 5);
  out.n_tokens.clear();
  for (std::size_t i = 0; i < n; ++i) out.n_tokens.push_back(out.ragged ? bytes.between(1, 6) : n_tokens);
  out.dim = bytes.between(1, 12);
  out.pad = bytes.between(0, 3);
  const std::size_t queries = bytes.between(0, 2);
  out.separate_queries = queries == 1;
  out.query_index = queries == 2;
  return out;
}

template <class T>
void one_batch(fuzz::Bytes& bytes) {
  const test::Layout layout = layout_of(bytes);
  const std::uint64_t seed = bytes.word();
  const double token_scale = bytes.pick({1.0, 1e-3, 1e-9, 30.0, 1e4}),
               decoder_scale = bytes.pick({1.0, 1e-6, 100.0}), norm = bytes.pick({0.0, 1.0, 10.0, 1e3, 1e6});
  const test::TestBatch<T> batch(layout, seed, token_scale, decoder_scale);
  const auto toward = bytes.pick({test::Toward::optimal, test::Toward::other, test::Toward::anywhere});
  // |W| |x| |z| of the same order whatever the tokens' scale.
  const auto weights = test::weights_toward(batch.view, toward, norm / (token_scale * token_scale));
  const test::ExactObjective<T> exact(batch.view, weights, Loss::logistic);
  if (exact.gradient_norm == 0) return;
  std::vector<double> down;
  for (const test::Exact& g : exact.gradient)
    down.push_back(static_cast<double>(test::Exact(-g / exact.gradient_norm)));
  const double bound = test::first_step_bound(batch.view, exact);
  for (const simd::Isa* isa : test::runnable_isas()) {
    AttentionOptions how;
    how.isa = isa->name;
    AttentionModel<T> model(batch.view, how);
    Evaluation<T> at;
    model.evaluate(weights, at);
    require(test::direction_error(at.gradients[0].values, exact.gradient) <= exact.gradient_bound.direction);
    for (const Form form : {Form::query_span, Form::token_span})
      if (bound < 1.0) require(test::first_step_distance(batch.view, weights, form, how, down) <= bound);
    for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
      TrainerOptions options;
      options.form = form;
      const auto run = test::run(batch.view, "ngd:step-size=1", 5, {}, how, options);
      require(std::isfinite(run.summary.last.loss));
      for (const T w : run.state.blocks[0]) require(std::isfinite(w));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  if (bytes.flag())
    one_batch<float>(bytes);
  else
    one_batch<double>(bytes);
  return 0;
}
