#include "reproduce/kept.h"

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "kept_runs.h"
#include "machine.h"
#include "reproduce/real_data.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::array scales = {Scale::linear, Scale::logarithmic, Scale::tower};

Json exact_numbers(const std::vector<double>& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(exact_number(value));
  return json;
}

std::vector<double> exact_numbers_of(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json) values.push_back(exact_number(value));
  return values;
}

using Rows = std::vector<std::vector<std::string>>;

Json series_json(const Series& series) {
  return {{"label", series.label},
          {"x", exact_numbers(series.x)},
          {"y", exact_numbers(series.y)},
          {"spread", exact_numbers(series.spread)},
          {"is_guide", series.is_guide}};
}

Series series_of(const Json& kept) {
  return {kept.at("label").get<std::string>(), exact_numbers_of(kept.at("x")), exact_numbers_of(kept.at("y")),
          exact_numbers_of(kept.at("spread")), kept.at("is_guide").get<bool>()};
}

Json figure_json(const Figure& figure) {
  Json series = Json::array();
  for (const Series& one : figure.series) series.push_back(series_json(one));
  return {{"file", figure.file},
          {"title", figure.title},
          {"caption", figure.caption},
          {"x_label", figure.x_label},
          {"y_label", figure.y_label},
          {"x_scale", static_cast<std::size_t>(figure.x_scale)},
          {"y_scale", static_cast<std::size_t>(figure.y_scale)},
          {"series", series}};
}

Figure figure_of(const Json& kept) {
  Figure figure{kept.at("file").get<std::string>(),
                kept.at("title").get<std::string>(),
                kept.at("caption").get<std::string>(),
                kept.at("x_label").get<std::string>(),
                kept.at("y_label").get<std::string>(),
                scales.at(kept.at("x_scale").get<std::size_t>()),
                scales.at(kept.at("y_scale").get<std::size_t>())};
  for (const Json& series : kept.at("series")) figure.series.push_back(series_of(series));
  return figure;
}

}  // namespace

Json identity(const Entry& entry, const Context& context) {
  Json json = {{"softstep", version},
               {"compiler", compiler()},
               {"reproduce", entry.name},
               {"broken", context.broken},
               {"isa", active_isa()}};
  if (entry.needs_data) {
    json["data"] = context.data;
    json["models"] = real_data_identity(context.data);
  }
  return json;
}

Json kept_json(const Ran& ran) {
  Json checks = Json::array(), tables = Json::array(), figures = Json::array(), data = Json::array();
  for (const Check& check : ran.result.checks)
    checks.push_back({{"law", check.law},
                      {"expected", check.expected},
                      {"measured", exact_number(check.measured)},
                      {"lowest", exact_number(check.lowest)},
                      {"highest", exact_number(check.highest)}});
  for (const Table& table : ran.result.tables)
    tables.push_back({{"title", table.title}, {"columns", table.columns}, {"rows", table.rows}});
  for (const Figure& figure : ran.result.figures) figures.push_back(figure_json(figure));
  for (const DataFile& file : ran.result.data)
    data.push_back({{"file", file.file}, {"columns", file.columns}, {"rows", file.rows}});
  return {{"configuration", ran.result.configuration},
          {"checks", checks},
          {"tables", tables},
          {"figures", figures},
          {"data", data},
          {"seconds", exact_number(ran.seconds)},
          {"threads", ran.n_threads}};
}

Ran ran_of(const Json& kept) {
  Ran ran;
  ran.result.configuration = kept.at("configuration");
  for (const Json& check : kept.at("checks"))
    ran.result.checks.push_back({check.at("law").get<std::string>(), check.at("expected").get<std::string>(),
                                 exact_number(check.at("measured")), exact_number(check.at("lowest")),
                                 exact_number(check.at("highest"))});
  for (const Json& table : kept.at("tables"))
    ran.result.tables.push_back({table.at("title").get<std::string>(),
                                 table.at("columns").get<std::vector<std::string>>(),
                                 table.at("rows").get<Rows>()});
  for (const Json& figure : kept.at("figures")) ran.result.figures.push_back(figure_of(figure));
  for (const Json& file : kept.at("data"))
    ran.result.data.push_back({file.at("file").get<std::string>(),
                               file.at("columns").get<std::vector<std::string>>(),
                               file.at("rows").get<Rows>()});
  ran.seconds = exact_number(kept.at("seconds"));
  ran.n_threads = kept.at("threads").get<int>();
  return ran;
}

}  // namespace softstep::program::reproduce
