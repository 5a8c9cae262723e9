// What a call through the C face costs beside the same call in C++, on the smallest problems, where the
// kernels have next to nothing to do. The difference of the two is the overhead; the answers are the same
// bits.

#include <array>
#include <memory>

#include "softstep/attention.h"
#include "softstep/attention_model.h"
#include "softstep/c/softstep.h"
#include "softstep/linear_attention.h"
#include "support.h"

namespace softstep::bench {
namespace {

// To the bit.
bool is(benchmark::State& state, double found, double wanted) {
  return verified(state, found == wanted ? 0.0 : 2.0, 1.0);
}

// One sample of two tokens in one dimension.
struct SmallestModel {
  std::array<double, 2> tokens{1.0, 0.5};
  std::array<std::int8_t, 1> labels{1};
  std::array<double, 1> decoder{1.0}, weights{0.3}, gradient{};
  const void* block = weights.data();
  void* out = gradient.data();

  BatchView<double> view() const {
    BatchView<double> batch;
    batch.tokens = tokens.data();
    batch.n_samples = 1;
    batch.n_tokens = 2;
    batch.dim = 1;
    batch.labels = labels.data();
    batch.decoder = decoder.data();
    return batch;
  }
  softstep_batch batch() const {
    softstep_batch in{};
    in.struct_size = sizeof in;
    in.tokens = tokens.data();
    in.n_samples = 1;
    in.n_tokens = 2;
    in.dim = 1;
    in.labels = labels.data();
    in.decoder = decoder.data();
    return in;
  }
};

void evaluate_in_cpp(benchmark::State& state) {
  SmallestModel small;
  const AttentionModel<double> model(small.view());
  const auto space = model.make_workspace();
  Evaluation<double> out;
  out.gradients.resize(1);
  out.gradients[0].into = small.gradient;
  const std::array<std::span<const double>, 1> at{small.weights};
  for (auto _ : state) {
    model.evaluate(Point<double>(at), out, *space, want_gradient | want_loss_gap);
    benchmark::ClobberMemory();
  }
}

void evaluate_in_c(benchmark::State& state) {
  SmallestModel small;
  const softstep_batch batch = small.batch();
  softstep_model* model = nullptr;
  softstep_workspace* space = nullptr;
  softstep_attention_model_create(&batch, nullptr, &model);
  softstep_workspace_create(model, &space);
  softstep_evaluation evaluation{};
  evaluation.struct_size = sizeof evaluation;
  double exponent = 0.0;
  const auto call = [&] {
    softstep_evaluate(model, space, &small.block, SOFTSTEP_WANT_GRADIENT | SOFTSTEP_WANT_LOSS_GAP, nullptr, 0,
                      &evaluation, &small.out, &exponent);
    benchmark::ClobberMemory();
  };
  call();
  AttentionModel<double> own(small.view());
  Evaluation<double> out;
  own.evaluate(std::span<const double>(small.weights), out);
  if (is(state, small.gradient[0], out.gradients[0].values[0]))
    for (auto _ : state) call();
  softstep_workspace_destroy(space);
  softstep_model_destroy(model);
}

// One head, one query, one key, one dimension.
struct SmallestHeads {
  std::array<double, 1> q{1.0}, k{0.5}, v{2.0}, out{};

  HeadsInputs<double> inputs() const { return {{1, 1, 1, 1, 1, 1, 1}, {q}, {k}, {v}, {}}; }
  static softstep_heads_array array(std::array<double, 1>& numbers) {
    softstep_heads_array in{};
    in.data = numbers.data();
    in.size = 1;
    in.type = SOFTSTEP_F64;
    return in;
  }
};

template <class Options>
Options c_options() {
  Options in{};
  in.struct_size = sizeof in;
  in.n_threads = 1;
  in.batch = in.n_heads = in.n_queries = in.n_keys = in.dim = 1;
  return in;
}

void heads_in_cpp(benchmark::State& state) {
  SmallestHeads small;
  for (auto _ : state) {
    HeadsOptions options;
    options.threads = 1;
    attention_forward<double>(small.inputs(), {{small.out}, {}, nullptr}, options);
    benchmark::ClobberMemory();
  }
}

void heads_in_c(benchmark::State& state) {
  SmallestHeads small;
  const softstep_heads_array q = small.array(small.q), k = small.array(small.k), v = small.array(small.v),
                             out = small.array(small.out);
  const auto call = [&] {
    const auto options = c_options<softstep_heads_options>();
    softstep_heads_forward(&options, &q, &k, &v, &out, nullptr, nullptr);
    benchmark::ClobberMemory();
  };
  call();
  if (!is(state, small.out[0], 2.0)) return;  // the one value
  for (auto _ : state) call();
}

void linear_in_cpp(benchmark::State& state) {
  SmallestHeads small;
  for (auto _ : state) {
    LinearAttentionInputs<double> in;
    in.shape = {1, 1, 1, 1, 1, 1, 1};
    in.queries = {small.q}, in.keys = {small.k}, in.values = {small.v};
    LinearAttentionOptions options;
    options.threads = 1;
    linear_attention_forward<double>(in, {small.out}, options);
    benchmark::ClobberMemory();
  }
}

void linear_in_c(benchmark::State& state) {
  SmallestHeads small;
  const softstep_heads_array q = small.array(small.q), k = small.array(small.k), v = small.array(small.v),
                             out = small.array(small.out);
  const auto call = [&] {
    const auto options = c_options<softstep_linear_heads_options>();
    softstep_linear_heads_forward(&options, &q, &k, &v, nullptr, &out);
    benchmark::ClobberMemory();
  };
  call();
  if (!is(state, small.out[0], 1.0)) return;  // 1 * 0.5 * 2
  for (auto _ : state) call();
}

const bool enlisted = [] {
  enlist("c_calls/evaluate/cpp", evaluate_in_cpp);
  enlist("c_calls/evaluate/c", evaluate_in_c);
  enlist("c_calls/heads_forward/cpp", heads_in_cpp);
  enlist("c_calls/heads_forward/c", heads_in_c);
  enlist("c_calls/linear_heads_forward/cpp", linear_in_cpp);
  enlist("c_calls/linear_heads_forward/c", linear_in_c);
  return true;
}();

}  // namespace
}  // namespace softstep::bench
