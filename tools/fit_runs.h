#pragma once

// The runs behind `softstep fit`.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "softstep/attention_model.h"
#include "softstep/step_rules.h"

namespace softstep::program {

struct FitSettings {
  std::string train, test, precision = "f32";
  std::vector<RuleSettings> rules;
  AttentionOptions layer;  ///< one thread
  double init_std = 0.0;
  std::int64_t n_epochs = 20, batch_size = 32;
  std::uint64_t seed = 0;
  int n_seeds = 5, n_threads = 1;
  std::string keep;  ///< the folder of finished runs, or empty
};

/// After an epoch (0: before the first).
struct Epoch {
  std::int64_t step = 0;
  double train_loss = 0.0, train_accuracy = 0.0, test_loss = 0.0, test_accuracy = 0.0;
  double weight_norm = 0.0, decoder_norm = 0.0;
  double seconds = 0.0;  ///< in steps; measuring is not counted
};

struct FitRun {
  std::uint64_t seed = 0;
  std::vector<Epoch> epochs;  ///< fewer where the run ended early
};

struct FitResult {
  std::size_t n_train = 0, n_test = 0, dim = 0;
  std::vector<std::vector<FitRun>> runs;  ///< by rule, then by seed
  bool interrupted = false;               ///< some runs are then cut off, or were never begun

  /// Epochs that were measured in all runs together.
  std::size_t n_epochs() const {
    std::size_t n = 0;
    for (const auto& seeds : runs)
      for (const FitRun& run : seeds) n += run.epochs.size();
    return n;
  }
};

/// Reads both files, so that bad input shows before anything is written. Then calls start() and makes all
/// runs, several at a time. Throws InvalidArgument.
FitResult run_fits(const FitSettings& settings, const std::function<void()>& start);

}  // namespace softstep::program
