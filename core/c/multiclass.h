#pragma once

// Points and their classes, as models, margins and certificates take them.

#include "softstep/c/softstep.h"
#include "softstep/multiclass.h"

namespace softstep::c {

/// A copy of the caller's data. Throws InvalidArgument.
MulticlassData multiclass_data_of(const softstep_multiclass_data* data);

}  // namespace softstep::c
