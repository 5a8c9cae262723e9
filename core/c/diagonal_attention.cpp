#include "softstep/diagonal_attention.h"

#include "core/c/chosen_word.h"
#include "core/c/handles.h"

using namespace softstep;
using namespace softstep::c;

extern "C" softstep_status softstep_diagonal_attention_model_create(const softstep_batch* batch,
                                                                    const softstep_diagonal_options* options,
                                                                    softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const softstep_diagonal_options in = read(options, "options");
    DiagonalAttentionOptions of;
    of.form = chosen_word(in.form, "options.form", {DiagonalForm::factored, DiagonalForm::combined});
    if (in.loss != nullptr) of.loss = parse_loss(in.loss);
    if (in.optimal_loss != nullptr) of.optimal_loss = parse_optimal_loss(in.optimal_loss);
    of.optimal_loss_value = in.optimal_loss_value;
    of.n_threads = threads(in.n_threads, "options.n_threads");
    of.isa = word(in.isa);
    auto out = std::make_unique<softstep_model>();
    with_plain_batch(batch, [&](const auto& view) { out->of = make_diagonal_attention_model(view, of); });
    *model = hand_out(std::move(out));
  });
}
