// Every byte of a state file, damaged: it is refused in one line, or nothing was lost.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
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
