#pragma once

// Everything at once. Each header stands on its own.
#include "softstep/batch.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/files.h"
#include "softstep/isa.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"
#include "softstep/model.h"
#include "softstep/model_trainer.h"
#include "softstep/next_token.h"
#include "softstep/objective.h"
#include "softstep/scaled.h"
#include "softstep/self_check.h"
#include "softstep/step_rules.h"
#include "softstep/trainer.h"
#include "softstep/version.h"
