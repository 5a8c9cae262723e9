// softstep info: what this build is and what it can run here.

#include <omp.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Version.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "commands.h"
#include "machine.h"
#include "options.h"
#include "output.h"
#include "softstep/isa.h"
#include "softstep/step_rules.h"
#include "softstep/version.h"

namespace softstep::program {

namespace {

std::string nlohmann_version() {
  return std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." + std::to_string(NLOHMANN_JSON_VERSION_MINOR) +
         "." + std::to_string(NLOHMANN_JSON_VERSION_PATCH);
}

int run_info(const std::string& json_path) {
  Outputs outputs;
  if (json_path != "-") outputs.add("--json", json_path);
  std::vector<std::string> compiled, runnable, rules, models;
  for (const IsaInfo& isa : isas()) {
    if (isa.compiled) compiled.push_back(isa.name);
    if (isa.runnable) runnable.push_back(isa.name);
  }
  for (const RuleInfo& rule : step_rules()) rules.push_back(rule.name);
  for (const GeneratorInfo& model : generator_models()) models.emplace_back(model.name);

  Json json;
  json["version"] = version;
  json["isas"] = {{"compiled", compiled}, {"runnable", runnable}, {"active", active_isa()}};
  json["threads"] = resolved_threads(0);
  json["processors"] = std::thread::hardware_concurrency();
  json["compiler"] = compiler();
  json["libraries"] = {{"xsimd", SOFTSTEP_XSIMD_VERSION},
                       {"CLI11", CLI11_VERSION},
                       {"nlohmann-json", nlohmann_version()},
                       {"OpenMP", std::to_string(_OPENMP)}};
  json["rules"] = rules;
  for (const RuleInfo& rule : step_rules())
    json["rules_info"].push_back(
        {{"name", rule.name}, {"formula", rule.formula}, {"source", rule.source}, {"note", rule.note}});
  json["models"] = models;

  std::string libraries;
  for (const auto& [name, value] : json["libraries"].items())
    libraries += (libraries.empty() ? "" : ", ") + name + " " + value.get<std::string>();
  publish(listing({{"softstep", version},
                   {"instruction sets", "compiled: " + join(compiled) + "; runnable here: " + join(runnable) +
                                            "; active: " + active_isa()},
                   {"threads", std::to_string(resolved_threads(0))},
                   {"compiler", compiler()},
                   {"libraries", libraries},
                   {"step rules", join(rules)},
                   {"data models", join(models)}}) +
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
  app->footer("Examples:\n  softstep info\n  SOFTSTEP_ISA=avx2 softstep info --json -");
  return {app, [json] { return run_info(*json); }};
}

}  // namespace softstep::program
