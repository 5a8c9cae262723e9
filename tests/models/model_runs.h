#pragma once

// Runs of models with their trace.

#include <catch2/catch_test_macros.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "softstep/softstep.h"
#include "support/temporary_file.h"

namespace softstep::test {

/// Another model in the clothes of one's own: the trainer knows nothing of it but what every model says. With
/// no identity, saved states are not checked for the data they belong to.
template <class T>
class Disguised : public Model<T> {
 public:
  explicit Disguised(const Model<T>& inner) : inner_(inner) {}
  const std::vector<BlockShape>& blocks() const override { return inner_.blocks(); }
  std::size_t n_samples() const override { return inner_.n_samples(); }
  std::vector<Observable> observables() const override { return inner_.observables(); }
  double optimal_loss() const override { return inner_.optimal_loss(); }
  std::string isa() const override { return inner_.isa(); }
  std::unique_ptr<Workspace> make_workspace() const override { return inner_.make_workspace(); }

 protected:
  std::vector<double> observe_at(Point<double> at, std::size_t k) const override {
    return inner_.observe(at, k);
  }
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want,
                   SampleSet samples) const override {
    inner_.evaluate(at, out, space, want, samples);
  }

 private:
  const Model<T>& inner_;
};

inline TrainerOptions model_options(const std::string& rules, std::int64_t n_steps) {
  TrainerOptions options;
  options.rules = parse_rules(rules);
  options.n_steps = n_steps;
  return options;
}

inline AttentionOptions joint_options(KeyQuery key_query = KeyQuery::combined, std::size_t rank = 0) {
  AttentionOptions options;
  options.key_query = key_query;
  options.rank = rank;
  options.train_decoder = true;
  options.optimal_loss = OptimalLoss::zero;
  return options;
}

struct TracedRun {
  TrainSummary summary;
  std::vector<TraceRecord> trace;
  /// The row of a step that was traced.
  const TraceRecord& at(std::int64_t step) const {
    for (const TraceRecord& row : trace)
      if (row.step == step) return row;
    throw InvalidArgument("step", std::to_string(step) + " has no row in the trace");
  }
};

template <class T>
TracedRun run_model(const Model<T>& model, TrainState<T>& state, TrainerOptions options) {
  TracedRun out;
  options.trace = [&](const TraceRecord& row) {
    out.trace.push_back(row);
    return true;
  };
  out.summary = train(model, state, options);
  return out;
}

/// Takes 15 steps, saves, loads and takes 25 more: the bits of 40 steps at once. `other` is the model of
/// other data, which refuses the state.
template <class T>
void check_put_down_and_taken_up(const Model<T>& model, const Model<T>& other, const TrainState<T>& start,
                                 std::initializer_list<const char*> rules) {
  for (const char* rule : rules) {
    INFO(rule);
    auto whole = start, part = start;
    train(model, whole, model_options(rule, 40));
    train(model, part, model_options(rule, 15));
    const TemporaryFile file("state.safetensors");
    save_state(file.path, model, part, model_options(rule, 15));
    auto again = load_state<T>(file.path, model, model_options(rule, 25));
    train(model, again, model_options(rule, 25));
    CHECK(again.blocks == whole.blocks);
    CHECK_THROWS_AS(load_state<T>(file.path, other, model_options(rule, 25)), InvalidArgument);
  }
}

/// Slope of y against x.
inline double slope_of(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0.0, mean_y = 0.0, xy = 0.0, xx = 0.0;
  const auto n = static_cast<double>(x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    mean_x += x[k] / n;
    mean_y += y[k] / n;
  }
  for (std::size_t k = 0; k < x.size(); ++k) {
    xy += (x[k] - mean_x) * (y[k] - mean_y);
    xx += (x[k] - mean_x) * (x[k] - mean_x);
  }
  return xy / xx;
}

/// y_i x_i,opt as rows with labels: what the decoder's max-margin problem is made of.
template <class T>
std::vector<T> optimal_tokens(const BatchView<T>& batch) {
  const TokenScores scores = score_tokens(batch);
  std::vector<T> points;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const T* x = batch.sample(i) + scores.optimal[i] * batch.row_stride();
    points.insert(points.end(), x, x + batch.dim);
  }
  return points;
}

}  // namespace softstep::test
