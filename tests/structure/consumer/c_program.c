/* The library from C: a model of eight samples, trained by Polyak steps towards its max-margin direction. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "softstep/c/softstep.h"

enum { n_samples = 8, n_tokens = 4, dim = 10 };

static void require(softstep_status status) {
  if (status == SOFTSTEP_OK) return;
  fprintf(stderr, "%s\n", softstep_last_message());
  exit(1);
}

int main(void) {
  double tokens[n_samples * n_tokens * dim], decoder[dim], limit[dim * dim];
  int8_t labels[n_samples];
  uint32_t random = 1;
  for (int k = 0; k < n_samples * n_tokens * dim; ++k) {
    random = random * 1664525u + 1013904223u;
    tokens[k] = random / 4294967296.0 - 0.5;
  }
  for (int j = 0; j < dim; ++j) decoder[j] = j == 0 ? 1.0 : 0.0;
  for (int i = 0; i < n_samples; ++i) {
    labels[i] = i % 2 == 0 ? 1 : -1;
    tokens[(i * n_tokens + i % n_tokens) * dim] = labels[i]; /* the optimal token */
  }

  softstep_batch batch = {.struct_size = sizeof batch};
  batch.tokens = tokens;
  batch.n_samples = n_samples;
  batch.n_tokens = n_tokens;
  batch.dim = dim;
  batch.labels = labels;
  batch.decoder = decoder;

  softstep_max_margin_result margin = {.struct_size = sizeof margin};
  require(softstep_solve_max_margin(&batch, NULL, limit, &margin));
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  require(softstep_attention_model_create(&batch, NULL, &model));
  require(softstep_state_create(model, NULL, &state));
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "polyak";
  options.n_steps = 3000;
  options.reference = limit;
  options.reference_size = dim * dim;
  softstep_train_summary summary = {.struct_size = sizeof summary};
  require(softstep_train(model, state, &options, &summary));
  printf("C: softstep %s, margin %s, %s after %d steps, 1 - cos = %.1e\n", softstep_version(), margin.status,
         summary.status, (int)summary.steps, summary.last.one_minus_cos);
  softstep_state_destroy(state);
  softstep_model_destroy(model);
  return summary.last.one_minus_cos < 1e-5 ? 0 : 1;
}
