#include <limits>

#include "core/data/quoted.h"
#include "core/models/attention/attention_parts.h"
#include "core/trainer/forms/choose_form.h"
#include "core/trainer/forms/dense_trajectory.h"
#include "core/trainer/forms/query_span_trajectory.h"
#include "core/trainer/forms/token_span_trajectory.h"
#include "core/trainer/model_trajectory.h"
#include "core/trainer/trajectory.h"
#include "softstep/error.h"

namespace softstep {

const char* to_string(Form form) {
  switch (form) {
    case Form::automatic:
      return "auto";
    case Form::dense:
      return "dense";
    case Form::query_span:
      return "query-span";
    case Form::token_span:
      return "token-span";
  }
  return "";
}

Form parse_form(const std::string& name) {
  for (const Form form : {Form::automatic, Form::dense, Form::query_span, Form::token_span})
    if (name == to_string(form)) return form;
  throw InvalidArgument("form",
                        data::quoted(name) + " is not known (known: auto, dense, query-span, token-span)");
}

namespace {

// The form asked for; else that of the state, if it is one in the middle of a run; else the cheapest.
template <class T>
Form chosen_form(const AttentionData<T>& data, const TrainState<T>& state, const TrainerOptions& options,
                 bool along_gradient) {
  const bool has_master = !state.masters[0].empty(), may_span = along_gradient && !has_master;
  Form form = options.form;
  if (form == Form::automatic)
    form = !may_span ? Form::dense : state.step > 0 ? state.span.form : cheapest_form(data);
  if (form != Form::dense && !may_span)
    throw InvalidArgument(
        "form", std::string(to_string(form)) + " does not go with " +
                    (has_master ? "float64 master weights"
                                : "rule " + std::string(make_step_rule<T>(options.rules[0])->name())) +
                    " (dense does)");
  if (form != Form::dense && data.ranks != nullptr)
    throw InvalidArgument("form",
                          std::string(to_string(form)) + " does not go with several ranks (dense does)");
  if (form == Form::token_span && data.storage() != StoredType::working)
    throw InvalidArgument("form", "token-span does not go with tokens stored as " +
                                      std::string(to_string(data.options.token_storage)));
  if (form == Form::token_span && !data.query_rows.are_samples())
    throw InvalidArgument("form", "token-span goes with one query a sample, of weight 1 (the batch has " +
                                      std::to_string(data.n_rows()) + " queries in " +
                                      std::to_string(data.batch.n_samples) +
                                      " samples; dense and query-span do)");
  return form;
}

}  // namespace

template <class T>
std::unique_ptr<Trajectory<T>> make_trajectory(const Model<T>& model, TrainState<T>& state,
                                               const TrainerOptions& options, bool along_gradient,
                                               bool whole) {
  const auto* attention = dynamic_cast<const AttentionModel<T>*>(&model);
  if (attention != nullptr && attention->parts().data.ranks != nullptr &&
      options.max_seconds < std::numeric_limits<double>::infinity())
    throw InvalidArgument("max_seconds", "does not go with several ranks, whose clocks differ");
  if (attention == nullptr || !attention->parts().trains_weights_alone() || !whole) {
    if (options.form != Form::automatic && options.form != Form::dense)
      throw InvalidArgument("form", std::string(to_string(options.form)) +
                                        (whole ? " goes with an attention model that trains W alone"
                                               : " does not go with mini-batches") +
                                        " (dense does)");
    return std::make_unique<ModelTrajectory<T>>(model, state);
  }
  const AttentionData<T>& data = attention->parts().data;
  switch (chosen_form(data, state, options, along_gradient)) {
    case Form::query_span:
      return std::make_unique<QuerySpanTrajectory<T>>(data, state);
    case Form::token_span:
      return std::make_unique<TokenSpanTrajectory<T>>(data, state);
    case Form::automatic:
    case Form::dense:
      break;
  }
  return std::make_unique<DenseTrajectory<T>>(data, state, along_gradient);
}

template std::unique_ptr<Trajectory<float>> make_trajectory(const Model<float>&, TrainState<float>&,
                                                            const TrainerOptions&, bool, bool);
template std::unique_ptr<Trajectory<double>> make_trajectory(const Model<double>&, TrainState<double>&,
                                                             const TrainerOptions&, bool, bool);

}  // namespace softstep
