#include <memory>
#include <string>
#include <vector>

#include "core/c/handles.h"
#include "core/c/ranks.h"
#include "core/c/train_options.h"
#include "core/trainer/run_checks.h"

namespace softstep::c {
namespace {

// One run: a rule for all blocks, or one for each.
using Rules = std::vector<RuleSettings>;

std::vector<Rules> rules_of(const char* const* rules, std::size_t n_rules) {
  required(rules, "rules");
  std::vector<Rules> out;
  for (std::size_t k = 0; k < n_rules; ++k) {
    out.push_back(parse_rules(required(rules[k], nth("rules", k).c_str())));
  }
  return out;
}

template <class T>
TrainerOptions shared_options_of(const softstep_train_options* given) {
  const softstep_train_options in = read(required(given, "options"), "options");
  if (in.rules != nullptr) throw InvalidArgument("options.rules", "given (the runs have rules of their own)");
  if (in.own_rule != nullptr)
    throw InvalidArgument("options.own_rule", "given (the runs have rules of their own)");
  if (in.checkpoints != nullptr)
    throw InvalidArgument("options.checkpoints", "given (several runs need several)");
  if (in.checkpoint_steps != 0)
    throw InvalidArgument("options.checkpoint_steps", "given (several runs here have no checkpoints)");
  if (in.checkpoint_seconds != 0.0)
    throw InvalidArgument("options.checkpoint_seconds", "given (several runs here have no checkpoints)");
  return train_options_of<T>(given);
}

softstep_status run_all(const softstep_model* model, const softstep_state* start,
                        const std::vector<Rules>& runs, const softstep_train_options* options,
                        softstep_train_summary* summaries, softstep_state** states) {
  return guarded([&] {
    Results<softstep_train_summary> out(summaries, runs.size(), "summaries");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      TrainerOptions shared = shared_options_of<T>(options);
      const TrainState<T> from =
          start == nullptr ? initial_state<T>(of, std::vector<std::vector<double>>{}) : state_of<T>(start);
      // What is wrong with one of them is found before the first run.
      TrainState<T> trial = from;
      for (const Rules& rules : runs) {
        shared.rules = rules;
        check_run(of, trial, shared);
      }
      const std::shared_ptr<CallerRanks> ranks = live(model, "model")->ranks;
      stop_together(ranks, shared);
      std::vector<softstep_train_summary> found;
      std::vector<std::unique_ptr<softstep_state>> ends;
      for (const Rules& rules : runs) {
        auto end = std::make_unique<softstep_state>(softstep_state{from});
        shared.rules = rules;
        if (ranks != nullptr) shared.stop = ranks->begin_run();
        found.push_back(summary_of(train<T>(of, std::get<TrainState<T>>(end->of), shared)));
        if (states != nullptr) ends.push_back(std::move(end));
      }
      for (std::size_t k = 0; k < found.size(); ++k) out.put(k, found[k]);
      for (std::size_t k = 0; k < ends.size(); ++k) states[k] = hand_out(std::move(ends[k]));
    });
  });
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_compare(const softstep_model* model, const softstep_state* start,
                                 const char* const* rules, size_t n_rules,
                                 const softstep_train_options* options, softstep_train_summary* summaries,
                                 softstep_state** states) {
  std::vector<Rules> runs;
  const softstep_status status = guarded([&] { runs = rules_of(rules, n_rules); });
  return status != SOFTSTEP_OK ? status : run_all(model, start, runs, options, summaries, states);
}

softstep_status softstep_sweep(const softstep_model* model, const softstep_state* start,
                               const char* const* rules, size_t n_rules, const char* option,
                               const double* values, size_t n_values, const softstep_train_options* options,
                               softstep_train_summary* summaries, softstep_state** states) {
  std::vector<Rules> runs;
  const softstep_status status = guarded([&] {
    const std::string name = required(option, "option");
    required(values, "values");
    for (const Rules& rules_of_run : rules_of(rules, n_rules))
      for (std::size_t v = 0; v < n_values; ++v) {
        runs.push_back(rules_of_run);
        for (RuleSettings& rule : runs.back()) rule.options[name] = values[v];
      }
  });
  return status != SOFTSTEP_OK ? status : run_all(model, start, runs, options, summaries, states);
}
}
