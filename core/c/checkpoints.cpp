#include "softstep/checkpoints.h"

#include "core/c/handles.h"
#include "core/c/train_options.h"

namespace softstep::c {

template <class T>
void write_checkpoints(const softstep_train_options* given, const Model<T>& model, const TrainState<T>& state,
                       TrainerOptions& options) {
  const softstep_train_options in = read(given, "options");
  if (in.checkpoints == nullptr) {
    if (in.checkpoint_steps != 0)
      throw InvalidArgument("options.checkpoint_steps", "given without checkpoints");
    if (in.checkpoint_seconds != 0.0)
      throw InvalidArgument("options.checkpoint_seconds", "given without checkpoints");
    return;
  }
  const Checkpoints& into = live(in.checkpoints, "options.checkpoints")->of;
  options.checkpoint_steps = in.checkpoint_steps;
  if (in.checkpoint_seconds != 0.0) options.checkpoint_seconds = in.checkpoint_seconds;
  options.checkpoint = [&into, &model, &state, &options, failed = in.checkpoint_failed,
                        user = in.user](const Progress&) {
    try {
      into.write(model, state, options);
    } catch (const IoError& error) {
      if (failed == nullptr || failed(user, error.what()) != 0) throw;
    }
  };
}

template void write_checkpoints(const softstep_train_options*, const Model<float>&, const TrainState<float>&,
                                TrainerOptions&);
template void write_checkpoints(const softstep_train_options*, const Model<double>&,
                                const TrainState<double>&, TrainerOptions&);

}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_checkpoints_open(const char* folder, int32_t keep,
                                          softstep_checkpoints** checkpoints) {
  return guarded([&] {
    required(folder, "folder");
    required(checkpoints, "checkpoints");
    *checkpoints = hand_out(std::unique_ptr<softstep_checkpoints>(
        new softstep_checkpoints{Checkpoints(folder, keep == 0 ? 3 : keep)}));
  });
}

softstep_status softstep_checkpoints_newest(const softstep_checkpoints* checkpoints,
                                            const softstep_model* model,
                                            const softstep_train_options* options, softstep_state** state) {
  return guarded([&] {
    required(state, "state");
    const Checkpoints& from = live(checkpoints, "checkpoints")->of;
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      auto found = from.newest<T>(of, train_options_of<T>(options));
      *state = found ? hand_out(std::make_unique<softstep_state>(softstep_state{std::move(found->state)}))
                     : nullptr;
    });
  });
}

softstep_status softstep_checkpoints_write(const softstep_checkpoints* checkpoints,
                                           const softstep_model* model, const softstep_state* state,
                                           const softstep_train_options* options) {
  return guarded([&] {
    const Checkpoints& into = live(checkpoints, "checkpoints")->of;
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      into.write<T>(of, state_of<T>(state), train_options_of<T>(options));
    });
  });
}

void softstep_checkpoints_close(softstep_checkpoints* checkpoints) { destroy(checkpoints, "checkpoints"); }
}
