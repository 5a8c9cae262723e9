#pragma once

// Runs of all models and rules, which the tests make in one process and over ranks.

#include <memory>
#include <string>
#include <vector>

#include "mpi/program/planted.h"
#include "softstep/softstep.h"

namespace softstep::test {

struct Case {
  std::string name, rule;
  AttentionOptions layer = {};
  TrainerOptions trainer = {};
  std::string queries = {};  // several, late: several from the middle on, all
  bool ragged = false;
  std::size_t dim = 104;
  int last_rank_threads = 0;  // 0: as many as the others
};

template <class T>
Dataset<T> data_of(const Case& a) {
  DatasetParts<T> parts;
  const std::size_t n = 37, n_tokens = 20;
  const auto base = generate({.n_samples = n, .n_tokens = n_tokens, .dim = a.dim, .seed = 5});
  const BatchView<double>& view = base.view();
  parts.n_samples = n;
  parts.dim = a.dim;
  if (!a.ragged) parts.n_tokens = n_tokens;
  if (a.ragged) parts.offsets.push_back(0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t n_of = a.ragged ? 3 + i % (n_tokens - 3) : n_tokens;
    for (std::size_t k = 0; k < n_of * a.dim; ++k) parts.tokens.push_back(static_cast<T>(view.sample(i)[k]));
    if (a.ragged) parts.offsets.push_back(parts.offsets.back() + static_cast<std::int64_t>(n_of));
    parts.labels.push_back(view.labels[i]);
    if (a.queries != "several" && a.queries != "late") continue;
    if (i == 0) parts.query_offsets.push_back(0);
    const std::size_t m = a.queries == "late" && i <= n / 2 ? 1 : 1 + i % 3;
    for (std::size_t q = 0; q < m; ++q) {
      parts.query_index.push_back(static_cast<std::int64_t>(q));
      parts.query_weights.push_back(T(1) + static_cast<T>(q));
    }
    parts.query_offsets.push_back(parts.query_offsets.back() + static_cast<std::int64_t>(m));
  }
  parts.all_tokens_are_queries = a.queries == "all";
  for (std::size_t k = 0; k < a.dim; ++k) parts.decoder.push_back(static_cast<T>(view.decoder[k]));
  return make_dataset<T>(std::move(parts));
}

struct Ended {
  std::vector<unsigned char>
      bytes;  // of blocks, what is beside them, memories, and every number of the trace
  TrainStatus status = TrainStatus::not_run;
  std::int64_t steps = 0;
};

template <class T>
Ended run(const Case& a, const BatchView<T>& batch, std::shared_ptr<Ranks> ranks) {
  AttentionOptions layer = a.layer;
  if (a.last_rank_threads != 0 && ranks != nullptr && ranks->rank() + 1 == ranks->size())
    layer.n_threads = a.last_rank_threads;
  layer.ranks = std::move(ranks);
  const AttentionModel<T> model(batch, layer);
  TrainState<T> state = normal_state(model, 0.05, 7);
  TrainerOptions options = a.trainer;
  options.rules = {parse_rule(a.rule)};
  if (a.layer.train_decoder && options.normalization == Normalization::separate)
    options.rules = {parse_rule(a.rule), parse_rule("ngd:step-size=0.1")};
  if (!a.layer.train_decoder && a.layer.key_query == KeyQuery::combined && options.batch_size == 0)
    options.form = Form::dense;
  Ended out;
  options.trace = [&](const TraceRecord& row) {
    append(out.bytes, std::vector<double>{row.loss, row.log10_gap, row.weight_norm, row.log10_gradient_norm,
                                          row.step_length, row.min_optimal_attention,
                                          row.log10_one_minus_optimal_attention, row.log10_loss,
                                          row.optimal_loss, row.accuracy});
    return true;
  };
  // In two parts, as a run that goes on.
  options.n_steps = 3;
  out.steps = train(model, state, options).steps;
  options.n_steps = 4;
  const TrainSummary rest = train(model, state, options);
  out.steps += rest.steps;
  out.status = rest.status;
  for (const auto& block : state.blocks) append(out.bytes, block);
  for (const auto& block : state.remainders) append(out.bytes, block);
  for (const auto& block : state.masters) append(out.bytes, block);
  for (const RuleState& memory : state.rule_states)
    for (const auto& [name, values] : memory.values) append(out.bytes, values);
  const std::string identity = model.identity();
  append(out.bytes, identity);
  return out;
}

// A run that ends at once compares nothing.
inline bool has_run(const Ended& ended) { return ended.steps >= 3; }

std::vector<Case> cases();

}  // namespace softstep::test
