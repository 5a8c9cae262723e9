#include "core/c/multiclass.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/handles.h"

namespace softstep::c {

MulticlassData multiclass_data_of(const softstep_multiclass_data* data) {
  const softstep_multiclass_data in = read(required(data, "data"), "data");
  MulticlassData out;
  out.n_classes = in.n_classes;
  out.dim = in.dim;
  out.features = copied(in.features, product(in.n_samples, in.dim, "data.n_samples"), "data.features");
  out.classes = copied(in.classes, in.n_samples, "data.classes");
  return out;
}

}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_multiclass_model_create(const softstep_multiclass_data* data, softstep_type type,
                                                 const char* isa, softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const MulticlassData own = multiclass_data_of(data);
    *model =
        hand_out_model(type, "type", [&]<class T>() { return make_multiclass_model<T>(own, word(isa)); });
  });
}

softstep_status softstep_class_clouds(size_t n_classes, size_t dim, size_t points_per_class, double noise,
                                      uint64_t seed, double* features, size_t* classes) {
  return guarded([&] {
    required(features, "features");
    required(classes, "classes");
    product(product(n_classes, points_per_class, "points_per_class"), dim, "dim");
    const MulticlassData made = class_clouds(n_classes, dim, points_per_class, noise, seed);
    std::copy(made.features.begin(), made.features.end(), features);
    std::copy(made.classes.begin(), made.classes.end(), classes);
  });
}

softstep_status softstep_multiclass_margin(const softstep_multiclass_data* data, const double* weights,
                                           const char* norm, double p, double* margin) {
  return guarded([&] {
    required(margin, "margin");
    const MulticlassData own = multiclass_data_of(data);
    *margin =
        multiclass_margin(own, numbers(weights, product(own.n_classes, own.dim, "data.n_classes"), "weights"),
                          parse_matrix_norm(required(norm, "norm")), p);
  });
}
}
