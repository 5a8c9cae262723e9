// softstep reproduce: the laws of the paper and its neighbours, each with its measurement and verdict.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "compare_options.h"
#include "interrupt.h"
#include "kept_runs.h"
#include "nearest.h"
#include "options.h"
#include "output.h"
#include "reproduce/kept.h"
#include "reproduce/publish.h"
#include "reproduce/real_data.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

using reproduce::Context;
using reproduce::Entry;
using reproduce::Ran;
using reproduce::Result;

struct Options {
  std::vector<std::string> names;
  std::string out, json, data, keep;
  std::int64_t threads = 0;
  bool list = false, no_plots = false, broken = false;
};

// Of `all`, those that need data only where there are some.
std::vector<const Entry*> chosen(const std::vector<std::string>& names, bool has_data) {
  std::vector<const Entry*> out;
  bool uses_data = false;
  std::vector<std::string> known;
  for (const Entry& entry : reproduce::catalogue()) known.emplace_back(entry.name);
  known.emplace_back("all");
  for (const std::string& name : names) {
    const std::size_t before = out.size();
    for (const Entry& entry : reproduce::catalogue())
      if (name == entry.name || (name == "all" && (has_data || !entry.needs_data))) {
        out.push_back(&entry);
        uses_data = uses_data || entry.needs_data;
      }
    if (out.size() == before)
      throw InvalidArgument("reproduce", "unknown name " + name + suggestion(name, known));
  }
  for (const Entry* entry : out)
    if (entry->needs_data && !has_data)
      throw InvalidArgument("--data", fmt::format("is needed by {}: a folder with train.safetensors and "
                                                  "test.safetensors, as tools/datasets/digits makes it",
                                                  entry->name));
  if (has_data && !uses_data)
    throw InvalidArgument("--data", "is read by no entry that was named (real_data does)");
  return out;
}

int list_entries(const std::string& json_path) {
  Json json = Json::array();
  std::string text;
  for (const Entry& entry : reproduce::catalogue()) {
    json.push_back({{"name", entry.name},
                    {"title", entry.title},
                    {"summary", entry.summary},
                    {"paper", entry.paper},
                    {"claim", entry.claim},
                    {"status", entry.status},
                    {"needs_data", entry.needs_data}});
    text += fmt::format("{}: {}\n    {}\n    paper: {}\n    claim: {}\n    status: {}\n", entry.name,
                        entry.title, entry.summary, entry.paper, entry.claim, entry.status);
  }
  publish(text, json, json_path);
  return exit_success;
}

// How many checks went the wrong way: failed, or passed by a system that was broken on purpose.
std::size_t n_wrong(const Result& result, bool broken) {
  std::size_t n = result.checks.empty() ? 1 : 0;
  for (const reproduce::Check& check : result.checks)
    if (check.passed() == broken) ++n;
  return n;
}

// Runs it. Nothing if it was interrupted, and then says so.
std::optional<Ran> run_entry(const Entry& entry, const Context& context) {
  const auto start = std::chrono::steady_clock::now();
  Ran ran;
  try {
    ran.result = entry.run(context);
  } catch (const std::exception&) {
    // An entry throws if its solver was interrupted, which is no error.
    if (!interrupted()) throw;
  }
  ran.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ran.n_threads = context.n_threads;
  if (!interrupted()) return ran;
  note("interrupted; nothing of " + std::string(entry.name) + " was written");
  return std::nullopt;
}

// An entry that was chosen: what of it is kept, and what came out.
struct Chosen {
  const Entry* entry;
  Json of = {};
  std::optional<Ran> ran = {};
};

std::vector<Chosen> taken_over(const std::vector<const Entry*>& entries, const Context& context,
                               KeptRuns& kept) {
  std::vector<Chosen> out;
  for (const Entry* entry : entries) {
    Chosen& one = out.emplace_back(Chosen{entry});
    if (!kept.is_on()) continue;
    one.of = identity(*entry, context);
    kept.find(one.of, [&](const Json& json) { one.ran = reproduce::ran_of(json); });
  }
  kept.note_found(entries.size());
  return out;
}

int run_reproduce(const Options& options) {
  if (options.list) return list_entries(options.json);
  if (options.names.empty())
    throw InvalidArgument("reproduce", "no name (softstep reproduce --list shows them; all runs all)");
  if (options.out.empty()) throw InvalidArgument("--out", "is required");
  const std::vector<const Entry*> entries = chosen(options.names, !options.data.empty());
  if (!options.data.empty()) reproduce::check_real_data(options.data);
  const Context context{resolved_threads(options.threads), options.broken, options.data};
  catch_interrupts();
  OutputDirectory directory(options.out);
  directory.make();
  Outputs outputs;
  outputs.add("--out", directory.file("verdict.json"));
  if (options.json != "-") outputs.add("--json", options.json);

  KeptRuns kept(options.keep);
  std::vector<Chosen> all = taken_over(entries, context, kept);

  Json list = Json::array();
  std::string text;
  std::size_t n_bad = 0, n_checks = 0, n_undrawn = 0;
  ProgressLine line;
  for (auto& [entry, of, ran] : all) {
    if (!ran) {
      line.show(fmt::format("reproduce: {} ({} of {})", entry->name, list.size() + 1, all.size()));
      ran = run_entry(*entry, context);
      line.clear();
      if (!ran) return interrupt_exit_code();
      kept.keep(of, kept_json(*ran));
    }
    const Result& result = ran->result;
    OutputDirectory own(directory.file(entry->name));
    own.make();
    const Json verdict = reproduce::verdict_json(*entry, result, ran->seconds, ran->n_threads);
    const std::string problem =
        reproduce::write_result(own.file(""), *entry, result, verdict, !options.no_plots);
    if (!problem.empty()) {
      note(problem);
      ++n_undrawn;
    }
    n_bad += n_wrong(result, options.broken);
    n_checks += result.checks.size();
    list.push_back(verdict);
    text += reproduce::result_text(*entry, result, ran->seconds, options.broken);
  }
  try_output(directory.file("verdict.json"), list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  if (n_bad != 0)
    text += fmt::format("{} of {} checks went wrong\n", n_bad, n_checks);
  else if (options.broken)
    text += fmt::format("all {} checks fail on the broken systems, as they should\n", n_checks);
  else
    text += fmt::format("all {} checks pass\n", n_checks);
  for (const Entry& entry : reproduce::catalogue())
    if (entry.needs_data && options.data.empty() && options.names == std::vector<std::string>{"all"})
      text += fmt::format("{} was not run: it needs data (--data DIR)\n", entry.name);
  if (n_undrawn != 0) text += fmt::format("{} of {} entries have no plots\n", n_undrawn, list.size());
  publish(text, list, options.json);
  if (interrupted()) return interrupt_exit_code();
  return n_bad + n_undrawn == 0 ? exit_success : exit_ending;
}

}  // namespace

Command add_reproduce(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = program.add_subcommand(
      "reproduce", "Check the laws of the paper and its neighbours: figures, data, and a verdict for each");
  app->add_option("names", options->names, "What to reproduce: names of --list, or all")->type_name("NAME");
  app->add_flag("--list", options->list, "Say what there is and stop");
  add_path(*app, "--out", options->out, "Directory for the results: one folder for each", "DIR");
  add_path(*app, "--data", options->data, "Folder with train.safetensors and test.safetensors, for real_data",
           "DIR");
  add_threads(*app, options->threads, "Threads");
  app->add_flag("--no-plots", options->no_plots, "Draw no plots");
  app->add_flag("--broken", options->broken,
                "Run systems that must not obey the laws: exit code 0 only if every check fails");
  add_keep(*app, options->keep);
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep reproduce --list\n"
      "  softstep reproduce rates --out out\n"
      "  softstep reproduce all --out out\n"
      "  softstep reproduce real_data --data digits --out out\n"
      "Plots need a Python with matplotlib.");
  return {app, [options] { return run_reproduce(*options); },
          "a check went the wrong way, or the plots could not be drawn"};
}

}  // namespace softstep::program
