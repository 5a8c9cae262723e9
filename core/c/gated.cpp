#include "softstep/gated.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/chosen_word.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

MultitaskRegression data_of(const softstep_multitask_regression* given) {
  const softstep_multitask_regression in = read(required(given, "data"), "data");
  product(in.dim, in.dim, "data.dim");
  product(in.n_tasks, in.n_tasks, "data.n_tasks");
  return {.spectrum = copied(in.spectrum, in.dim, "data.spectrum"),
          .n_examples = copied(in.n_examples, in.n_tasks, "data.n_examples"),
          .correlations = copied(in.correlations, in.n_tasks, "data.correlations"),
          .noise = in.noise};
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_gated_model_create(const softstep_multitask_regression* data, const char* weights,
                                            const double* gates, softstep_type type, const char* isa,
                                            softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const MultitaskRegression own = data_of(data);
    GatedOptions of;
    of.weights = chosen_word(weights, "weights",
                             {ExampleWeights::gated, ExampleWeights::free, ExampleWeights::constant});
    if (gates != nullptr && own.n_tasks() != 0) of.gates = copied(gates, own.n_tasks() - 1, "gates");
    of.isa = word(isa);
    *model = hand_out_model(type, "type", [&]<class T>() { return make_gated_model<T>(own, of); });
  });
}

softstep_status softstep_multitask_weights(const softstep_multitask_regression* data, double* weights) {
  return guarded([&] {
    required(weights, "weights");
    const std::vector<double> found = multitask_weights(data_of(data));
    std::copy(found.begin(), found.end(), weights);
  });
}

softstep_status softstep_multitask_loss(const softstep_multitask_regression* data, const double* weights,
                                        double* loss) {
  return guarded([&] {
    required(loss, "loss");
    const MultitaskRegression own = data_of(data);
    *loss = multitask_loss(own, copied(weights, own.n_tasks(), "weights"));
  });
}
}
