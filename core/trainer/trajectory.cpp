#include "core/trainer/trajectory.h"

#include "core/trainer/dense_trajectory.h"
#include "core/trainer/query_span_trajectory.h"
#include "core/trainer/token_span_trajectory.h"

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
  throw InvalidArgument("form", "\"" + name + "\" is not known (known: auto, dense, query-span, token-span)");
}

template <class T>
std::unique_ptr<Trajectory<T>> make_trajectory(Form form, Layer<T>& layer, const TrainState<T>& state,
                                               bool along_gradient) {
  if (form == Form::query_span) return std::make_unique<QuerySpanTrajectory<T>>(layer, state);
  if (form == Form::token_span) return std::make_unique<TokenSpanTrajectory<T>>(layer, state);
  return std::make_unique<DenseTrajectory<T>>(layer, state, along_gradient);
}

template std::unique_ptr<Trajectory<float>> make_trajectory(Form, Layer<float>&, const TrainState<float>&,
                                                            bool);
template std::unique_ptr<Trajectory<double>> make_trajectory(Form, Layer<double>&, const TrainState<double>&,
                                                             bool);

}  // namespace softstep
