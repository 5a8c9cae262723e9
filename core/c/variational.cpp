#include "softstep/variational.h"

#include "core/c/handles.h"

using namespace softstep;
using namespace softstep::c;

extern "C" softstep_status softstep_variational_model_create(const softstep_batch* batch,
                                                             const softstep_variational_options* options,
                                                             softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const softstep_variational_options in = read(options, "options");
    VariationalOptions of;
    of.rank = in.rank;
    if (in.loss != nullptr) of.loss = parse_loss(in.loss);
    of.isa = word(in.isa);
    auto out = std::make_unique<softstep_model>();
    with_plain_batch(batch, [&](const auto& view) { out->of = make_variational_model(view, of); });
    *model = hand_out(std::move(out));
  });
}
