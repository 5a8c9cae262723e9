#pragma once

// What `train` says of a run: the trace beyond the columns of every run, JSON, text and notes.

#include "model_options.h"
#include "train_options.h"

namespace softstep::program {

/// A run that has ended.
template <class T>
struct EndedRun {
  const TrainOptions& options;
  const AttentionOptions& layer;
  const BatchView<T>* batch;      ///< null where the data are points of several classes
  const MulticlassData* classes;  ///< null where they are a batch
  const std::string& own_loss;    ///< of a model with a file of its own; else empty
  const Model<T>& model;
  const TrainState<T>& state;
  const TrainerOptions& trainer;
  const TrainSummary& summary;
  const ModelReferences& references;
};

/// The columns of the trace; a model that is not W alone has more of them.
std::string train_columns(const ModelFlags& flags, const std::vector<Observable>& observables);
std::string train_row(const ModelFlags& flags, const TraceRecord& record);

template <class T>
void report_run(const EndedRun<T>& run);

}  // namespace softstep::program
