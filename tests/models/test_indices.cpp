// Indices and sizes that a caller hands to a model, a state or options are looked at before they are used.

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "data/refused.h"
#include "models/model_runs.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// Says that it is watched through a block that it has not.
struct Careless final : Disguised<double> {
  using Disguised<double>::Disguised;
  std::vector<Observable> observables() const override { return {{"all", 3, 3, 7, 1}}; }

 protected:
  std::vector<double> observe_at(Point<double> at, std::size_t k) const override {
    return Model<double>::observe_at(at, k);
  }
};

}  // namespace

TEST_CASE("an observable that a model has not is refused", "[models]") {
  const TestBatch<double> batch({{3, 3}, 3}, 1);
  const AttentionModel<double> fixed(batch.view);
  const AttentionModel<double> joint(batch.view, joint_options());
  const auto next_token = make_next_token_model<double>(next_token_example(3, 6, 4, 2, 1));
  const auto points = make_linear_model(batch.view);
  ReluOptions network;
  network.n_neurons = 2;
  const auto relu = make_relu_model(batch.view, network);
  const std::vector<const Model<double>*> models = {&fixed, &joint, next_token.get(), points.get(),
                                                    relu.get()};
  for (const Model<double>* model : models) {
    const auto state = initial_state(*model);
    const std::size_t n = model->observables().size();
    for (std::size_t k = 0; k < n; ++k)
      CHECK(observe(*model, state, k).size() ==
            model->observables()[k].n_rows * model->observables()[k].n_cols);
    const std::string has = "has " + std::to_string(n) + " observables";
    require_refused("k", {std::to_string(n), has}, [&] { observe(*model, state, n); });
    require_refused("k", {has}, [&] { observe(*model, state, static_cast<std::size_t>(-1)); });
    auto short_state = state;
    short_state.blocks.pop_back();
    require_refused("at", {"blocks"}, [&] { observe(*model, short_state, 0); });
    short_state = state;
    short_state.blocks[0].pop_back();
    require_refused("at", {"entries"}, [&] { observe(*model, short_state, 0); });
  }
  const Careless careless(fixed);
  require_refused("observables", {"block 7", "has 1"}, [&] { observe(careless, initial_state(fixed), 0); });
}

TEST_CASE("a block that a state has not and a rule that is not set are refused", "[models]") {
  const TestBatch<double> batch({{3, 3}, 3}, 1);
  const AttentionModel<double> joint(batch.view, joint_options());
  const auto state = initial_state(joint);
  CHECK(state.values(1).size() == 3);
  require_refused("k", {"2", "has 2 blocks"}, [&] { state.values(2); });
  TrainerOptions options;
  CHECK(&options.rule(5) == &options.rules[0]);  // one for all blocks
  options.rules = parse_rules("ngd;gd");
  CHECK(&options.rule(1) == &options.rules[1]);
  require_refused("k", {"2", "2 rules"}, [&] { options.rule(2); });
  options.rules.clear();
  require_refused("k", {"0", "0 rules"}, [&] { options.rule(0); });
}
