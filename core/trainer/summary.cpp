// What a run says of itself.

#include <cmath>
#include <cstdio>
#include <string>

#include "core/data/quoted.h"
#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/trainer.h"

namespace softstep {

const char* to_string(TrainStatus status) {
  switch (status) {
    case TrainStatus::not_run:
      return "not_run";
    case TrainStatus::max_iterations:
      return "max_iterations";
    case TrainStatus::converged:
      return "converged";
    case TrainStatus::stationary:
      return "stationary";
    case TrainStatus::gap_not_positive:
      return "gap_not_positive";
    case TrainStatus::not_finite:
      return "not_finite";
    case TrainStatus::interrupted:
      return "interrupted";
    case TrainStatus::out_of_time:
      return "out_of_time";
  }
  return "";
}

const char* to_string(Normalization normalization) {
  return normalization == Normalization::joint ? "joint" : "separate";
}

Normalization parse_normalization(const std::string& name) {
  for (const Normalization normalization : {Normalization::separate, Normalization::joint})
    if (name == to_string(normalization)) return normalization;
  throw InvalidArgument("normalization", data::quoted(name) + " is not known (known: separate, joint)");
}

namespace {

// What a status means, and what to do about it.
const char* meaning(TrainStatus status) {
  switch (status) {
    case TrainStatus::not_run:
      return "no run has been made";
    case TrainStatus::max_iterations:
      return "all the steps asked for were taken";
    case TrainStatus::converged:
      return "1 - cos to the reference fell to stop_one_minus_cos";
    case TrainStatus::stationary:
      return "the gradient is exactly zero: every step would be zero";
    case TrainStatus::gap_not_positive:
      return "the rule divides by L - L*, which is not positive: L* is too large, or the loss has reached it";
    case TrainStatus::not_finite:
      return "the next step would not be finite and was not taken: a smaller step size may go on";
    case TrainStatus::interrupted:
      return "a callback or the stop token asked to stop";
    case TrainStatus::out_of_time:
      return "max_seconds were spent in steps";
  }
  return "";
}

std::string line(const std::string& name, const std::string& value) {
  return name + std::string(name.size() < 26 ? 26 - name.size() : 1, ' ') + value + "\n";
}

std::string number(double x) { return data::number_text(x); }

}  // namespace

std::string TrainSummary::report() const {
  std::string text = line("status", std::string(to_string(status)) + ": " + meaning(status));
  text += line("steps", std::to_string(steps) + " in " + number(seconds) + " s" +
                            (last.step != steps ? ", now at step " + std::to_string(last.step) : ""));
  if (steps_below_rounding > 0)
    text += line("below rounding",
                 std::to_string(steps_below_rounding) + " of these steps, which the weights do not follow");
  text += line("set-up", number(setup_seconds) + " s");
  text += line("form of W", std::string(to_string(form)) + ", threads " + std::to_string(threads_used));
  text += line("loss", number(last.loss) + ", log10 " + number(last.log10_loss));
  text += line("L*", number(last.optimal_loss));
  text += line("log10(L - L*)", number(last.log10_gap));
  text += line("norm of the weights", number(last.weight_norm));
  text += line("log10 gradient norm", number(last.log10_gradient_norm));
  text += line("length of the last step", number(last.step_length));
  if (!std::isnan(last.one_minus_cos))
    text += line("1 - cos to the reference",
                 number(last.one_minus_cos) + ", angle " + number(last.angle) + " rad");
  if (!std::isnan(last.min_optimal_attention))
    text += line("attention", "at least " + number(last.min_optimal_attention) +
                                  " on the optimal tokens, log10(1 - it) " +
                                  number(last.log10_one_minus_optimal_attention));
  if (!std::isnan(last.accuracy)) text += line("accuracy", number(last.accuracy));
  for (std::size_t k = 0; k < last.others.size(); ++k) {
    const TraceRecord::Watched& watched = last.others[k];
    text +=
        line("also watched, " + std::to_string(k + 1),
             "norm " + number(watched.norm) + ", log10 gradient norm " + number(watched.log10_gradient_norm) +
                 (std::isnan(watched.one_minus_cos) ? "" : ", 1 - cos " + number(watched.one_minus_cos)));
  }
  for (const Crossing& crossing : time_to)
    text += line("1 - cos <= " + number(crossing.threshold),
                 "at step " + std::to_string(crossing.step) + ", after " + number(crossing.seconds) + " s");
  return text;
}

}  // namespace softstep
