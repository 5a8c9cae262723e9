// The extension module softstep._core: each file of this folder adds its part.

#include <nanobind/nanobind.h>

#include "parts.h"

NB_MODULE(_core, m) {
  m.doc() = "softstep, compiled. Use the package `softstep`, which has all of this under its own names.";
  softstep::python::add_errors(m);
  softstep::python::add_library(m);
  softstep::python::add_stop_source(m);
  softstep::python::add_model(m);
  softstep::python::add_problem(m);
  softstep::python::add_other_models(m);
  softstep::python::add_multiclass(m);
  softstep::python::add_relu_network(m);
  softstep::python::add_in_context(m);
  softstep::python::add_margin_certificate(m);
  softstep::python::add_training(m);
  softstep::python::add_checkpoints(m);
  softstep::python::add_train_many(m);
  softstep::python::add_datasets(m);
  softstep::python::add_max_margin(m);
  softstep::python::add_heads(m);
  softstep::python::add_linear_heads(m);
  softstep::python::add_xla_attention(m);
}
