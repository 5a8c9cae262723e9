#pragma once

// The runs behind `softstep compare`: every rule over every seed, several at a time on each of some threads.

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "options.h"
#include "run_report.h"
#include "softstep/trainer.h"

namespace softstep::program {

struct CompareSettings {
  std::string command = "compare";  ///< for the progress line
  std::vector<RuleSettings> rules;
  RunOptions run;  ///< its seed is the first seed
  Init init;
  AttentionOptions layer;    ///< one thread
  DataOptions data;          ///< a file, or else
  GeneratorFlags generator;  ///< a generator, which makes a data set for each seed
  bool from_file = false;
  int n_seeds = 10;
  int n_threads = 1;  ///< runs at a time
  std::string keep;   ///< the folder of finished runs, or empty
  std::uint64_t seed(std::size_t k) const { return run.seed + k; }
};

/// 1 - cos levels whose time is taken.
inline constexpr double thresholds[] = {1e-2, 1e-3, 1e-4};

struct CompareRun {
  bool finished = false;  ///< not interrupted: the rest means something
  TrainSummary summary;
  double margin = 0.0;
  std::vector<TraceRecord> trace;
};

struct CompareSeed {
  std::uint64_t seed = 0;
  Json reference;  ///< reference_json() of its max-margin solution
  bool unique_optimal_tokens = true;
  std::vector<CompareRun> runs;  ///< one per rule
};

struct CompareResult {
  std::size_t n_samples = 0, dim = 0;
  std::size_t min_tokens = 0, max_tokens = 0;  ///< tokens per sample
  std::vector<CompareSeed> seeds;
  bool interrupted = false;  ///< the seeds are then those with a finished run
  std::size_t n_finished = 0, n_runs = 0;
  std::size_t n_kept = 0;  ///< of the finished ones, those that were made before (--keep)
  double seconds = 0.0;    ///< by the clock on the wall, for all runs that were made now
};

/// Calls visit(seed, run) for the finished runs of a rule.
template <class Visit>
void for_each_run(const CompareResult& result, std::size_t rule, const Visit& visit) {
  for (const CompareSeed& seed : result.seeds)
    if (seed.runs[rule].finished) visit(seed, seed.runs[rule]);
}

/// Reads or makes the data of the first seed, so that bad input shows before anything is written.
/// Then `start()` is called, and all runs are made. Throws InvalidArgument.
CompareResult run_compare(const CompareSettings& settings, const std::function<void()>& start);

}  // namespace softstep::program
