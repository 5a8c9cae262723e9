// What `sweep` reports beside what `compare` does.

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compare_report.h"

namespace softstep::program {

namespace {

double step_size_of(const RuleSettings& rule) {
  const auto values = rule_values(rule);
  const auto found = values.find("step-size");
  return found == values.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

double step_of(const TrainSummary& summary, double threshold) {
  for (const TrainSummary::Crossing& crossing : summary.time_to)
    if (crossing.threshold == threshold) return static_cast<double>(crossing.step);
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::string sweep_rows(const CompareSettings& settings, const CompareResult& result) {
  std::string text =
      "rule,step_size,seed,status,steps,seconds,log10_gap,weight_norm,one_minus_cos,"
      "log10_one_minus_optimal_attention,margin";
  for (const double threshold : thresholds) text += ",steps_to_" + rounded(threshold, 1);
  text += "\n";
  for (std::size_t r = 0; r < settings.rules.size(); ++r)
    for_each_run(result, r, [&](const CompareSeed& seed, const CompareRun& run) {
      const TraceRecord& last = run.summary.last;
      text += fmt::format("{},{},{},{},{}", csv_field(rule_label(settings.rules[r])),
                          shortest(step_size_of(settings.rules[r])), seed.seed, to_string(run.summary.status),
                          run.summary.steps);
      for (const double value : {run.summary.seconds, last.log10_gap, last.weight_norm, last.one_minus_cos,
                                 last.log10_one_minus_optimal_attention, run.margin})
        text += "," + shortest(value);
      for (const double threshold : thresholds) text += "," + shortest(step_of(run.summary, threshold));
      text += "\n";
    });
  return text;
}

Json sweep_best(const CompareSettings& settings, const CompareResult& result) {
  Json best = Json::array();
  std::vector<std::string> seen;
  for (const RuleSettings& rule : settings.rules) {
    if (std::find(seen.begin(), seen.end(), rule.rule) != seen.end()) continue;
    seen.push_back(rule.rule);
    Json row = {{"rule", rule.rule}, {"label", nullptr}, {"one_minus_cos", nullptr}, {"steps", nullptr}};
    for (const double threshold : thresholds) {  // the last one reached is the smallest
      double fewest = std::numeric_limits<double>::infinity();
      for (std::size_t r = 0; r < settings.rules.size(); ++r) {
        const double steps =
            settings.rules[r].rule == rule.rule ? median_steps_to(result, r, threshold) : fewest;
        if (!(steps < fewest)) continue;
        fewest = steps;
        row["label"] = rule_label(settings.rules[r]);
        row["one_minus_cos"] = threshold;
        row["steps"] = number(steps);
        row["seconds"] = number(median_seconds_to(result, r, threshold));
      }
    }
    best.push_back(row);
  }
  return best;
}

std::string sweep_best_text(const Json& best) {
  std::string text =
      "\nBest of each rule (fewest steps, median, to the smallest level of 1-cos reached in most seeds):\n";
  for (const Json& row : best) {
    const std::string rule = row["rule"].get<std::string>();
    if (row["label"].is_null())
      text += fmt::format("  {}: none reached 1-cos = {}\n", rule, rounded(thresholds[0], 1));
    else
      text +=
          fmt::format("  {}: {}, {} steps to {}\n", rule, row["label"].get<std::string>(),
                      rounded(row["steps"].get<double>(), 6), rounded(row["one_minus_cos"].get<double>(), 1));
  }
  return text;
}

std::string sweep_speed_text(const CompareResult& result) {
  const std::size_t n_made = result.n_finished - result.n_kept;
  const double speed = static_cast<double>(n_made) / result.seconds;
  return fmt::format("\n{} runs in {} s, {} a second.\n", n_made, rounded(result.seconds, 3),
                     rounded(speed, 3));
}

}  // namespace softstep::program
