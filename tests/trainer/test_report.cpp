// TrainSummary::report: every number of a run is a line of its own, and every way to end is explained.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <set>
#include <string>

#include "softstep/trainer.h"

using namespace softstep;

namespace {

// The line that begins so; empty if there is none.
std::string line_of(const std::string& text, const std::string& name) {
  const std::size_t at = ("\n" + text).find("\n" + name + " ");
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

bool has(const std::string& text, const std::string& name, const std::string& value) {
  return line_of(text, name).find(" " + value) != std::string::npos;
}

}  // namespace

TEST_CASE("the report of a run has its numbers", "[trainer]") {
  TrainSummary summary;
  summary.status = TrainStatus::converged;
  summary.steps = 31;
  summary.seconds = 0.5;
  summary.setup_seconds = 0.25;
  summary.form = Form::dense;
  summary.threads_used = 3;
  summary.last.step = 42;
  summary.last.loss = 1.5;
  summary.last.log10_loss = 1.75;
  summary.last.optimal_loss = 2.5;
  summary.last.log10_gap = -4.5;
  summary.last.weight_norm = 5.5;
  summary.last.log10_gradient_norm = -6.5;
  summary.last.step_length = 7.5;
  summary.last.min_optimal_attention = std::nan("");
  const std::string few = summary.report();
  CHECK(has(few, "status", "converged: 1 - cos"));
  CHECK(has(few, "steps", "31 in 0.5 s, now at step 42"));
  CHECK(has(few, "set-up", "0.25 s"));
  CHECK(has(few, "form of W", "dense, threads 3"));
  CHECK(has(few, "loss", "1.5, log10 1.75"));
  CHECK(has(few, "L*", "2.5"));
  CHECK(has(few, "log10(L - L*)", "-4.5"));
  CHECK(has(few, "norm of the weights", "5.5"));
  CHECK(has(few, "log10 gradient norm", "-6.5"));
  CHECK(has(few, "length of the last step", "7.5"));
  // What was not measured is no line.
  for (const char* name : {"below rounding", "1 - cos", "attention", "accuracy", "also watched,"})
    CHECK(line_of(few, name) == "");

  summary.steps_below_rounding = 9;
  summary.last.step = 31;
  summary.last.one_minus_cos = 0.125;
  summary.last.angle = 0.625;
  summary.last.min_optimal_attention = 0.75;
  summary.last.log10_one_minus_optimal_attention = -0.5;
  summary.last.accuracy = 0.875;
  summary.last.others.resize(2);
  summary.last.others[1].norm = 8.5;
  summary.last.others[1].log10_gradient_norm = -9.5;
  summary.last.others[1].one_minus_cos = 0.375;
  summary.time_to.push_back({0.5, 17, 0.0625});
  const std::string all = summary.report();
  CHECK(all.find("now at step") == std::string::npos);
  CHECK(has(all, "below rounding", "9 of these steps"));
  CHECK(has(all, "1 - cos to the reference", "0.125, angle 0.625 rad"));
  CHECK(has(all, "attention", "at least 0.75"));
  CHECK(has(all, "attention", "-0.5"));
  CHECK(has(all, "accuracy", "0.875"));
  CHECK(has(all, "also watched, 2", "norm 8.5, log10 gradient norm -9.5, 1 - cos 0.375"));
  CHECK(has(all, "1 - cos <= 0.5", "at step 17, after 0.0625 s"));
}

TEST_CASE("every way to end is explained, each in its own words", "[trainer]") {
  std::set<std::string> words;
  const auto statuses = {TrainStatus::not_run,     TrainStatus::max_iterations,   TrainStatus::converged,
                         TrainStatus::stationary,  TrainStatus::gap_not_positive, TrainStatus::not_finite,
                         TrainStatus::interrupted, TrainStatus::out_of_time};
  for (const TrainStatus status : statuses) {
    TrainSummary summary;
    summary.status = status;
    const std::string line = line_of(summary.report(), "status"), name = to_string(status);
    const std::size_t at = line.find(name + ": ");
    REQUIRE(at != std::string::npos);
    const std::string meaning = line.substr(at + name.size() + 2);
    CHECK(meaning.size() > 10);
    words.insert(meaning);
  }
  CHECK(words.size() == statuses.size());
}
