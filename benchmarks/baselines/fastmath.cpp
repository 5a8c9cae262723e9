#define SOFTSTEP_BASELINE_NAME fastmath
#include "baselines/loops.h"
