/* softstep from C. Usage: example DATA TRAINED (safetensors files). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "softstep/c/softstep.h"

static void need(softstep_status status) {
  if (status == SOFTSTEP_OK) return;
  fprintf(stderr, "%s\n", softstep_last_message());
  exit(1);
}

typedef struct problem {
  softstep_batch batch;
  softstep_model* model;
  softstep_workspace* space;
  size_t n;
  double *limit, *trained;
} problem;

static void report(const problem* of, const char* run, long evaluations, const double* w,
                   const char* ending) {
  double margin, to_limit, to_trained;
  need(softstep_normalized_margin(&of->batch, w, &margin));
  need(softstep_compare_direction(w, of->limit, of->n, &to_limit, NULL));
  need(softstep_compare_direction(w, of->trained, of->n, &to_trained, NULL));
  printf("| %-22s | %-28s | %9ld | %.6f | %.1e | %.1e | %s |\n", "C", run, evaluations, margin, to_limit,
         to_trained, ending);
}

enum { PLAIN, NORMALISED, POLYAK };

/* A gradient comes as mantissa and exponent. A plain step needs e^exponent, the others do not. */
static void descend(const problem* of, const char* run, int rule, double* w, long n_steps) {
  double* gradient = malloc(of->n * sizeof *gradient);
  void* gradients[1] = {gradient};
  const void* blocks[1] = {w};
  long moved = 0;
  for (; moved < n_steps; ++moved) {
    double exponent, squares = 0.0, eta;
    softstep_evaluation at = {.struct_size = sizeof at};
    need(softstep_evaluate(of->model, of->space, blocks, SOFTSTEP_WANT_GRADIENT | SOFTSTEP_WANT_LOSS_GAP,
                           NULL, 0, &at, gradients, &exponent));
    for (size_t k = 0; k < of->n; ++k) squares += gradient[k] * gradient[k];
    if (rule == PLAIN)
      eta = exp(exponent);
    else if (rule == NORMALISED)
      eta = 1.0 / sqrt(squares);
    else
      eta = 2.0 * at.loss_gap.mantissa / squares * exp(at.loss_gap.exponent - exponent);
    if (!(eta > 0.0)) break;
    for (size_t k = 0; k < of->n; ++k) w[k] -= eta * gradient[k];
  }
  report(of, run, moved, w, moved == n_steps ? "took all steps" : "the step is 0: the gradient underflows");
  free(gradient);
}

int main(int count, char** arguments) {
  if (count != 3) return puts("usage: example DATA TRAINED"), 2;
  need(softstep_require_abi(SOFTSTEP_C_ABI));
  softstep_dataset* data = NULL;
  problem of = {.batch = {.struct_size = sizeof(softstep_batch)}};
  need(softstep_dataset_load(arguments[1], SOFTSTEP_F64, &data));
  need(softstep_dataset_batch(data, &of.batch));
  need(softstep_attention_model_create(&of.batch, NULL, &of.model));
  need(softstep_workspace_create(of.model, &of.space));
  need(softstep_flat_size(of.model, &of.n));
  double* w = calloc(of.n, sizeof *w);
  of.limit = calloc(of.n, sizeof *w);
  of.trained = calloc(of.n, sizeof *w);
  need(softstep_solve_max_margin(&of.batch, NULL, of.limit, NULL));
  need(softstep_weights_load(arguments[2], of.batch.dim, of.trained));

  descend(&of, "plain gradient", PLAIN, w, 20000);
  for (size_t k = 0; k < of.n; ++k)
    w[k] = 3000.0 * of.limit[k]; /* margins above 1000: e^-1000 is no number */
  w[0] += 1000.0;
  descend(&of, "plain gradient, far out", PLAIN, w, 20000);
  memset(w, 0, of.n * sizeof *w);
  descend(&of, "normalised mantissa", NORMALISED, w, 20000);
  memset(w, 0, of.n * sizeof *w);
  descend(&of, "Polyak of scaled pairs", POLYAK, w, 20000);

  softstep_state* state = NULL;
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "polyak";
  options.n_steps = 20000;
  need(softstep_state_create(of.model, NULL, &state));
  softstep_train_summary summary = {.struct_size = sizeof summary};
  need(softstep_train(of.model, state, &options, &summary));
  need(softstep_state_block(state, 0, w, of.n));
  report(&of, "softstep_train, polyak", (long)summary.steps, w, summary.status);

  softstep_state_destroy(state);
  softstep_workspace_destroy(of.space);
  softstep_model_destroy(of.model);
  softstep_dataset_destroy(data);
  free(w);
  free(of.limit);
  free(of.trained);
  return 0;
}
