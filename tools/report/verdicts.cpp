// The report of what `reproduce` wrote: per entry its laws, figures and tables; before several of them the
// contents.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/html.h"
#include "report/sections.h"

namespace softstep::program {

namespace {

// Also in words: colour alone says nothing on paper, or to a reader who does not see it.
std::string mark(bool passed) {
  return passed ? "<span class=\"pass\">✓ passed</span>" : "<span class=\"fail\">✗ failed</span>";
}

std::string range_html(const JsonField& check) {
  const JsonField lowest = check["lowest"], highest = check["highest"];
  const auto bound = [](const JsonField& field) { return number_html(field.number(), 6); };
  if (lowest.value().is_null() && highest.value().is_null()) return bound(lowest);
  if (lowest.value().is_null()) return "≤ " + bound(highest);
  if (highest.value().is_null()) return "≥ " + bound(lowest);
  return bound(lowest) + " to " + bound(highest);
}

void add_checks(Report& report, const JsonField& checks, Verdict& verdict) {
  HtmlTable table = {"Laws and what was measured", {"law", "verdict", "measured", "expected", "allowed"}, {}};
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const JsonField check = checks[i];
    const bool passed = check["passed"].flag();
    table.rows.push_back({text_cell(check["law"].text()),
                          {mark(passed), false},
                          number_cell(check["measured"].number(), 6),
                          {value_html(check["expected"].scalar()), check["expected"].value().is_number()},
                          {range_html(check), true}});
    ++verdict.n_checks;
    if (passed) ++verdict.n_passed;
  }
  report.add_table(table_html(table));
}

void add_figures(Report& report, const JsonField& figures, const std::string& directory) {
  if (figures.size() == 0) return;
  report.body += "<div class=\"figures\">\n";
  for (std::size_t i = 0; i < figures.size(); ++i) {
    const std::string name = figures[i]["file"].text();
    if (name.empty() || name.find('/') != std::string::npos)
      figures[i]["file"].fail("is not the name of a file");
    const std::string title = figures[i]["title"].text(), caption = figures[i]["caption"].text();
    report.add_figure(directory + "/" + name, title, caption,
                      caption.empty() ? title : title + ": " + caption);
  }
  report.body += "</div>\n";
}

void add_tables(Report& report, const JsonField& tables) {
  for (std::size_t i = 0; i < tables.size(); ++i) {
    HtmlTable table = {tables[i]["title"].text(), {}, {}};
    const JsonField columns = tables[i]["columns"], rows = tables[i]["rows"];
    for (std::size_t c = 0; c < columns.size(); ++c) table.head.push_back(escape(columns[c].text()));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].size() != columns.size()) rows[r].fail("has another length than the columns");
      std::vector<Cell> row;
      for (std::size_t c = 0; c < columns.size(); ++c) row.push_back(value_cell(rows[r][c].scalar()));
      table.rows.push_back(std::move(row));
    }
    report.add_table(table_html(table));
  }
}

void add_machine(Report& report, const JsonField& json) {
  Json machine = Json::object();
  machine["softstep"] = json["version"].text();
  machine["instruction set"] = json["machine"]["isa"].text();
  machine["threads"] = json["machine"]["threads"].scalar();
  machine["compiler"] = json["machine"]["compiler"].text();
  machine["seconds"] = number(json["seconds"].number());
  report.add_table(settings_table("Version and machine", machine));
}

Verdict add_entry(Report& report, const std::string& directory, bool alone, std::size_t index) {
  Verdict verdict;
  verdict.directory = directory;
  const std::string file = directory + "/verdict.json";
  report.files.push_back(file);
  const Json contents = read_json_file(file);
  const JsonField json(contents, file);
  verdict.name = json["name"].text();
  verdict.title = json["title"].text();
  verdict.passed = json["passed"].flag();
  const std::string level = alone ? "h1" : "h2", inner = alone ? "h2" : "h3";
  const auto heading = [&](const char* text) { report.body += fmt::format("<{0}>{1}</{0}>\n", inner, text); };

  if (!alone) report.body += fmt::format("<section class=\"entry\" id=\"s{}\">\n", index + 1);
  report.body +=
      fmt::format("<{0}>{1}</{0}>\n<p class=\"soft\">{2} {3}</p>\n<p>{4}</p>\n", level, escape(verdict.title),
                  escape(verdict.name), mark(verdict.passed), escape(json["summary"].text()));
  heading("Laws");
  add_checks(report, json["checks"], verdict);
  // Such a verdict is damaged, and a report must not repeat it.
  if (verdict.passed && verdict.n_passed != verdict.n_checks)
    json["passed"].fail("is true, but a check failed");
  if (json["figures"].size() > 0) heading("Figures");
  add_figures(report, json["figures"], directory);
  if (json["tables"].size() > 0) heading("Tables");
  add_tables(report, json["tables"]);
  heading("Configuration and machine");
  report.body += "<div class=\"tables\">\n";
  report.add_table(settings_table("Configuration", json["configuration"].object()));
  add_machine(report, json);
  report.body += "</div>\n";
  if (!alone) report.body += "</section>\n";
  return verdict;
}

std::string contents_html(const std::vector<Verdict>& verdicts) {
  std::string html = "<nav aria-label=\"Contents\">\n<ol>\n";
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const Verdict& verdict = verdicts[i];
    html += fmt::format(
        "<li><a href=\"#s{}\">{}</a> <span class=\"soft\">{}</span> {} <span class=\"soft\">{} of {} "
        "laws</span></li>\n",
        i + 1, escape(verdict.title), escape(verdict.name), mark(verdict.passed), verdict.n_passed,
        verdict.n_checks);
  }
  return html + "</ol>\n</nav>\n";
}

}  // namespace

std::vector<Verdict> add_verdicts(Report& report, const std::string& heading,
                                  const std::vector<std::string>& directories) {
  const bool alone = directories.size() == 1;
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < directories.size(); ++i)
    verdicts.push_back(add_entry(report, directories[i], alone, i));
  report.title = alone ? verdicts[0].title : heading;
  if (alone) return verdicts;
  std::size_t n_passed = 0;
  for (const Verdict& verdict : verdicts) n_passed += verdict.passed ? 1 : 0;
  report.body = fmt::format("<h1>{}</h1>\n<p class=\"soft\">{} of {} entries passed</p>\n{}{}",
                            escape(heading), n_passed, verdicts.size(), contents_html(verdicts), report.body);
  return verdicts;
}

}  // namespace softstep::program
