// softstep info: what this build is and what it can run here.

#include <fmt/format.h>
#include <omp.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Version.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "commands.h"
#include "library_names.h"
#include "machine.h"
#include "options.h"
#include "output.h"
#include "softstep/isa.h"
#include "softstep/step_rules.h"
#include "softstep/version.h"

namespace softstep::program {

namespace {

std::string nlohmann_version() {
  return fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                     NLOHMANN_JSON_VERSION_PATCH);
}

std::string fmt_version() {
  return fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

int run_info(const std::string& json_path) {
  Outputs outputs;
  if (json_path != "-") outputs.add("--json", json_path);
  std::vector<std::string> compiled, runnable, rules, generators;
  for (const IsaInfo& isa : isas()) {
    if (isa.compiled) compiled.push_back(isa.name);
    if (isa.runnable) runnable.push_back(isa.name);
  }
  for (const RuleInfo& rule : step_rules()) rules.push_back(rule.name);
  for (const GeneratorInfo& generator : softstep::generators()) generators.emplace_back(generator.name);

  Json json = Json::object();
  json["version"] = version;
  json["isas"] = {{"compiled", compiled}, {"runnable", runnable}, {"active", active_isa()}};
  json["threads"] = resolved_threads(0);
  json["processors"] = std::thread::hardware_concurrency();
  json["compiler"] = compiler();
  json["libraries"] = {{"xsimd", SOFTSTEP_XSIMD_VERSION},
                       {"CLI11", CLI11_VERSION},
                       {"fmt", fmt_version()},
                       {"nlohmann-json", nlohmann_version()},
                       {"OpenMP", std::to_string(_OPENMP)}};
  json["rules"] = rules;
  for (const RuleInfo& rule : step_rules())
    json["rules_info"].push_back({{"name", rule.name},
                                  {"formula", rule.formula},
                                  {"source", rule.source},
                                  {"note", with_option_names(rule.note)}});
  json["generators"] = generators;

  std::string libraries;
  for (const auto& [name, value] : json["libraries"].items())
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, value.get<std::string>());
  publish(listing({{"softstep", version},
                   {"instruction sets", fmt::format("compiled: {}; runnable here: {}; active: {}",
                                                    join(compiled), join(runnable), active_isa())},
                   {"threads", std::to_string(resolved_threads(0))},
                   {"compiler", compiler()},
                   {"libraries", libraries},
                   {"step rules", join(rules)},
                   {"generators", join(generators)}}) +
              "\n" + rule_table(),
          json, json_path);
  return exit_success;
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("info", "Version, instruction sets, threads, compiler and libraries");
  const auto json = std::make_shared<std::string>();
  add_json(*app, *json);
  app->footer("Examples:\n  softstep info\n  SOFTSTEP_ISA=avx2 softstep info --json -\n");
  return {app, [json] { return run_info(*json); }};
}

}  // namespace softstep::program
