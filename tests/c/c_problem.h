#pragma once

// One small problem as the C face and as the C++ face see it.

#include <vector>

#include "softstep/attention_model.h"
#include "softstep/c/softstep.h"
#include "softstep/dataset.h"

namespace softstep::test {

struct CProblem {
  Dataset<double> data = generate({.n_samples = 8, .n_tokens = 5, .dim = 12, .seed = 3});

  softstep_batch batch() const {
    const BatchView<double> view = data.view();
    softstep_batch out{};
    out.struct_size = sizeof out;
    out.type = SOFTSTEP_F64;
    out.tokens = view.tokens;
    out.n_samples = view.n_samples;
    out.n_tokens = view.n_tokens;
    out.dim = view.dim;
    out.offsets = view.offsets;
    out.labels = view.labels;
    out.decoder = view.decoder;
    out.query_index = view.query_index;
    out.queries = view.queries;
    return out;
  }
};

/// A model of the C face, destroyed in the end.
struct CModel {
  softstep_model* model = nullptr;
  softstep_workspace* space = nullptr;
  softstep_status status;
  explicit CModel(const softstep_batch& batch, const softstep_attention_options* options = nullptr)
      : status(softstep_attention_model_create(&batch, options, &model)) {
    if (status == SOFTSTEP_OK) status = softstep_workspace_create(model, &space);
  }
  CModel(const CModel&) = delete;
  CModel& operator=(const CModel&) = delete;
  ~CModel() {
    softstep_workspace_destroy(space);
    softstep_model_destroy(model);
  }
};

}  // namespace softstep::test
