#pragma once

// --checkpoint DIR and what goes with it.

#include <cstdint>
#include <memory>
#include <string>

#include "softstep/checkpoints.h"
#include "softstep/trainer.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace softstep::program {

struct CheckpointOptions {
  std::string folder, every = "60s";
  std::int64_t keep = 3;
  CLI::Option *every_option = nullptr, *keep_option = nullptr;

  /// Throws InvalidArgument for a bad --checkpoint-every, and for an option that goes with no --checkpoint.
  void check() const;
  void set_schedule(TrainerOptions& trainer) const;
};

void add_checkpoints(CLI::App& app, CheckpointOptions& options);

bool is_same_folder(const std::string& a, const std::string& b);
/// Whether --resume names a folder of checkpoints, and not the file of a state. The one of --checkpoint need
/// not be there yet.
bool names_checkpoints(const CheckpointOptions& options, const std::string& resume);
/// The folder of --checkpoint; null where there is none. Throws InvalidArgument where it has checkpoints that
/// --resume does not name: they would be mixed with those of another run.
std::unique_ptr<Checkpoints> take_folder(const CheckpointOptions& options, const std::string& resume);

}  // namespace softstep::program
