#pragma once

// Runs of the trainer from W = 0 on a data set, with their trace.

#include <cstring>
#include <string>
#include <vector>

#include "softstep/softstep.h"

namespace softstep::test {

template <class T>
struct Run {
  TrainSummary summary;
  TrainState<T> state;
  std::vector<TraceRecord> trace;

  /// The row of a step that was traced.
  const TraceRecord& at(std::int64_t step) const {
    for (const TraceRecord& row : trace)
      if (row.step == step) return row;
    throw InvalidArgument("step", std::to_string(step) + " has no row in the trace");
  }
  /// The last traced row up to a step.
  const TraceRecord& before(std::int64_t step) const {
    const TraceRecord* found = &trace.front();
    for (const TraceRecord& row : trace)
      if (row.step <= step) found = &row;
    return *found;
  }
};

template <class T>
Run<T> run(const BatchView<T>& batch, const std::string& rule, std::int64_t n_steps,
           const std::vector<double>& reference = {}, const AttentionOptions& model_options = {},
           TrainerOptions options = {}) {
  const AttentionModel<T> model(batch, model_options);
  Run<T> out;
  out.state = initial_state(model, {}, options.master_weights);
  options.rules = {parse_rule(rule)};
  options.n_steps = n_steps;
  if (!reference.empty()) options.references = {reference};
  options.trace = [&](const TraceRecord& row) {
    out.trace.push_back(row);
    return true;
  };
  out.summary = train(model, out.state, options);
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

inline Dataset<double> signal_noise(std::uint64_t seed, std::size_t n_samples = 10, std::size_t n_tokens = 6,
                                    std::size_t dim = 60) {
  GeneratorOptions options;
  options.n_samples = n_samples;
  options.n_tokens = n_tokens;
  options.dim = dim;
  options.seed = seed;
  return generate(options);
}

}  // namespace softstep::test
