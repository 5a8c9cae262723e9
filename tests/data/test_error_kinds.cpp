// A bad argument, a bad file, a failure of the system, and what this CPU lacks are told apart; all of them
// are InvalidArgument and Error, and name what they are about.

#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

#include "softstep/softstep.h"
#include "support/temporary_file.h"

using namespace softstep;
using namespace softstep::test;

namespace {

enum class Kind { none, bad_argument, bad_file, io_error, not_supported };

template <class Action>
Kind kind_of(const Action& action, std::string* argument = nullptr) {
  const auto note = [&](const Error& error, Kind kind) {
    if (argument != nullptr) *argument = error.argument();
    return kind;
  };
  try {
    action();
  } catch (const BadFile& error) {
    return note(error, Kind::bad_file);
  } catch (const IoError& error) {
    return note(error, Kind::io_error);
  } catch (const NotSupported& error) {
    return note(error, Kind::not_supported);
  } catch (const InvalidArgument& error) {
    return note(error, Kind::bad_argument);
  }
  return Kind::none;
}

static_assert(std::is_base_of_v<std::runtime_error, Error> && std::is_base_of_v<Error, InvalidArgument>);
static_assert(std::is_base_of_v<InvalidArgument, BadFile> && std::is_base_of_v<InvalidArgument, IoError>);
static_assert(!std::is_base_of_v<BadFile, IoError> && !std::is_base_of_v<IoError, BadFile>);

}  // namespace

TEST_CASE("a message is one line whatever stands in a path or a name", "[data]") {
  const std::string path =
      "/no-such-folder/a\nb\x1b[31m\xe2\x80\xae"
      "file";
  const auto check = [&](const auto& action) {
    try {
      action();
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.argument() == path);
      CHECK(std::string(error.what()).starts_with("/no-such-folder/a?b?[31m?file: "));
    }
  };
  check([&] { load_dataset<double>(path); });
  check([&] { load_tensors(path); });
  check([&] { save_weights(path, {1.0}, 1); });
  check([&] { write_file(path, "x"); });
  check([&] { throw InvalidArgument(path, "of one's own"); });
}

TEST_CASE("errors of arguments, files, the system and the CPU are told apart", "[data]") {
  const std::string nowhere = "/no-such-folder/file";
  std::string argument;
  CHECK(kind_of([&] { load_dataset<double>(nowhere); }, &argument) == Kind::io_error);
  CHECK(argument == nowhere);
  CHECK(kind_of([&] { load_tensors(nowhere); }) == Kind::io_error);
  CHECK(kind_of([&] { load_weights(nowhere, 2); }) == Kind::io_error);
  CHECK(kind_of([&] { load_selected(nowhere); }) == Kind::io_error);
  CHECK(kind_of([&] { write_file(nowhere, "x"); }, &argument) == Kind::io_error);
  CHECK(argument == nowhere);
  CHECK(kind_of([&] { OutputFile file(nowhere); }) == Kind::io_error);
  CHECK(kind_of([&] { require_writable(nowhere); }) == Kind::io_error);
  CHECK(kind_of([&] { save_weights(nowhere, {1.0}, 1); }) == Kind::io_error);
  CHECK(kind_of([&] { load_tensors(std::filesystem::temp_directory_path().string()); }) == Kind::io_error);
  CHECK(kind_of([&] { write_file("", "x"); }) == Kind::bad_argument);

  const TemporaryFile file("error_kinds");
  for (const std::string& contents :
       {std::string(), std::string("{}"), std::string("\x08\0\0\0\0\0\0\0notjson!", 16)}) {
    std::ofstream(file.path, std::ios::binary) << contents;
    CHECK(kind_of([&] { load_tensors(file.path); }, &argument) == Kind::bad_file);
    CHECK(argument == file.path);
    CHECK(kind_of([&] { load_dataset<float>(file.path); }) == Kind::bad_file);
  }
  save_tensors(file.path, {{"other", {1}, {1.0}}});
  CHECK(kind_of([&] { load_weights(file.path, 1); }) == Kind::bad_file);
  CHECK(kind_of([&] { load_dataset<double>(file.path); }) == Kind::bad_file);
  CHECK(kind_of([&] { save_tensors(file.path, {{"values", {3}, {1.0}}}); }) == Kind::bad_argument);
  CHECK(kind_of([&] { save_weights(file.path, {1.0}, 2); }) == Kind::bad_argument);
  CHECK(kind_of([&] { generate({.dim = 0}); }, &argument) == Kind::bad_argument);
  CHECK(argument == "dim");
}

TEST_CASE("a state that is damaged is a bad file, one of another run a bad argument", "[data]") {
  const auto data = generate({.n_samples = 3, .n_tokens = 2, .dim = 4});
  const AttentionModel<double> model(data.view());
  auto state = initial_state(model);
  TrainerOptions options = {.n_steps = 2};
  train(model, state, options);
  const TemporaryFile file("error_kinds.state");
  CHECK(kind_of([&] { load_state("/no-such-folder/file", model, options); }) == Kind::io_error);
  CHECK(kind_of([&] { save_state("/no-such-folder/file", model, state, options); }) == Kind::io_error);
  save_state(file.path, model, state, options);
  CHECK(kind_of([&] { load_state(file.path, model, options); }) == Kind::none);
  TrainerOptions other = options;
  other.rules = {parse_rule("gd")};
  CHECK(kind_of([&] { load_state(file.path, model, other); }) == Kind::bad_argument);

  // The last byte belongs to a number of the last tensor.
  std::fstream bytes(file.path, std::ios::binary | std::ios::in | std::ios::out);
  bytes.seekg(-1, std::ios::end);
  const char last = static_cast<char>(bytes.get() ^ 1);
  bytes.seekp(-1, std::ios::end);
  bytes.put(last);
  bytes.close();
  CHECK(kind_of([&] { load_state(file.path, model, options); }) == Kind::bad_file);
  save_tensors(file.path, {{"weights", {4, 4}, std::vector<double>(16, 0.0)}});
  CHECK(kind_of([&] { load_state(file.path, model, options); }) == Kind::bad_file);
}

TEST_CASE("an instruction set that is not here is not supported, an unknown one a bad argument", "[data]") {
  CHECK(kind_of([] { force_isa("abacus"); }) == Kind::bad_argument);
  bool one_is_missing = false;
  for (const IsaInfo& isa : isas())
    if (!isa.runnable) {
      one_is_missing = true;
      CHECK(kind_of([&] { force_isa(isa.name); }) == Kind::not_supported);
    }
  // No CPU has the instructions of x86 and Arm.
  CHECK(one_is_missing);
  struct Plain final : Model<double> {
    std::vector<BlockShape> shapes = {{"w", 1, 1}};
    const std::vector<BlockShape>& blocks() const override { return shapes; }
    std::size_t n_samples() const override { return 1; }
    void evaluate_at(Point<double>, Evaluation<double>&, Workspace&, unsigned, SampleSet) const override {}
  } plain;
  const double one = 1.0;
  const std::span<const double> block(&one, 1);
  std::vector<BlockGradient<double>> out;
  const auto space = plain.make_workspace();
  CHECK(kind_of([&] {
          plain.hessian_product(Point<double>(&block, 1), Point<double>(&block, 1), out, *space);
        }) == Kind::not_supported);
}
