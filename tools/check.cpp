// softstep check: kernel and gradient errors measured on this CPU, beside the bounds they must keep.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "options.h"
#include "output.h"
#include "softstep/self_check.h"

namespace softstep::program {

namespace {

int run_check(const std::string& isa, const std::string& json_path) {
  Outputs outputs;
  if (json_path != "-") outputs.add("--json", json_path);
  const std::vector<CheckRow> rows = self_check(isa == "auto" ? "" : isa);

  Json json = Json::object();
  json["rows"] = Json::array();
  std::vector<std::vector<std::string>> text = {{"isa", "type", "what", "error", "bound", ""}};
  std::size_t n_failed = 0;
  for (const CheckRow& row : rows) {
    // Not the library's word alone: NaN is not within a bound.
    const bool ok = row.ok && row.error <= row.bound;
    if (!ok) ++n_failed;
    json["rows"].push_back({{"isa", row.isa},
                            {"type", row.type},
                            {"what", row.what},
                            {"error", number(row.error)},
                            {"bound", number(row.bound)},
                            {"ok", ok}});
    text.push_back(
        {row.isa, row.type, row.what, rounded(row.error, 3), rounded(row.bound, 3), ok ? "ok" : "EXCEEDED"});
  }
  const bool ok = n_failed == 0 && !rows.empty();
  json["ok"] = ok;
  const std::string verdict =
      rows.empty() ? "nothing was checked\n"
      : ok         ? fmt::format("all {} errors are within their bounds\n", rows.size())
                   : fmt::format("{} of {} errors EXCEED their bounds\n", n_failed, rows.size());
  publish(table(text) + verdict, json, json_path);
  return ok ? exit_success : exit_ending;
}

}  // namespace

Command add_check(CLI::App& program) {
  struct Options {
    std::string isa = "auto", json;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* app =
      program.add_subcommand("check", "Measure kernel and gradient errors on this CPU against their bounds");
  app->add_option("--isa", options->isa, "Only this instruction set; auto: every one that can run")
      ->type_name("NAME")
      ->default_str(options->isa);
  add_json(*app, options->json);
  app->footer("Examples:\n  softstep check\n  softstep check --isa avx2 --json check.json\n");
  return {app, [options] { return run_check(options->isa, options->json); }, "a bound is exceeded"};
}

}  // namespace softstep::program
