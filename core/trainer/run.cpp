#include "core/trainer/run.h"

namespace softstep {

TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds) {
  ThreadClock clock;
  Run<Course> steps(course, options, step, seconds, clock);
  try {
    for (bool go_on = steps.begin(); go_on;) go_on = steps.ready() && steps.advance() && steps.after_step();
    return steps.end();
  } catch (...) {
    steps.abandon();
    throw;
  }
}

}  // namespace softstep
