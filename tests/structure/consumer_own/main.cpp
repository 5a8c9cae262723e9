// Someone else's program with a rule, a loss and a model of its own. Each check says what it wants; the first
// that fails ends it.

#include <softstep/softstep.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "options.h"
#include "own_loss.h"
#include "own_model.h"
#include "own_rule.h"

namespace {

void require(bool good, const std::string& what) {
  if (good) return;
  std::printf("failed: %s\n", what.c_str());
  std::exit(1);
}

softstep::TrainerOptions own_training(std::int64_t n_steps) {
  return {.rules = {{.object = std::make_shared<own::AveragedDirection>(0.05, 0.9)}}, .n_steps = n_steps};
}

/// Trains, saves, resumes, and compares with a run in one go.
void check_training(const softstep::Model<double>& model, const std::string& name) {
  const softstep::GradientCheck check =
      softstep::check_gradient(model, softstep::normal_state(model, 1.0, 3).blocks);
  require(check.passed, name + "\n" + check.report());

  auto whole = softstep::normal_state(model, 0.1, 5), first = whole;
  softstep::Evaluation<double> before, after;
  const auto space = model.make_workspace();
  model.evaluate(softstep::views_of(whole.blocks), before, *space);
  const softstep::TrainSummary summary = softstep::train(model, whole, own_training(60));
  require(summary.status == softstep::TrainStatus::max_iterations && summary.steps == 60,
          name + " takes its steps");
  model.evaluate(softstep::views_of(whole.blocks), after, *space);
  require(after.loss < before.loss, name + " comes down");

  softstep::train(model, first, own_training(23));
  softstep::save_state(name + ".state", model, first, own_training(37));
  auto second = softstep::load_state(name + ".state", model, own_training(37));
  softstep::train(model, second, own_training(37));
  require(second.blocks == whole.blocks && second.step == 60, name + " resumes with the same bits");
  require(second.rule_states[0].values == whole.rule_states[0].values, name + " remembers the same");
  std::printf("%s: loss %.3g -> %.3g\n", name.c_str(), before.loss, after.loss);
}

/// Two threads, each with a workspace of its own, into memory of the caller's.
void check_threads(const softstep::Model<double>& model) {
  const auto blocks = softstep::normal_state(model, 1.0, 3).blocks;
  const std::size_t size = blocks[0].size();
  std::vector<double> gradients[2] = {std::vector<double>(size), std::vector<double>(size)};
  double losses[2] = {};
  const auto work = [&](std::size_t k) {
    const auto space = model.make_workspace();
    softstep::Evaluation<double> out;
    out.gradients.resize(model.blocks().size());
    out.gradients[0].into = gradients[k];
    for (int times = 0; times < 50; ++times) model.evaluate(softstep::views_of(blocks), out, *space);
    losses[k] = out.loss;
    require(out.gradients[0].values.empty() && out.gradients[0].mantissa().data() == gradients[k].data(),
            "the gradient is written where the caller said");
  };
  std::thread other(work, 0u);
  work(1);
  other.join();
  require(losses[0] == losses[1] && gradients[0] == gradients[1] && losses[0] > 0.0, "threads agree");
}

void check_endings(const softstep::Model<double>& model) {
  std::stop_source source;
  softstep::TrainerOptions options = own_training(std::numeric_limits<std::int64_t>::max());
  options.stop = source.get_token();
  options.trace = [&](const softstep::TraceRecord& row) {
    if (row.step >= 10) source.request_stop();
    return true;
  };
  auto state = softstep::initial_state(model);
  require(softstep::train(model, state, options).status == softstep::TrainStatus::interrupted,
          "a stop token stops");
  require(state.step >= 10, "not before it was asked");

  options = own_training(std::numeric_limits<std::int64_t>::max());
  options.max_seconds = 0.02;
  require(softstep::train(model, state, options).status == softstep::TrainStatus::out_of_time,
          "time runs out");

  // A callback that throws: the exception comes out, the state is that of the row.
  auto thrown = softstep::initial_state(model), wanted = thrown;
  softstep::train(model, wanted, own_training(7));
  options = own_training(1000);
  options.trace = [](const softstep::TraceRecord& row) -> bool {
    if (row.step == 7) throw std::runtime_error("enough");
    return true;
  };
  std::string said;
  try {
    softstep::train(model, thrown, options);
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  require(said == "enough", "the callback's exception comes out");
  require(thrown.step == 7 && thrown.blocks == wanted.blocks, "the state is that of the row");
}

}  // namespace

int main() {
  require(options_are_good(), "options");

  const auto data = softstep::generate({.n_samples = 4, .n_tokens = 3, .dim = 6});
  const softstep::AttentionModel<double> attention(data.view(),
                                                   {.own_loss = std::make_shared<own::Sigmoid>()});
  check_training(attention, "own_loss");
  check_threads(attention);
  check_endings(attention);

  const own::LeastSquares squares({0.0, 1.0, 1.0, 0.5, -1.0, 2.0, 0.25, -0.5, 3.0, 1.0},
                                  {1.0, 2.5, -0.5, 0.75, 4.0});
  check_training(squares, "own_model");
  check_threads(squares);
  check_endings(squares);

  softstep::FlatSpace<double> space(attention);
  const std::vector<double> at(softstep::flat_size(attention), 0.0);
  std::vector<double> gradient(at.size());
  require(softstep::log_gap(attention, at, gradient, space).status == softstep::LogGapStatus::good,
          "log gap");
  return 0;
}
