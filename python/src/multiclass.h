#pragma once

// Points and their classes, as softstep.MulticlassModel takes them.

#include <nanobind/nanobind.h>

#include "copied_model.h"
#include "softstep/multiclass.h"

namespace softstep::python {

/// Of arrays: features [n, dim] float64, classes [n] int64. Throws InvalidArgument.
MulticlassData multiclass_data(nb::handle features, nb::handle classes, std::size_t n_classes);

}  // namespace softstep::python
