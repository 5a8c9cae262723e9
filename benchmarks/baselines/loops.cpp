#define SOFTSTEP_BASELINE_NAME loops
#include "baselines/loops.h"
