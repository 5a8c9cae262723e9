#include "checkpoint_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cmath>
#include <filesystem>

#include "options.h"
#include "read_number.h"
#include "softstep/error.h"

namespace softstep::program {

namespace fs = std::filesystem;

namespace {

// A whole number of steps, or seconds with an s behind them.
void read_every(const std::string& text, TrainerOptions& trainer) {
  const bool in_seconds = text.ends_with('s');
  double value = 0.0;
  const bool is_number = read_number(in_seconds ? text.substr(0, text.size() - 1) : text, value);
  const bool is_whole = value >= 1.0 && value <= 0x1p53 && value == std::floor(value);
  if (!is_number || !(in_seconds ? value > 0.0 && std::isfinite(value) : is_whole))
    throw InvalidArgument(
        "--checkpoint-every",
        fmt::format("{} (need a whole number of steps from 1, or seconds as in 30s)", text));
  if (in_seconds)
    trainer.checkpoint_seconds = value;
  else
    trainer.checkpoint_steps = static_cast<std::int64_t>(value);
}

fs::path absolute(const std::string& path) {
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) return path;
  return result.has_filename() ? result : result.parent_path();  // without a / at the end
}

}  // namespace

void CheckpointOptions::check() const {
  TrainerOptions unused;
  read_every(every, unused);
  if (!folder.empty()) return;
  if (every_option->count() != 0) throw InvalidArgument("--checkpoint-every", "only goes with --checkpoint");
  if (keep_option->count() != 0) throw InvalidArgument("--checkpoint-keep", "only goes with --checkpoint");
}

void CheckpointOptions::set_schedule(TrainerOptions& trainer) const { read_every(every, trainer); }

void add_checkpoints(CLI::App& app, CheckpointOptions& options) {
  add_path(app, "--checkpoint", options.folder,
           "Keep states of the run in this folder as it goes, to go on from with --resume", "DIR");
  options.every_option = app.add_option("--checkpoint-every", options.every,
                                        "How often: every so many steps, or seconds as in 30s")
                             ->type_name("STEPS|SECONDSs")
                             ->default_str(options.every);
  options.keep_option = add_whole(app, "--checkpoint-keep", options.keep, 1, 1000000, "How many stay there");
}

bool is_same_folder(const std::string& a, const std::string& b) { return absolute(a) == absolute(b); }

bool names_checkpoints(const CheckpointOptions& options, const std::string& resume) {
  std::error_code error;
  return !resume.empty() && (fs::is_directory(resume, error) ||
                             (!options.folder.empty() && is_same_folder(options.folder, resume)));
}

std::unique_ptr<Checkpoints> take_folder(const CheckpointOptions& options, const std::string& resume) {
  if (options.folder.empty()) return nullptr;
  auto checkpoints = std::make_unique<Checkpoints>(options.folder, static_cast<int>(options.keep));
  if (!checkpoints->files().empty() && (resume.empty() || !is_same_folder(options.folder, resume)))
    throw InvalidArgument("--checkpoint",
                          fmt::format("{0} has checkpoints already (go on from them with --resume {0}, or "
                                      "name another folder)",
                                      options.folder));
  return checkpoints;
}

}  // namespace softstep::program
