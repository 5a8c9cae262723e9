#include "compare_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "machine.h"
#include "median.h"
#include "parallel.h"
#include "softstep/version.h"

namespace softstep::program {

namespace {

template <class Value>
double median_of(const CompareResult& result, std::size_t rule, const Value& value) {
  std::vector<double> values;
  for_each_run(result, rule,
               [&](const CompareSeed&, const CompareRun& run) { values.push_back(value(run)); });
  return median(std::move(values));
}

// What it took until 1 - cos fell to the level; infinity if it never did, NaN if there was no direction to
// compare with.
template <class Value>
double taken_to(const CompareRun& run, double threshold, const Value& value) {
  if (std::isnan(run.summary.last.one_minus_cos)) return std::numeric_limits<double>::quiet_NaN();
  for (const TrainSummary::Crossing& crossing : run.summary.time_to)
    if (crossing.threshold == threshold) return static_cast<double>(value(crossing));
  return std::numeric_limits<double>::infinity();
}

struct Column {
  const char* key;
  const char* title;
  double (*value)(const CompareRun&);
};

// What is shown of each run, and its medians in summary.json.
const Column columns[] = {
    {"steps", "steps", [](const CompareRun& run) { return static_cast<double>(run.summary.steps); }},
    {"steps_per_second", "steps/s", [](const CompareRun& run) { return steps_per_second(run.summary); }},
    {"log10_gap", "log10(L-L*)", [](const CompareRun& run) { return run.summary.last.log10_gap; }},
    {"weight_norm", "norm(W)", [](const CompareRun& run) { return run.summary.last.weight_norm; }},
    {"one_minus_cos", "1-cos", [](const CompareRun& run) { return run.summary.last.one_minus_cos; }},
    {"log10_one_minus_optimal_attention", "log10(1-p)",
     [](const CompareRun& run) { return run.summary.last.log10_one_minus_optimal_attention; }},
};

std::string count_text(double value) { return std::isnan(value) ? "-" : fmt::format("{:.0f}", value); }

std::string range(std::size_t a, std::size_t b) {
  return a == b ? std::to_string(a) : fmt::format("{}-{}", a, b);
}

std::string data_text(const CompareSettings& settings, const CompareResult& result) {
  return fmt::format("{}, n={}, T={}, d={}",
                     settings.from_file ? settings.data.file : settings.generator.options.generator,
                     result.n_samples, range(result.min_tokens, result.max_tokens), result.dim);
}

Json data_json(const CompareSettings& settings, const CompareResult& result) {
  Json json = Json::object();
  json["name"] = data_text(settings, result);
  if (settings.from_file) {
    json["file"] = settings.data.file;
  } else {
    const GeneratorOptions generator = settings.generator.with_seed(settings.seed(0));
    json["generator"] = generator.generator;
    json["signal"] = number(generator.signal);
    json["noise"] = number(generator.noise);
    json["equal_scores"] = generator.equal_scores;
  }
  json["samples"] = result.n_samples;
  json["min_tokens"] = result.min_tokens;
  json["max_tokens"] = result.max_tokens;
  json["dim"] = result.dim;
  return json;
}

Json run_json(const CompareSeed& seed, const CompareRun& run) {
  Json json = Json::object();
  json["seed"] = seed.seed;
  json["status"] = to_string(run.summary.status);
  add_run(json, run.summary, run.margin);
  json["reference_norm"] = seed.reference["norm"];
  json["time_to"] = Json::array();
  for (const TrainSummary::Crossing& crossing : run.summary.time_to)
    json["time_to"].push_back({{"one_minus_cos", crossing.threshold},
                               {"step", crossing.step},
                               {"seconds", number(crossing.seconds)}});
  return json;
}

}  // namespace

double median_seconds_to(const CompareResult& result, std::size_t rule, double threshold) {
  return median_of(result, rule, [&](const CompareRun& run) {
    return taken_to(run, threshold, [](const TrainSummary::Crossing& crossing) { return crossing.seconds; });
  });
}

double median_steps_to(const CompareResult& result, std::size_t rule, double threshold) {
  return median_of(result, rule, [&](const CompareRun& run) {
    return taken_to(run, threshold, [](const TrainSummary::Crossing& crossing) { return crossing.step; });
  });
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

Json compare_summary(const CompareSettings& settings, const CompareResult& result) {
  Json json = Json::object();
  json["softstep"] = version;
  json["data"] = data_json(settings, result);
  json["steps"] = settings.run.n_steps;
  if (result.interrupted)
    json["interrupted"] = fmt::format("{} of {} runs finished", result.n_finished, result.n_runs);
  json["precision"] = settings.run.precision;
  json["master"] = settings.run.master;
  json["form"] = settings.run.form;
  json["token_storage"] = settings.run.token_storage;
  json["isa"] = settings.layer.isa;
  json["threads"] = settings.n_threads;
  json["compiler"] = compiler();
  json["init"] = settings.run.init;
  json["loss_function"] = settings.run.loss;
  json["lstar"] = settings.run.lstar;
  if (settings.layer.optimal_loss == OptimalLoss::value)
    json["lstar_value"] = number(settings.layer.optimal_loss_value);
  json["references"] = Json::array();
  for (const CompareSeed& seed : result.seeds) {
    Json reference = {{"seed", seed.seed}};
    reference.update(seed.reference);
    json["references"].push_back(reference);
  }
  json["rules"] = Json::array();
  for (std::size_t r = 0; r < settings.rules.size(); ++r) {
    Json rule = Json::object();
    rule["label"] = rule_label(settings.rules[r]);
    rule["rule"] = settings.rules[r].rule;
    rule["options"] = rule_values(settings.rules[r]);
    rule["runs"] = Json::array();
    for_each_run(result, r, [&](const CompareSeed& seed, const CompareRun& run) {
      rule["runs"].push_back(run_json(seed, run));
    });
    Json& medians = rule["median"] = Json::object();
    for (const Column& column : columns) medians[column.key] = number(median_of(result, r, column.value));
    medians["seconds_to"] = Json::array();
    for (const double threshold : thresholds)
      medians["seconds_to"].push_back(
          {{"one_minus_cos", threshold}, {"seconds", number(median_seconds_to(result, r, threshold))}});
    json["rules"].push_back(rule);
  }
  return json;
}

std::string compare_table(const CompareSettings& settings, const CompareResult& result) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0].push_back("rule");
  for (const Column& column : columns) rows[0].push_back(column.title);
  for (const double threshold : thresholds) rows[0].push_back(fmt::format("s to {:.0e}", threshold));
  std::map<std::string, std::size_t> endings;
  for (std::size_t r = 0; r < settings.rules.size(); ++r) {
    std::vector<std::string> row = {rule_label(settings.rules[r])};
    for (const Column& column : columns) {
      const double value = median_of(result, r, column.value);
      const bool whole = std::string(column.key).rfind("steps", 0) == 0;
      row.push_back(whole ? count_text(value) : rounded(value, 4));
    }
    for (const double threshold : thresholds) {
      const double value = median_seconds_to(result, r, threshold);
      row.push_back(std::isinf(value) ? "never" : rounded(value, 3));
    }
    rows.push_back(std::move(row));
    for_each_run(result, r, [&](const CompareSeed&, const CompareRun& run) {
      ++endings[to_string(run.summary.status)];
    });
  }
  const std::size_t n_seeds = result.seeds.size();
  std::string text = fmt::format(
      "{}; {} seed{}; {}, {}\n\n{}\n{}"
      "1-cos: from the angle between W and the max-margin direction. p: smallest attention on an optimal "
      "token.\n"
      "s to X: seconds of its thread that a run takes until 1-cos first falls to X. Threads: {}.\n",
      data_text(settings, result), n_seeds, n_seeds == 1 ? "" : "s", settings.run.precision,
      settings.layer.isa, table(rows), n_seeds == 1 ? "One run each.\n" : "Medians over the seeds.\n",
      settings.n_threads);
  std::string list;
  for (const auto& [status, count] : endings)
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", status, count);
  if (endings.size() > 1 || endings.count(to_string(TrainStatus::max_iterations)) == 0)
    text += fmt::format("Endings: {}.\n", list);
  return text;
}

std::string compare_trace(const CompareSettings& settings, const CompareResult& result) {
  struct Part {
    std::string head, rows;
    const std::vector<TraceRecord>* trace;
  };
  std::vector<Part> parts;
  for (std::size_t r = 0; r < settings.rules.size(); ++r)
    for_each_run(result, r, [&](const CompareSeed& seed, const CompareRun& run) {
      parts.push_back(
          {fmt::format("{},{},", csv_field(rule_label(settings.rules[r])), seed.seed), {}, &run.trace});
    });
  // Numbers take their time to be written.
  parallel_for(parts.size(), settings.n_threads, [&](std::size_t k) {
    for (const TraceRecord& record : *parts[k].trace)
      parts[k].rows += parts[k].head + trace_row(record) + "\n";
  });
  std::string text = std::string("rule,seed,") + trace_columns + "\n";
  for (const Part& part : parts) text += part.rows;
  return text;
}

}  // namespace softstep::program
