// Numbers are written and read alike in every locale. With a decimal comma printf and strtod would not.

#include <stdlib.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <clocale>
#include <cstdio>
#include <locale>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include "refused.h"
#include "softstep/attention_model.h"
#include "softstep/dataset.h"
#include "softstep/trainer.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// The German locale, made here from its source (the package `locales`), so that the machine need not have it.
class German {
 public:
  explicit German(const Workplace& place) {
    const std::string folder = place.path("locales");
    const std::string command = "mkdir -p '" + folder + "' && localedef -i de_DE -f UTF-8 '" + folder +
                                "/de_DE.UTF-8' >'" + folder + "/log' 2>&1";
    INFO(command);
    REQUIRE(system(command.c_str()) == 0);
    REQUIRE(setenv("LOCPATH", folder.c_str(), 1) == 0);
#if defined(__SANITIZE_ADDRESS__)
    // glibc never frees the lists of folders that it makes of LOCPATH.
    const __lsan::ScopedDisabler known_leak;
#endif
    REQUIRE(std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr);
    std::locale::global(std::locale("de_DE.UTF-8"));
    char text[8];
    std::snprintf(text, sizeof text, "%.1f", 0.5);
    REQUIRE(std::string(text) == "0,5");  // or nothing is tested here
  }
  ~German() {
    std::locale::global(std::locale::classic());
    std::setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
  }
};

GeneratorOptions generator_options() {
  GeneratorOptions generator;
  generator.dim = 5;
  generator.noise = 0.3;
  return generator;
}

TrainerOptions trainer_options() {
  TrainerOptions options;
  options.rules = {{"ngd", {{"step-size", 0.25}, {"schedule-power", 0.5}}}};
  options.n_steps = 3;
  return options;
}

// Files of a state and of data; and messages with numbers in them.
std::vector<std::string> texts(const Workplace& place, const std::string& folder) {
  std::filesystem::create_directory(place.path(folder));
  const auto path = [&](const char* name) { return place.path(folder + "/" + name); };
  const Dataset<double> data = generate(generator_options());
  save_dataset(path("data"), data, StoredType::f32);

  const TrainerOptions options = trainer_options();
  const AttentionModel<double> model(data.view());
  TrainState<double> state = initial_state(model, {std::vector<double>(25, 0.5)});
  train(model, state, options);
  state.seconds = 0.125;
  save_state(path("state"), model, state, options);
  CHECK(load_state(path("state"), model, options).seconds == 0.125);

  std::vector<std::string> out;
  for (const char* name : {"data", "state"}) out.push_back(place.read(folder + "/" + name));
  const auto message = [&](const auto& body) {
    try {
      body();
      FAIL_CHECK("accepted");
    } catch (const InvalidArgument& error) {
      out.emplace_back(error.what());
    }
  };
  message([&] { make_step_rule<double>({"ngd", {{"step-size", -0.25}}}); });
  message([&] { normal_state(model, -0.25, 1); });
  message([&] {
    TrainerOptions bad = options;
    bad.stop_one_minus_cos = -0.25;
    bad.validate();
  });
  message([&] {
    TrainerOptions bad = options;
    bad.thresholds = {-0.25};
    bad.validate();
  });
  message([&] { save_weights(path("w"), {1e300}, 1, StoredType::f32); });
  return out;
}

}  // namespace

TEST_CASE("files, states and messages are the same under a decimal comma", "[data]") {
  const Workplace place;
  const std::vector<std::string> plain = texts(place, "plain");
  for (std::size_t k = 3; k + 1 < plain.size(); ++k) {
    INFO(plain[k]);
    CHECK(plain[k].find("-0.25") != std::string::npos);
  }
  const German german(place);
  const std::vector<std::string> comma = texts(place, "comma");
  REQUIRE(comma.size() == plain.size());
  for (std::size_t k = 0; k + 1 < plain.size(); ++k) CHECK(comma[k] == plain[k]);
  const Dataset<double> data = generate(generator_options());
  const AttentionModel<double> model(data.view());
  CHECK(load_state(place.path("plain/state"), model, trainer_options()).step == 3);
}
