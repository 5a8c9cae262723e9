#pragma once

// What the files of this folder add to the module, in the order in which it is added.

#include <nanobind/nanobind.h>

namespace softstep::python {

class AnyModel;
class Problem;

void add_errors(nanobind::module_& m);
void add_library(nanobind::module_& m);
void add_stop_source(nanobind::module_& m);
void add_model(nanobind::module_& m);
void add_other_models(nanobind::module_& m);
void add_multiclass(nanobind::module_& m);
void add_relu_network(nanobind::module_& m);
void add_in_context(nanobind::module_& m);
void add_margin_certificate(nanobind::module_& m);
void add_problem(nanobind::module_& m);
void add_evaluation(nanobind::class_<AnyModel>& c);
void add_metrics(nanobind::module_& m, nanobind::class_<Problem, AnyModel>& c);
void add_datasets(nanobind::module_& m);
void add_max_margin(nanobind::module_& m);
void add_training(nanobind::module_& m);
void add_checkpoints(nanobind::module_& m);
void add_train_many(nanobind::module_& m);
void add_heads(nanobind::module_& m);
void add_linear_heads(nanobind::module_& m);
void add_xla_attention(nanobind::module_& m);

}  // namespace softstep::python
