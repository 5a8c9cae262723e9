// Every options struct of the public headers can be written with designated initialisers, without a warning.

#include <softstep/softstep.h>

#include "options.h"

bool options_are_good() {
  const softstep::AttentionOptions attention = {.rank = 2};
  const softstep::LinearOptions linear = {.loss = softstep::Loss::squared};
  const softstep::TrainerOptions trainer = {.n_steps = 3};
  const softstep::MaxMarginOptions margin = {.tolerance = 1e-9};
  const softstep::NormMaxMarginOptions norm = {.p = 3.0};
  const softstep::GeneratorOptions generator = {.dim = 4};
  const softstep::GradientCheckOptions gradient = {.max_entries = 5};
  const softstep::RuleSettings rule = {.rule = "gd"};
  const softstep::SampleSet samples = {.indices = {}};
  const softstep::BatchView<double> batch = {.n_samples = 1};
  const softstep::DatasetParts<float> parts = {.dim = 2};
  const softstep::NextTokenData next_token = {.vocabulary = 4};
  const softstep::NamedTensor tensor = {.name = "weights"};
  const softstep::TrainState<double> state = {.step = 1};
  const softstep::BlockShape shape = {.name = "weights"};
  const softstep::StepContext<double> context = {.iteration = 2};
  const softstep::RuleMemory memory = {.name = "mean"};
  const softstep::Observable observable = {.name = "weights"};
  return attention.rank == 2 && linear.loss == softstep::Loss::squared && trainer.n_steps == 3 &&
         margin.tolerance < 1e-8 && norm.p > 2.0 && generator.dim == 4 && gradient.max_entries == 5 &&
         rule.rule == "gd" && samples.is_all() && batch.n_samples == 1 && parts.dim == 2 &&
         next_token.vocabulary == 4 && tensor.name == "weights" && state.step == 1 &&
         shape.name == "weights" && context.iteration == 2 && memory.size == 0 && observable.n_blocks == 1;
}
