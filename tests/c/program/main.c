#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

void require_true(int condition, const char* text, const char* file, int line) {
  if (condition) return;
  printf("%s:%d: not true: %s\n", file, line, text);
  exit(1);
}

void require_status(softstep_status status, softstep_status wanted, const char* argument, const char* text,
                    const char* file, int line) {
  if (status == wanted && (wanted == SOFTSTEP_OK || strcmp(softstep_last_argument(), argument) == 0)) return;
  printf("%s:%d: %s: status %d, argument '%s', message '%s' (wanted status %d, argument '%s')\n", file, line,
         text, (int)status, softstep_last_argument(), softstep_last_message(), (int)wanted, argument);
  exit(1);
}

void fill(double* values, size_t n, uint32_t seed) {
  for (size_t k = 0; k < n; ++k) {
    seed = seed * 1664525u + 1013904223u;
    values[k] = seed / 2147483648.0 - 1.0;
  }
}

softstep_dataset* small_data(void) {
  softstep_generate_options options = {.struct_size = sizeof options};
  options.n_samples = small_samples;
  options.n_tokens = small_tokens;
  options.dim = small_dim;
  options.seed = 5;
  softstep_dataset* data = NULL;
  GOOD(softstep_dataset_generate(&options, &data));
  return data;
}

softstep_batch batch_of(const softstep_dataset* data) {
  softstep_batch batch = {.struct_size = sizeof batch};
  GOOD(softstep_dataset_batch(data, &batch));
  return batch;
}

double evaluated(const softstep_model* model) {
  double blocks[4][64], gradients[4][64], exponents[4];
  const void* at[4] = {blocks[0], blocks[1], blocks[2], blocks[3]};
  void* out[4] = {gradients[0], gradients[1], gradients[2], gradients[3]};
  size_t n = 0;
  GOOD(softstep_model_n_blocks(model, &n));
  REQUIRE(n <= 4);
  for (size_t k = 0; k < 4; ++k) {
    fill(blocks[k], 64, (uint32_t)k + 1);
    for (size_t m = 0; m < 64; ++m) gradients[k][m] = NAN;
  }
  softstep_workspace* space = NULL;
  softstep_evaluation found = {.struct_size = sizeof found};
  GOOD(softstep_workspace_create(model, &space));
  GOOD(softstep_evaluate(model, space, at, SOFTSTEP_WANT_ALL, NULL, 0, &found, out, exponents));
  for (size_t k = 0; k < n; ++k)
    REQUIRE(isfinite(gradients[k][0]) && gradients[k][0] != 0.0 && isfinite(exponents[k]));
  softstep_workspace_destroy(space);
  return found.loss;
}

int main(int count, char** arguments) {
  test_library();
  test_models();
  test_training(count > 1 ? arguments[1] : "c_program.safetensors");
  char folder[4096];
  snprintf(folder, sizeof folder, "%s.checkpoints", count > 1 ? arguments[1] : "c_program");
  test_checkpoints(folder);
  test_solvers();
  test_neighbours();
  test_sequence_models();
  test_heads();
  test_ranks(count > 1 ? arguments[1] : "c_program.safetensors");
  test_destroyed();
  printf("C: everything as it should be%s\n",
         softstep_checks_handles() ? ", destroyed handles among it" : "");
  return 0;
}
