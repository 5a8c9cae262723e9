#include "softstep/train_many.h"

#include <string>
#include <unordered_set>
#include <vector>

#include "core/c/handles.h"
#include "core/c/train_options.h"
#include "core/trainer/run_checks.h"

namespace softstep::c {
namespace {

// What is wrong with a run is said with its number.
template <class Body>
auto of_run(std::size_t k, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const NotSupported& error) {
    throw NotSupported(nth("runs", k), error.what());
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(nth("runs", k), error.what());
  }
}

template <class T>
std::vector<TrainSummary> run_all(const softstep_model* const* models, softstep_state* const* states,
                                  const softstep_train_options* const* options, std::size_t n_runs,
                                  int n_threads) {
  std::vector<TrainerOptions> own;
  std::unordered_set<const softstep_checkpoints*> folders;
  std::vector<ManyRun<T>> runs;
  own.reserve(n_runs);
  for (std::size_t k = 0; k < n_runs; ++k) {
    const softstep_model* given = required(models[k], nth("models", k).c_str());
    const auto* model = std::get_if<std::unique_ptr<Model<T>>>(&live(given, "model")->of);
    if (model == nullptr) throw InvalidArgument(nth("models", k), "of another precision than models[0]");
    required(states[k], nth("states", k).c_str());
    required(options[k], nth("options", k).c_str());
    own.push_back(of_run(k, [&] { return train_options_of<T>(options[k]); }));
    runs.push_back({model->get(), of_run(k, [&] { return &state_of<T>(states[k]); }), &own[k]});
    of_run(k, [&] {
      const softstep_checkpoints* folder = read(options[k], "options").checkpoints;
      if (folder != nullptr && !folders.insert(folder).second)
        throw InvalidArgument("options.checkpoints", "those of another run (need a folder for each)");
      write_checkpoints<T>(options[k], **model, *runs[k].state, own[k]);
      check_run(**model, *runs[k].state, own[k]);
    });
  }
  return train_many<T>(runs, n_threads);
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_train_many(const softstep_model* const* models, softstep_state* const* states,
                                    const softstep_train_options* const* options, size_t n_runs,
                                    int32_t n_threads, softstep_train_summary* summaries) {
  return guarded([&] {
    required(models, "models");
    required(states, "states");
    required(options, "options");
    if (n_runs == 0) return;
    Results<softstep_train_summary> out(summaries, n_runs, "summaries");
    live(required(models[0], "models[0]"), "model")->with([&]<class M>(const M&) {
      using T = typename NumberOf<M>::type;
      const std::vector<TrainSummary> found =
          run_all<T>(models, states, options, n_runs, threads(n_threads, "n_threads"));
      for (std::size_t k = 0; k < n_runs; ++k) out.put(k, summary_of(found[k]));
    });
  });
}
}
