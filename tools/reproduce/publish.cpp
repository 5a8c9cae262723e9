#include "publish.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "machine.h"
#include "plot_process.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::program::reproduce {

namespace {

const char* name_of(Scale scale) {
  return scale == Scale::linear ? "linear" : scale == Scale::logarithmic ? "logarithmic" : "tower";
}

Json numbers(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(number(value));
  return json;
}

Json figure_json(const Figure& figure) {
  Json json = Json::object();
  json["file"] = figure.file;
  json["title"] = figure.title;
  json["caption"] = figure.caption;
  json["x_label"] = figure.x_label;
  json["y_label"] = figure.y_label;
  json["x_scale"] = name_of(figure.x_scale);
  json["y_scale"] = name_of(figure.y_scale);
  json["series"] = Json::array();
  for (const Series& series : figure.series)
    json["series"].push_back({{"label", series.label},
                              {"x", numbers(series.x)},
                              {"y", numbers(series.y)},
                              {"spread", numbers(series.spread)},
                              {"is_guide", series.is_guide}});
  return json;
}

std::string csv(const DataFile& file) {
  std::string text;
  const auto add = [&text](const std::vector<std::string>& cells) {
    for (std::size_t k = 0; k < cells.size(); ++k) {
      const bool quoted = cells[k].find_first_of(",\"\n") != std::string::npos;
      std::string cell;
      for (const char c : cells[k]) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
      text += fmt::format("{0}{1}{2}{1}", k == 0 ? "" : ",", quoted ? "\"" : "", cell);
    }
    text += "\n";
  };
  add(file.columns);
  for (const std::vector<std::string>& row : file.rows) add(row);
  return text;
}

std::string interval(const Check& check) {
  if (std::isinf(check.lowest)) return fmt::format("at most {}", rounded(check.highest, 4));
  if (std::isinf(check.highest)) return fmt::format("at least {}", rounded(check.lowest, 4));
  return fmt::format("{} to {}", rounded(check.lowest, 4), rounded(check.highest, 4));
}

}  // namespace

Json verdict_json(const Entry& entry, const Result& result, double seconds, int n_threads) {
  Json json = Json::object();
  json["name"] = entry.name;
  json["title"] = entry.title;
  json["summary"] = entry.summary;
  json["passed"] = result.passed();
  json["configuration"] = result.configuration;
  json["checks"] = Json::array();
  for (const Check& check : result.checks)
    json["checks"].push_back({{"law", check.law},
                              {"expected", check.expected},
                              {"measured", number(check.measured)},
                              {"lowest", number(check.lowest)},
                              {"highest", number(check.highest)},
                              {"passed", check.passed()}});
  json["tables"] = Json::array();
  for (const Table& table : result.tables)
    json["tables"].push_back({{"title", table.title}, {"columns", table.columns}, {"rows", table.rows}});
  json["figures"] = Json::array();
  for (const Figure& figure : result.figures)
    json["figures"].push_back(
        {{"file", figure.file + ".svg"}, {"title", figure.title}, {"caption", figure.caption}});
  json["version"] = version;
  json["machine"] = {{"isa", active_isa()}, {"threads", n_threads}, {"compiler", compiler()}};
  json["seconds"] = number(seconds);
  return json;
}

std::string write_result(const std::string& directory, const Entry& entry, const Result& result,
                         const Json& verdict, bool plots) {
  const std::string inside = directory + "/";
  std::vector<std::string> pictures;
  for (const Figure& figure : result.figures) pictures.push_back(figure.file);
  try_output([&] { remove_pictures(directory, pictures); });
  for (const DataFile& file : result.data) try_output(inside + file.file, csv(file));
  if (!result.figures.empty()) {
    Json figures = Json::array();
    for (const Figure& figure : result.figures) figures.push_back(figure_json(figure));
    try_output(inside + "figures.json", figures.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  // Written last.
  try_output(inside + "verdict.json", verdict.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  if (!plots || result.figures.empty()) return "";
  const std::string problem = draw_plots(directory);
  return problem.empty() ? "" : fmt::format("{}: no plots: {}", entry.name, problem);
}

std::string result_text(const Entry& entry, const Result& result, double seconds, bool broken) {
  std::string text = fmt::format("{}: {} ({} s)\n", entry.name, entry.title, rounded(seconds, 3));
  if (broken) text += fmt::format("broken on purpose: {}\n", entry.broken);
  std::vector<std::vector<std::string>> rows = {{"", "law", "expected", "measured", "passes"}};
  for (const Check& check : result.checks)
    rows.push_back({check.passed() ? "ok" : "FAILED", check.law, check.expected, rounded(check.measured, 4),
                    interval(check)});
  text += table(rows);
  for (const Table& shown : result.tables) {
    rows = {shown.columns};
    rows.insert(rows.end(), shown.rows.begin(), shown.rows.end());
    text += fmt::format("{}\n{}", shown.title, table(rows));
  }
  return text + "\n";
}

}  // namespace softstep::program::reproduce
