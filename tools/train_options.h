#pragma once

// The options of `softstep train`, and its progress line.

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string>

#include "checkpoint_options.h"
#include "interrupt.h"
#include "memory_option.h"
#include "model_options.h"
#include "options.h"
#include "softstep/ranks.h"
#include "softstep/trainer.h"

namespace softstep::program {

struct TrainOptions {
  DataOptions data;
  RuleFlags rule;
  RunOptions run;
  ModelFlags model;
  std::string reference = "solve", trace, out, save_state, resume, json,
              sum_order = to_string(SumOrder::samples);
  CheckpointOptions checkpoints;
  MemoryOption memory;
  double stop_one_minus_cos = 0.0;
  std::int64_t threads = 1;
  CLI::Option *init = nullptr, *master = nullptr, *seed = nullptr, *lstar = nullptr, *loss = nullptr,
              *reference_option = nullptr;
};

// Steps done, speed and direction on the progress line.
class TrainProgress {
 public:
  TrainProgress(std::int64_t first, std::int64_t n_steps) : first_(first), n_steps_(n_steps) {}
  bool at_row(const TraceRecord& record) {
    one_minus_cos_ = record.one_minus_cos;
    return !interrupted();
  }
  bool at_step(std::int64_t step) {
    if (line_.active()) {
      const std::int64_t done = step - first_;
      line_.show(
          fmt::format("train: step {} of {} ({:.0f} %){}", done, n_steps_,
                      100.0 * static_cast<double>(done) / static_cast<double>(n_steps_),
                      std::isnan(one_minus_cos_) ? "" : fmt::format(", 1 - cos {:.2e}", one_minus_cos_)));
    }
    return !interrupted();
  }
  void clear() { line_.clear(); }

 private:
  ProgressLine line_;
  std::int64_t first_, n_steps_;
  double one_minus_cos_ = std::numeric_limits<double>::quiet_NaN();
};

}  // namespace softstep::program
