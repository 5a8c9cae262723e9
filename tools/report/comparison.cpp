// The report of a directory that `compare` or `sweep` wrote.

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "report/html.h"
#include "report/sections.h"

namespace softstep::program {

namespace {

struct Column {
  const char* key;
  const char* head;
  bool counted = false;  ///< shown in whole numbers
};

const Column final_values[] = {
    {"steps", "steps", true},
    {"steps_per_second", "steps/s", true},
    {"log10_gap", "log<sub>10</sub>(<i>L</i> − <i>L</i>*)"},
    {"weight_norm", "‖<i>W</i>‖"},
    {"one_minus_cos", "1 − cos"},
    {"log10_one_minus_optimal_attention", "log<sub>10</sub>(1 − <i>p</i>)"},
};

const Column reference_values[] = {{"norm", "‖<i>W</i><sub>mm</sub>‖"},
                                   {"margin", "margin"},
                                   {"duality_gap", "duality gap"},
                                   {"kkt_residual", "KKT residual"},
                                   {"constraints", "constraints"},
                                   {"support", "support"},
                                   {"sweeps", "sweeps"}};

struct Plot {
  const char* file;
  const char* title;
  const char* caption;
};

const Plot plots[] = {
    {"loss_gap.svg", "Loss gap.", "L − L* against the step."},
    {"weight_norm.svg", "Norm of the weights.", "Frobenius norm of W against the step."},
    {"one_minus_cos.svg", "Distance from the max-margin direction.", "1 − cos(W, W_mm) against the step."},
    {"one_minus_attention.svg", "Attention not on the optimal token.",
     "The largest 1 − p over the samples against the step."},
};

std::string count(std::size_t n, const std::string& one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

std::string endings(const JsonField& runs) {
  std::map<std::string, std::size_t> endings;
  for (std::size_t i = 0; i < runs.size(); ++i) ++endings[runs[i]["status"].text()];
  std::string text;
  for (const auto& [status, n] : endings) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", status, n);
  return text;
}

void add_medians(Report& report, const JsonField& summary, std::size_t n_seeds) {
  HtmlTable table;
  table.caption = n_seeds == 1 ? "Final values, one run each" : "Medians over " + count(n_seeds, "seed");
  table.head = {"rule"};
  for (const Column& column : final_values) table.head.emplace_back(column.head);
  const JsonField rules = summary["rules"];
  for (std::size_t r = 0; r < rules.size(); ++r) {
    const JsonField median = rules[r]["median"];
    std::vector<Cell> row = {whole_cell(rules[r]["label"].text())};
    for (const Column& column : final_values) {
      const double value = median[column.key].number();
      const bool counted = column.counted || std::floor(value) == value;
      row.push_back(number_cell(counted ? std::round(value) : value, counted ? 9 : 4));
    }
    const JsonField levels = median["seconds_to"];
    for (std::size_t k = 0; k < levels.size(); ++k) {
      if (r == 0) table.head.push_back("s to " + number_html(levels[k]["one_minus_cos"].number(), 1));
      // Without a direction there is no level to reach; with one, null means that it was not reached.
      const bool never = levels[k]["seconds"].value().is_null() && !median["one_minus_cos"].value().is_null();
      row.push_back(never ? Cell{"never", true} : number_cell(levels[k]["seconds"].number(), 3));
    }
    row.push_back(whole_cell(endings(rules[r]["runs"])));
    if (row.size() != table.head.size() + 1) levels.fail("has another length than those before");
    table.rows.push_back(std::move(row));
  }
  table.head.emplace_back("endings");
  report.body += "<h2>Results</h2>\n";
  report.add_table(table_html(table));
  report.body +=
      "<p class=\"note\"><i>L</i> − <i>L</i>*: loss gap; 1 − cos: angle between <i>W</i> and the max-margin "
      "direction; "
      "<i>p</i>: smallest attention on an optimal token; s to <i>x</i>: seconds until 1 − cos first falls to "
      "<i>x</i>, of the run's own thread.</p>\n";
}

void add_best(Report& report, const JsonField& best) {
  HtmlTable table = {"Fewest steps to the smallest level of 1 − cos reached in most seeds",
                     {"rule", "best", "1 − cos", "steps", "seconds"},
                     {}};
  for (std::size_t i = 0; i < best.size(); ++i) {
    const JsonField row = best[i];
    const bool reached = !row["label"].value().is_null();
    table.rows.push_back({text_cell(row["rule"].text()),
                          text_cell(reached ? row["label"].text() : "no step size reached a level"),
                          number_cell(row["one_minus_cos"].number(), 1),
                          number_cell(row["steps"].number(), 7),
                          number_cell(reached ? row["seconds"].number() : std::nan(""), 3)});
  }
  report.body += "<h2>Best step size of each rule</h2>\n";
  report.add_table(table_html(table));
}

void add_plots(Report& report, const std::string& directory, const std::string& over) {
  report.body += "<h2>Figures</h2>\n<div class=\"figures\">\n";
  for (const Plot& plot : plots)
    report.add_figure(fmt::format("{}/{}", directory, plot.file), plot.title, plot.caption,
                      fmt::format("{} {} {}", plot.title, plot.caption, over));
  report.body += "</div>\n";
}

void add_references(Report& report, const JsonField& references) {
  HtmlTable table = {"Max-margin solution of each seed", {"seed", "status"}, {}};
  for (const Column& column : reference_values) table.head.emplace_back(column.head);
  for (std::size_t i = 0; i < references.size(); ++i) {
    const JsonField reference = references[i];
    std::vector<Cell> row = {value_cell(reference["seed"].scalar()), text_cell(reference["status"].text())};
    for (const Column& column : reference_values) row.push_back(number_cell(reference[column.key].number()));
    table.rows.push_back(std::move(row));
  }
  report.body += "<h2>References</h2>\n";
  report.add_table(table_html(table));
}

void add_configuration(Report& report, const JsonField& summary) {
  report.body += "<h2>Configuration and machine</h2>\n<div class=\"tables\">\n";
  Json settings = summary.object();
  for (const char* elsewhere : {"softstep", "isa", "threads", "compiler", "references", "rules", "best"})
    settings.erase(elsewhere);
  report.add_table(settings_table("Settings of every run", settings));
  HtmlTable table = {"Rules and their options", {"rule", "options"}, {}};
  const JsonField rules = summary["rules"];
  for (std::size_t r = 0; r < rules.size(); ++r)
    table.rows.push_back(
        {text_cell(rules[r]["label"].text()), {value_html(rules[r]["options"].object()), false}});
  report.add_table(table_html(table));
  Json machine = Json::object();
  machine["softstep"] = summary["softstep"].text();
  machine["instruction set"] = summary["isa"].text();
  machine["runs at a time"] = summary["threads"].scalar();
  if (summary.has("compiler")) machine["compiler"] = summary["compiler"].text();
  report.add_table(settings_table("Version and machine", machine));
  report.body += "</div>\n";
}

}  // namespace

void add_comparison(Report& report, const std::string& directory) {
  const std::string file = directory + "/summary.json";
  report.files.push_back(file);
  const Json json = read_json_file(file);
  const JsonField summary(json, file);
  const bool sweep = summary.has("best");
  const std::size_t n_seeds = summary["references"].size();
  const std::string data = summary["data"]["name"].text();

  report.title = (sweep ? "Step sizes: " : "Step rules: ") + data;
  std::string labels;
  for (std::size_t r = 0; r < summary["rules"].size(); ++r)
    labels += (r == 0 ? "" : ", ") + summary["rules"][r]["label"].text();
  const std::string over =
      "Rules: " + labels +
      (n_seeds == 1 ? "; one run each." : "; mean and spread over " + count(n_seeds, "seed") + ".");
  report.body += fmt::format("<h1>{}</h1>\n<p class=\"soft\">{}; {}; {}, {} loss; {} steps</p>\n",
                             sweep ? "Sweep of step sizes" : "Comparison of step rules", escape(data),
                             count(n_seeds, "seed"), escape(summary["precision"].text()),
                             escape(summary["loss_function"].text()), value_html(summary["steps"].scalar()));
  add_medians(report, summary, n_seeds);
  if (sweep)
    add_best(report, summary["best"]);
  else
    add_plots(report, directory, over);
  add_references(report, summary["references"]);
  add_configuration(report, summary);
}

}  // namespace softstep::program
