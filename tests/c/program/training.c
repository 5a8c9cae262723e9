#include <math.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

enum { n_weights = small_dim * small_dim };

static int32_t count_row(void* user, const softstep_trace_row* row) {
  ++((int*)user)[0];
  return row->step >= 60 ? 1 : 0;
}
static int32_t count_progress(void* user, int64_t step, double seconds) {
  ++((int*)user)[1];
  return step >= 0 && seconds >= 0.0 ? 0 : 1;
}
static int32_t unit_step(void* user, const softstep_step_context* at, const double* memory, double* next,
                         double* direction, softstep_step* step) {
  (void)user;
  (void)direction;
  next[0] = memory == NULL ? 1.0 : memory[0] + 1.0;
  step->along_gradient = 1;
  step->coefficient = 1.0 / at->gradient_norm;
  step->length = 1.0;
  return 0;
}

/* Rows of the step that every run begins with, and rows in all. */
static int32_t count_runs(void* user, const softstep_trace_row* row) {
  if (row->step == 0) ++((int*)user)[0];
  ++((int*)user)[1];
  return 0;
}

static void test_many_runs(const softstep_model* model) {
  const char* rules[2] = {"ngd", "polyak"};
  const char* no_rule[1] = {NULL};
  const double lengths[3] = {0.5, 1.0, 2.0};
  double found[n_weights], wanted[n_weights];
  int counts[2] = {0, 0};
  softstep_train_options options = {.struct_size = sizeof options};
  options.n_steps = 20;
  options.user = counts;
  options.trace = count_runs;
  softstep_train_summary summaries[6];
  softstep_state* ends[6] = {NULL};
  for (int k = 0; k < 6; ++k) summaries[k].struct_size = sizeof summaries[k];
  GOOD(softstep_compare(model, NULL, rules, 2, &options, summaries, ends));
  REQUIRE(counts[0] == 2 && counts[1] > 4 && summaries[1].steps == 20);
  softstep_state_destroy(ends[0]);

  options.trace = NULL;
  softstep_state* start = ends[1];
  GOOD(softstep_sweep(model, start, rules, 2, "step-size", lengths, 0, &options, NULL, NULL)); /* no runs */
  GOOD(softstep_sweep(model, start, rules, 1, "step-size", lengths, 3, &options, summaries, ends));
  for (int k = 0; k < 3; ++k) {
    GOOD(softstep_state_block(ends[k], 0, found, n_weights));
    GOOD(softstep_state_block(start, 0, wanted, n_weights));
    REQUIRE(memcmp(found, wanted, sizeof found) != 0 && summaries[k].steps == 20);
    softstep_state_destroy(ends[k]);
  }
  options.rules = "ngd";
  BAD("options.rules", softstep_compare(model, start, rules, 2, &options, NULL, NULL));
  options.rules = NULL;
  BAD("rules", softstep_compare(model, start, NULL, 2, &options, NULL, NULL));
  BAD("rules[0]", softstep_compare(model, start, no_rule, 1, &options, NULL, NULL));
  BAD("option", softstep_sweep(model, start, rules, 2, NULL, lengths, 3, &options, NULL, NULL));
  BAD("values", softstep_sweep(model, start, rules, 2, "step-size", NULL, 3, &options, NULL, NULL));
  REQUIRE(softstep_sweep(model, start, rules, 1, "stride", lengths, 3, &options, NULL, ends) ==
          SOFTSTEP_BAD_ARGUMENT);
  BAD("options", softstep_compare(model, start, rules, 2, NULL, NULL, NULL));
  summaries[1].struct_size = 16;
  BAD("summaries[1].struct_size", softstep_compare(model, start, rules, 2, &options, summaries, NULL));

  const softstep_model* models[2] = {model, model};
  softstep_state* states[2] = {start, NULL};
  const softstep_train_options* of_runs[2] = {&options, &options};
  summaries[1].struct_size = sizeof summaries[1];
  GOOD(softstep_state_create(model, NULL, &states[1]));
  GOOD(softstep_train_many(models, states, of_runs, 0, 1, NULL)); /* no runs */
  GOOD(softstep_train_many(models, states, of_runs, 2, -1, summaries));
  REQUIRE(summaries[0].steps == 20 && summaries[1].steps == 20);
  BAD("models", softstep_train_many(NULL, states, of_runs, 2, 1, summaries));
  BAD("states", softstep_train_many(models, NULL, of_runs, 2, 1, summaries));
  BAD("options", softstep_train_many(models, states, NULL, 2, 1, summaries));
  BAD("n_threads", softstep_train_many(models, states, of_runs, 2, -2, summaries));
  of_runs[1] = NULL;
  BAD("options[1]", softstep_train_many(models, states, of_runs, 2, 1, summaries));
  models[1] = NULL;
  BAD("models[1]", softstep_train_many(models, states, of_runs, 2, 1, summaries));
  softstep_state_destroy(states[1]);
  softstep_state_destroy(start);
}

void test_training(const char* path) {
  softstep_dataset *data = small_data(), *loaded = NULL;
  GOOD(softstep_dataset_save(path, data));
  GOOD(softstep_dataset_load(path, SOFTSTEP_F32, &loaded));
  REQUIRE(batch_of(loaded).type == SOFTSTEP_F32 && batch_of(loaded).n_samples == small_samples);
  softstep_dataset_destroy(loaded);
  loaded = NULL;
  GOOD(softstep_dataset_load_within(path, SOFTSTEP_F64, 4194304, &loaded));
  REQUIRE(batch_of(loaded).type == SOFTSTEP_F64 && batch_of(loaded).n_samples == small_samples);
  softstep_dataset_destroy(loaded);
  loaded = NULL;
  REQUIRE(softstep_dataset_load(path, SOFTSTEP_F16, &loaded) == SOFTSTEP_BAD_FILE);
  BAD("type", softstep_dataset_load(path, 7, &loaded));
  REQUIRE(softstep_dataset_load("no/such/file", SOFTSTEP_F64, &loaded) == SOFTSTEP_IO_ERROR);
  BAD("path", softstep_dataset_load(NULL, SOFTSTEP_F64, &loaded));
  BAD("resident_bytes", softstep_dataset_load_within(path, SOFTSTEP_F64, 1000, &loaded));
  REQUIRE(loaded == NULL);

  const softstep_batch batch = batch_of(data);
  softstep_model* model = NULL;
  softstep_state *state = NULL, *second = NULL;
  double limit[n_weights], weights[n_weights], other[n_weights], one_minus_cos = 1.0;
  const double* blocks[1] = {limit};
  const double* no_block[1] = {NULL};
  int counts[2] = {0, 0};
  int64_t step = -1;
  GOOD(softstep_solve_max_margin(&batch, NULL, limit, NULL));
  GOOD(softstep_attention_model_create(&batch, NULL, &model));
  GOOD(softstep_state_create(model, NULL, &state));
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "polyak";
  options.n_steps = 50;
  options.reference = limit;
  options.reference_size = n_weights;
  options.user = counts;
  options.trace = count_row;
  options.progress = count_progress;
  softstep_train_summary summary = {.struct_size = sizeof summary};
  GOOD(softstep_train(model, state, &options, &summary));
  REQUIRE(strcmp(summary.status, "max_iterations") == 0 && summary.steps == 50 && counts[0] > 5);
  GOOD(softstep_state_save(path, model, state, &options));
  GOOD(softstep_state_load(path, model, &options, &second));
  GOOD(softstep_state_step(second, &step));
  REQUIRE(step == 50);
  options.n_steps = 1000;
  GOOD(softstep_train(model, second, &options, &summary));
  REQUIRE(strcmp(summary.status, "interrupted") == 0);
  GOOD(softstep_state_block(second, 0, weights, n_weights));
  GOOD(softstep_observe(model, second, 0, other, n_weights));
  REQUIRE(memcmp(weights, other, sizeof weights) == 0);
  GOOD(softstep_compare_direction(weights, limit, n_weights, &one_minus_cos, NULL));
  REQUIRE(one_minus_cos == summary.last.one_minus_cos);
  GOOD(softstep_weights_save(path, small_dim, weights));
  GOOD(softstep_weights_load(path, small_dim, other));
  REQUIRE(memcmp(weights, other, sizeof weights) == 0);
  REQUIRE(softstep_weights_load(path, small_dim + 1, other) == SOFTSTEP_BAD_FILE);
  BAD("weights", softstep_weights_load(path, small_dim, NULL));
  softstep_state_destroy(second);
  second = NULL;

  softstep_own_rule rule = {.struct_size = sizeof rule};
  rule.name = "unit";
  rule.moves_along_gradient = 1;
  rule.n_memory = 1;
  rule.propose = unit_step;
  options.own_rule = &rule;
  options.trace = NULL;
  options.n_steps = 20;
  GOOD(softstep_train(model, state, &options, &summary));
  REQUIRE(summary.steps == 20);
  softstep_state_destroy(state);
  GOOD(softstep_state_create_normal(model, 0.1, 7, &state));
  softstep_state_destroy(state);
  state = NULL;
  GOOD(softstep_state_create(model, blocks, &state));

  BAD("blocks[0]", softstep_state_create(model, no_block, &second));
  BAD("state", softstep_train(model, NULL, &options, NULL));
  BAD("options", softstep_train(model, state, NULL, NULL));
  BAD("size", softstep_state_block(state, 0, weights, 3));
  BAD("values", softstep_observe(model, state, 0, NULL, n_weights));
  options.rules = "leap";
  options.own_rule = NULL;
  REQUIRE(softstep_train(model, state, &options, NULL) == SOFTSTEP_BAD_ARGUMENT);
  options.rules = "ngd";
  options.reference_size = 3;
  REQUIRE(softstep_train(model, state, &options, NULL) == SOFTSTEP_BAD_ARGUMENT);
  softstep_state_destroy(state);
  test_many_runs(model);
  softstep_model_destroy(model);
  softstep_dataset_destroy(data);
  remove(path);
}
