// softstep report: what compare, sweep, reproduce or fit wrote, as one page that needs nothing else.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "options.h"
#include "output.h"
#include "report/html.h"
#include "report/sections.h"
#include "softstep/error.h"
#include "softstep/files.h"

namespace softstep::program {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string directory, out, json;
};

// The folders of a run of `reproduce`, in the order of its list of verdicts.
std::vector<std::string> listed_entries(const JsonField& list, const std::string& directory) {
  std::vector<std::string> directories;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonField field = list[i].value().is_string() ? list[i] : list[i]["name"];
    const std::string name = field.text();
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
      field.fail("is not the name of a folder");
    directories.push_back(directory + "/" + name);
  }
  if (directories.empty()) list.fail("is empty");
  return directories;
}

// A single entry was written into a folder of its own below the directory that was named.
std::vector<std::string> entries_below(const std::string& directory) {
  std::vector<std::string> directories;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (fs::exists(entry.path() / "verdict.json", error)) directories.push_back(entry.path().string());
  std::sort(directories.begin(), directories.end());
  return directories;
}

struct Made {
  Report report;
  std::string kind;
  std::vector<Verdict> verdicts;
};

Made make_report(const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error))
    throw InvalidArgument(
        "DIR", directory + (fs::exists(directory, error) ? " is not a directory" : " is not there"));
  Made made;
  std::vector<std::string> entries;
  const std::string file = directory + "/verdict.json";
  if (fs::exists(file, error)) {
    const Json verdict = read_json_file(file);
    if (verdict.is_array()) {
      made.report.files.push_back(file);
      entries = listed_entries(JsonField(verdict, file, "list"), directory);
    } else {
      entries = {directory};
    }
  } else if (!fs::exists(directory + "/summary.json", error)) {
    entries = entries_below(directory);
    if (entries.empty())
      throw InvalidArgument("DIR", directory +
                                       " holds neither summary.json, which compare and sweep write, nor "
                                       "verdict.json, which reproduce and fit write");
  }
  if (entries.empty()) {
    made.kind = "comparison";
    add_comparison(made.report, directory);
  } else {
    made.kind = "reproduction";
    made.verdicts = add_verdicts(made.report, "Reproduction of the theory's laws", entries);
  }
  return made;
}

int run_report(Options options) {
  while (options.directory.size() > 1 && options.directory.back() == '/') options.directory.pop_back();
  const Made made = make_report(options.directory);
  const std::string out = options.out.empty() ? options.directory + "/report.html" : options.out;
  Outputs outputs;
  for (const std::string& file : made.report.files) outputs.add_input("DIR", file);
  outputs.add("--out", out);
  if (options.json != "-") outputs.add("--json", options.json);

  const std::string page = page_html(made.report.title, made.report.body);
  Json json = Json::object();
  json["report"] = out;
  json["kind"] = made.kind;
  json["title"] = made.report.title;
  json["figures"] = made.report.n_figures;
  json["tables"] = made.report.n_tables;
  json["bytes"] = page.size();
  if (!made.verdicts.empty()) {
    json["entries"] = Json::array();
    for (const Verdict& verdict : made.verdicts)
      json["entries"].push_back({{"name", verdict.name}, {"passed", verdict.passed}});
  }
  write_file(out, page);
  publish(fmt::format("{}: {} figures, {} tables, {} KiB\n", out, made.report.n_figures, made.report.n_tables,
                      (page.size() + 1023) / 1024),
          json, options.json);
  return exit_success;
}

}  // namespace

Command add_report(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = program.add_subcommand(
      "report", "Make one HTML page, figures included, of what compare, sweep, reproduce or fit wrote");
  app->add_option("DIR", options->directory, "Directory that compare, sweep, reproduce or fit wrote")
      ->type_name("DIR")
      ->required();
  add_path(*app, "--out", options->out, "The page; without it DIR/report.html");
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep compare --generator signal_noise --samples 10 --tokens 6 --dim 60 --steps 10000 \\\n"
      "      --seeds 10 --out demo\n"
      "  softstep report demo\n"
      "  softstep report demo --out demo.html --json -\n"
      "The page needs no other file and no network; it reads well on a phone and on paper.");
  return {app, [options] { return run_report(*options); }};
}

}  // namespace softstep::program
