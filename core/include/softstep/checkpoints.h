#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/train_state.h"
#include "softstep/trainer.h"

namespace softstep {

/// The checkpoints of one run in a folder: states as save_state writes them, each named by its step
/// (step-00000000000000001000.safetensors). A checkpoint appears whole or not at all, and an older one is
/// removed only when a newer one is safe on the disk. Made for TrainerOptions::checkpoint:
///
///     softstep::Checkpoints kept("checkpoints", 3);
///     if (auto found = kept.newest(model, options)) state = std::move(found->state);
///     options.checkpoint_seconds = 60;
///     options.checkpoint = [&](const softstep::Progress&) { kept.write(model, state, options); };
///     softstep::train(model, state, options);
class SOFTSTEP_EXPORT Checkpoints {
 public:
  /// Takes the folder, and makes it if it is not there; the one above must be. `keep`: how many stay. Throws
  /// InvalidArgument for a `keep` below 1 and for a folder that another run has taken, IoError where it
  /// cannot be made or read.
  explicit Checkpoints(const std::string& folder, int keep = 3);
  ~Checkpoints();
  Checkpoints(const Checkpoints&) = delete;
  Checkpoints& operator=(const Checkpoints&) = delete;

  /// Writes the state, then removes what is older than the last `keep`. What is there of later steps is of a
  /// run that is not this one, or damaged, and is removed too. Throws IoError; the older ones are there then.
  template <NumberType T>
  void write(const Model<T>& model, const TrainState<T>& state, const TrainerOptions& options,
             const StateNotes& notes = {}) const;

  /// Of the checkpoints up to this step, leaves the last `keep`. write() does so; for a run that goes on, and
  /// may have been killed before it had.
  void remove_older(std::int64_t step) const;

  /// What newest() finds.
  template <NumberType T>
  struct Found {
    TrainState<T> state = {};  ///< to go on from
    std::string path = {};     ///< its file
    std::vector<std::string> damaged =
        {};  ///< newer ones that were passed over: what is wrong with each, a line
  };
  /// The newest whole checkpoint; none where there are no checkpoints. Throws InvalidArgument for one of
  /// another run, as load_state does, and BadFile where there are checkpoints and all of them are damaged.
  template <NumberType T>
  std::optional<Found<T>> newest(const Model<T>& model, const TrainerOptions& options) const;

  /// The files, oldest first.
  std::vector<std::string> files() const;

 private:
  class Folder;
  std::unique_ptr<Folder> folder_;
};

}  // namespace softstep
