// softstep generate: writes a data set of one of the generators.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "file_models.h"
#include "generate_models.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/large_data.h"

namespace softstep::program {

namespace {

struct Options {
  GeneratorFlags generator;
  std::uint64_t seed = 0;
  std::int64_t shards = 0;
  std::string dtype = "f64", out, json, model_kind;
  CLI::Option *generator_option = nullptr, *shards_option = nullptr;
  std::vector<CLI::Option*> generator_options = {};
};

int say_interrupted() {
  note("interrupted; nothing was written");
  return interrupt_exit_code();
}

// A file of a model of its own, in place of a data set.
int generate_model_data(const Options& options, StoredType type) {
  const std::vector<std::string> sizes = sizes_of_model_data(options.model_kind);
  std::vector<CLI::Option*> given = options.generator_options;
  given.push_back(options.generator_option);
  given.push_back(options.shards_option);
  for (const CLI::Option* option : given)
    if (option->count() != 0 && std::find(sizes.begin(), sizes.end(), option->get_name()) == sizes.end())
      throw InvalidArgument(option->get_name(), "does not go with --model-kind " + options.model_kind);
  const auto whole = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const GeneratorFlags& flags = options.generator;
  const std::vector<NamedTensor> tensors =
      model_data(options.model_kind, {whole(flags.n_samples), whole(flags.n_tokens), whole(flags.dim)},
                 options.seed, type);
  if (interrupted()) return say_interrupted();
  save_tensors(options.out, tensors);
  Json json = Json::object();
  std::string text =
      fmt::format("{}: for train --model-kind {}, seed={}", options.out, options.model_kind, options.seed);
  json["model"] = options.model_kind;
  json["seed"] = options.seed;
  json["dtype"] = options.dtype;
  json["out"] = options.out;
  json["tensors"] = Json::object();
  for (const NamedTensor& tensor : tensors) {
    json["tensors"][tensor.name] = tensor.shape;
    text += fmt::format(", {} [{}]", tensor.name, fmt::join(tensor.shape, ", "));
  }
  publish(text + "\n", json, options.json);
  return exit_success;
}

// Looks at everything that is written before any work is done. Shards are many: each is held against --json
// alone, as their names are all different.
void check_outputs(const Options& options) {
  const std::int64_t shards = options.model_kind.empty() ? options.shards : 0;
  for (const std::string& file : generated_file_names(options.out, static_cast<std::size_t>(shards))) {
    Outputs outputs;
    outputs.add("--out", file);
    if (options.json != "-") outputs.add("--json", options.json);
  }
}

int run_generate(const Options& options) {
  const StoredType type = parse_stored_type(options.dtype);
  check_outputs(options);
  catch_interrupts();
  if (!options.model_kind.empty()) return generate_model_data(options, type);
  check_generator_options(options.generator, options.generator_options);
  const GeneratorOptions generator = options.generator.with_seed(options.seed);
  const GeneratedFiles made = generate_files(
      generator, options.out, type, static_cast<std::size_t>(options.shards), [] { return !interrupted(); });
  if (made.files.empty()) return say_interrupted();
  std::error_code no_file;  // a pipe or a device has no size
  std::uintmax_t size = 0;
  for (const std::string& file : made.files)
    if (!no_file) size += std::filesystem::file_size(file, no_file);
  const Json n_bytes = no_file ? Json(nullptr) : Json(size);
  Json json = Json::object();
  json["generator"] = generator.generator;
  json["samples"] = made.n_samples;
  json["tokens"] = made.n_tokens;
  json["dim"] = made.dim;
  json["seed"] = generator.seed;
  json["signal"] = number(generator.signal);
  json["noise"] = number(generator.noise);
  json["equal_scores"] = generator.equal_scores;
  json["dtype"] = options.dtype;
  json["out"] = made.files.back();
  json["bytes"] = n_bytes;
  publish(fmt::format("{}: {}, n={}, T={}, d={}, seed={}, {}{}\n", made.files.back(), generator.generator,
                      made.n_samples, made.n_tokens, made.dim, generator.seed, options.dtype,
                      no_file ? "" : fmt::format(", {} bytes", size)),
          json, options.json);
  return exit_success;
}

}  // namespace

Command add_generate(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = program.add_subcommand("generate", "Write a data set of one of the generators");
  options->generator_option = add_generator(*app, options->generator, "What to generate:");
  options->generator_options = add_generator_options(*app, options->generator);
  add_seed(*app, options->seed, "Seed; the same seed gives the same bytes everywhere");
  add_word(*app, "--dtype", options->dtype, {"f64", "f32", "f16", "bf16"},
           "Number type of the tokens in the file");
  options->shards_option = add_whole(
      *app, "--shards", options->shards, 0, 512,
      "Write so many files data-00001-of-0000N.safetensors, and the index data.safetensors.index.json that "
      "--data takes; 0: one file");
  std::vector<std::string> kinds;
  for (const std::string& kind : further_models())
    if (has_own_file(kind)) kinds.push_back(kind);
  add_word(*app, "--model-kind", options->model_kind, kinds,
           "In place of a generator: a small file for train --model-kind NAME")
      ->default_str("");
  add_path(*app, "--out", options->out, "File to write")->required();
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep generate --generator signal_noise --samples 10 --tokens 6 --dim 60 --seed 1 \\\n"
      "      --out data.safetensors\n"
      "  softstep generate --generator random_unit --samples 6 --tokens 8 --dim 10 --dtype f32 \\\n"
      "      --out unit.safetensors\n"
      "  softstep generate --model-kind induction --samples 1000 --tokens 20 --out induction.safetensors\n");
  return {app, [options] { return run_generate(*options); }};
}

}  // namespace softstep::program
