// Checkpoints through the C face: those of runs at once, and a disk that fails.

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>

#include "c/c_problem.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

struct Kept {
  softstep_checkpoints* folder = nullptr;
  explicit Kept(const std::string& path) {
    REQUIRE(softstep_checkpoints_open(path.c_str(), 2, &folder) == SOFTSTEP_OK);
  }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() { softstep_checkpoints_close(folder); }
};

std::vector<double> weights_of(const softstep_state* state) {
  std::vector<double> out(144);
  REQUIRE(softstep_state_block(state, 0, out.data(), out.size()) == SOFTSTEP_OK);
  return out;
}

softstep_train_options options_into(const softstep_checkpoints* folder) {
  softstep_train_options out{};
  out.struct_size = sizeof out;
  out.rules = "ngd:step-size=0.5";
  out.n_steps = 23;
  out.checkpoints = folder;
  out.checkpoint_steps = 10;
  return out;
}

std::size_t n_files(const std::string& folder) {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    n += entry.path().extension() == ".safetensors" ? 1 : 0;
  return n;
}

int32_t note(void* user, const char* message) {
  *static_cast<std::string*>(user) = message;
  return 0;
}
int32_t give_up(void*, const char*) { return 1; }

}  // namespace

TEST_CASE("Runs at once in C have checkpoints of their own, and go on from them", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  const Workplace place;
  const std::array<std::string, 2> paths{place.path("a"), place.path("b")};
  std::array<softstep_state*, 2> states{}, newest{};
  std::array<const softstep_model*, 2> models{c.model, c.model};
  {
    const Kept a(paths[0]), b(paths[1]);
    const softstep_train_options first = options_into(a.folder), second = options_into(b.folder);
    const std::array<const softstep_train_options*, 2> both{&first, &second}, same{&first, &first};
    for (auto& state : states) REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
    CHECK(softstep_train_many(models.data(), states.data(), same.data(), 2, 1, nullptr) ==
          SOFTSTEP_BAD_ARGUMENT);
    CHECK(std::string(softstep_last_argument()) == "runs[1]");
    CHECK(n_files(paths[0]) == 0);
    REQUIRE(softstep_train_many(models.data(), states.data(), both.data(), 2, 2, nullptr) == SOFTSTEP_OK);
    for (std::size_t k = 0; k < 2; ++k) {
      CHECK(n_files(paths[k]) == 2);
      REQUIRE(softstep_checkpoints_newest(k == 0 ? a.folder : b.folder, c.model, both[k], &newest[k]) ==
              SOFTSTEP_OK);
      REQUIRE(newest[k] != nullptr);
      CHECK(weights_of(newest[k]) == weights_of(states[k]));
    }
  }
  // The newest goes on as the run itself does.
  softstep_train_options on = options_into(nullptr);
  on.checkpoint_steps = 0;
  const std::array<const softstep_train_options*, 2> onward{&on, &on};
  REQUIRE(softstep_train_many(models.data(), states.data(), onward.data(), 2, 1, nullptr) == SOFTSTEP_OK);
  REQUIRE(softstep_train_many(models.data(), newest.data(), onward.data(), 2, 1, nullptr) == SOFTSTEP_OK);
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(weights_of(newest[k]) == weights_of(states[k]));
    softstep_state_destroy(states[k]);
    softstep_state_destroy(newest[k]);
  }
}

TEST_CASE("A checkpoint that cannot be written is the caller's to judge in C", "[c]") {
  const CProblem problem;
  const CModel c(problem.batch());
  const Workplace place;
  const Kept kept(place.path("kept"));
  std::filesystem::rename(place.path("kept"), place.path("elsewhere"));
  softstep_train_options options = options_into(kept.folder);
  softstep_state* state = nullptr;
  std::int64_t step = 0;
  REQUIRE(softstep_state_create(c.model, nullptr, &state) == SOFTSTEP_OK);
  CHECK(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_IO_ERROR);
  REQUIRE(softstep_state_step(state, &step) == SOFTSTEP_OK);
  CHECK(step == 10);  // where it stood
  options.checkpoint_failed = give_up;
  CHECK(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_IO_ERROR);
  std::string message;
  options.user = &message;
  options.checkpoint_failed = note;
  CHECK(softstep_train(c.model, state, &options, nullptr) == SOFTSTEP_OK);
  CHECK(message.find("kept") != std::string::npos);
  softstep_state_destroy(state);
}
