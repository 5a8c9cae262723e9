#pragma once

// The parameterisations a step is measured in: one row each.

#include "softstep/trainer.h"

namespace softstep::bench {

struct FormRow {
  const char* name;
  void (*choose)(TrainerOptions&);
  bool does_dense_work;  ///< products with W, attention pass, update of W: what flops and shares count
};

inline constexpr FormRow forms[] = {
    {"dense", [](TrainerOptions&) {}, true},
};

}  // namespace softstep::bench
