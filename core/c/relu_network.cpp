#include "softstep/relu_network.h"

#include "core/c/arrays.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

std::vector<double> outer_layer(const double* outer, std::size_t n_neurons, const char* name_of_n) {
  return outer == nullptr ? std::vector<double>{} : copied(outer, product(n_neurons, 1, name_of_n), "outer");
}

ReluOptions options_of(const softstep_relu_options* given) {
  const softstep_relu_options in = read(required(given, "options"), "options");
  ReluOptions out;
  out.n_neurons = in.n_neurons;
  out.outer = outer_layer(in.outer, in.n_neurons, "options.n_neurons");
  if (word(in.loss) == make_correlation_loss()->name())
    out.own_loss = make_correlation_loss();
  else if (in.loss != nullptr)
    out.loss = parse_loss(in.loss);
  if (in.own_loss != nullptr) out.own_loss = own_loss_of(in.own_loss);
  if (in.optimal_loss != nullptr) out.optimal_loss = parse_optimal_loss(in.optimal_loss);
  out.optimal_loss_value = in.optimal_loss_value;
  out.isa = word(in.isa);
  return out;
}

GaussianClusters clusters_of(const softstep_gaussian_clusters* given) {
  const softstep_gaussian_clusters in = read(required(given, "clusters"), "clusters");
  GaussianClusters out;
  out.dim = in.dim;
  out.means = copied(in.means, product(in.n_clusters, in.dim, "clusters.n_clusters"), "clusters.means");
  out.probabilities = copied(in.probabilities, in.n_clusters, "clusters.probabilities");
  out.labels = copied(in.labels, in.n_clusters, "clusters.labels");
  out.sigma = in.sigma;
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_relu_model_create(const softstep_batch* batch, const softstep_relu_options* options,
                                           softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const ReluOptions of = options_of(options);
    auto out = std::make_unique<softstep_model>();
    with_plain_batch(batch, [&](const auto& view) { out->of = make_relu_model(view, of); });
    *model = hand_out(std::move(out));
  });
}

softstep_status softstep_relu_population_model_create(const softstep_gaussian_clusters* clusters,
                                                      size_t n_neurons, const double* outer,
                                                      softstep_type type, const char* isa,
                                                      softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const GaussianClusters own = clusters_of(clusters);
    const std::vector<double> fixed = outer_layer(outer, n_neurons, "n_neurons");
    *model = hand_out_model(type, "type", [&]<class T>() {
      return make_relu_population_model<T>(own, n_neurons, fixed, word(isa));
    });
  });
}
}
