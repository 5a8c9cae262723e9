// Every byte of a state file, damaged: it is refused in one line, or nothing was lost.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

#include "softstep/attention_model.h"
#include "softstep/error.h"
#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TemporaryFile;

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("whichever byte of a state is damaged, it is refused in one line or is the same state",
          "[trainer]") {
  const Dataset<double> data = signal_noise(5, 3, 3, 4);
  const AttentionModel<double> model(data.view());
  const TemporaryFile file("softstep-damaged-state");
  TrainerOptions options;
  options.rules = {parse_rule("adam")};
  options.n_steps = 20;
  auto state = initial_state(model);
  train(model, state, options);
  save_state(file.path, model, state, options);
  const std::string good = read(file.path);
  std::size_t n_refused = 0, n_same = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const unsigned mask : {0x01u, 0x80u, 0xffu}) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ mask);
      write(file.path, bad);
      try {
        const auto found = load_state(file.path, model, options);
        // Spaces of the header, say.
        ++n_same;
        CHECK(found.step == state.step);
        CHECK(same_bits(found.blocks[0], state.blocks[0]));
        CHECK(found.rule_states[0].values == state.rule_states[0].values);
      } catch (const InvalidArgument& error) {
        ++n_refused;
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
      }
    }
  for (std::size_t size = 0; size < good.size(); ++size) {
    write(file.path, good.substr(0, size));
    CHECK_THROWS_AS(load_state(file.path, model, options), InvalidArgument);
  }
  CHECK(n_refused + n_same == 3 * good.size());
  CHECK(n_same < good.size() / 20);
}

TEST_CASE("a state that is whole but holds what no run leaves is refused in one line", "[trainer]") {
  using State = TrainState<double>;
  const Dataset<double> data = signal_noise(5, 3, 3, 4);
  const AttentionModel<double> model(data.view());
  const TemporaryFile file("softstep-hostile-state");
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                   infinity = std::numeric_limits<double>::infinity();
  struct Hostile {
    const char *what, *rule;
    std::function<void(State&)> plant;
    bool in_memory;  // train() has to see it too: it would look beyond an array, or go on from no number
  };
  const auto memory = [](State & s) -> auto& { return s.rule_states[0].values; };
  const Hostile hostile[] = {
      {"weights: NaN", "adam", [=](State& s) { s.blocks[0][3] = nan; }, true},
      {"weights: infinite", "ngd", [=](State& s) { s.blocks[0][0] = -infinity; }, true},
      {"step: negative", "adam", [](State& s) { s.step = -1; }, true},
      {"step: more than is counted to", "adam",
       [](State& s) { s.step = std::numeric_limits<std::int64_t>::max(); }, false},
      {"seconds: NaN", "adam", [=](State& s) { s.seconds = nan; }, false},
      {"seconds: negative", "adam", [](State& s) { s.seconds = -1.0; }, false},
      {"masters: too few", "adam", [](State& s) { s.masters[0].assign(3, 1.0); }, true},
      {"masters: NaN", "adam", [=](State& s) { s.masters[0].assign(s.blocks[0].size(), nan); }, true},
      {"remainders: too many", "adam", [](State& s) { s.remainders.assign(1, std::vector<double>(17)); },
       true},
      {"memory: NaN", "adam", [=](State& s) { memory(s).rbegin()->second.back() = nan; }, false},
      {"memory: too few", "adam", [=](State& s) { memory(s).rbegin()->second.pop_back(); }, true},
      {"memory: one that the rule has not", "adam", [=](State& s) { memory(s)["planted"] = {1.0}; }, false},
      {"memory: one missing", "adam", [=](State& s) { memory(s).erase(memory(s).begin()); }, false},
      {"span: NaN", "ngd", [=](State& s) { s.span.coefficients.at(1) = nan; }, false},
      {"span: too few coefficients", "ngd", [](State& s) { s.span.coefficients.pop_back(); }, false},
      {"span: a base of another size", "ngd", [](State& s) { s.span.base.assign(5, 1.0); }, false},
  };
  for (const Hostile& one : hostile) {
    INFO(one.what);
    TrainerOptions options;
    options.rules = {parse_rule(one.rule)};
    options.n_steps = 20;
    if (options.rules[0].rule == "ngd") options.form = Form::query_span;
    State state = initial_state(model);
    train(model, state, options);
    save_state(file.path, model, state, options);
    REQUIRE_NOTHROW(load_state(file.path, model, options));
    one.plant(state);
    std::string message;
    try {
      // Written with the checksum of what it holds, or refused already then, or when a run is to go on.
      save_state(file.path, model, state, options);
      State found = load_state(file.path, model, options);
      train(model, found, options);
    } catch (const InvalidArgument& error) {
      message = error.what();
    }
    CHECK(!message.empty());
    CHECK(message.find('\n') == std::string::npos);
    INFO(message);
    if (one.in_memory) CHECK_THROWS_AS(train(model, state, options), InvalidArgument);
  }
}

TEST_CASE("a state with the largest step number there is ends at once", "[trainer]") {
  const Dataset<double> data = signal_noise(5, 3, 3, 4);
  const AttentionModel<double> model(data.view());
  TrainerOptions options;
  options.n_steps = 5;
  for (const std::int64_t left : {0, 1, 3, 10}) {
    auto state = initial_state(model);
    state.step = std::numeric_limits<std::int64_t>::max() - left;
    const TrainSummary summary = train(model, state, options);
    CHECK(summary.steps == std::min<std::int64_t>(left, 5));
  }
  auto negative = initial_state(model);
  negative.step = -1;
  CHECK_THROWS_AS(train(model, negative, options), InvalidArgument);
}
