#include <stdio.h>
#include <string.h>

#include "program.h"

enum { n_weights = small_dim * small_dim };

/* Takes steps up to the 40th, from the newest checkpoint where there is one; at most n_steps of them. */
static void run_on(const softstep_model* model, softstep_checkpoints* kept, int64_t n_steps,
                   double* weights) {
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "adam";
  options.checkpoints = kept;
  options.checkpoint_steps = 5;
  softstep_state* state = NULL;
  GOOD(softstep_checkpoints_newest(kept, model, &options, &state));
  if (state == NULL) GOOD(softstep_state_create(model, NULL, &state));
  int64_t step = -1;
  GOOD(softstep_state_step(state, &step));
  options.n_steps = n_steps < 40 - step ? n_steps : 40 - step;
  GOOD(softstep_train(model, state, &options, NULL));
  GOOD(softstep_state_block(state, 0, weights, n_weights));
  GOOD(softstep_checkpoints_write(kept, model, state, &options));
  options.rules = "polyak";
  softstep_state* of_another = NULL;
  REQUIRE(softstep_checkpoints_newest(kept, model, &options, &of_another) == SOFTSTEP_BAD_ARGUMENT);
  softstep_state_destroy(state);
}

/* What an earlier run of this program has left. */
static void remove_all(const char* folder) {
  char path[4200];
  for (int step = 0; step <= 40; ++step) {
    snprintf(path, sizeof path, "%s/step-%020d.safetensors", folder, step);
    remove(path);
  }
}

void test_checkpoints(const char* folder) {
  remove_all(folder);
  softstep_dataset* data = small_data();
  softstep_batch batch = batch_of(data);
  softstep_model* model = NULL;
  GOOD(softstep_attention_model_create(&batch, NULL, &model));
  double whole[n_weights], parts[n_weights];
  softstep_state* state = NULL;
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "adam";
  options.n_steps = 40;
  GOOD(softstep_state_create(model, NULL, &state));
  GOOD(softstep_train(model, state, &options, NULL));
  GOOD(softstep_state_block(state, 0, whole, n_weights));

  softstep_checkpoints *kept = NULL, *again = NULL;
  GOOD(softstep_checkpoints_open(folder, 2, &kept));
  REQUIRE(softstep_checkpoints_open(folder, 2, &again) == SOFTSTEP_BAD_ARGUMENT);
  run_on(model, kept, 17, parts);
  REQUIRE(memcmp(whole, parts, sizeof whole) != 0);
  softstep_checkpoints_close(kept);
  GOOD(softstep_checkpoints_open(folder, 0, &kept));
  run_on(model, kept, 40, parts);
  REQUIRE(memcmp(whole, parts, sizeof whole) == 0);

  options.checkpoints = kept;
  const char* rules[1] = {"ngd"};
  options.rules = NULL;
  BAD("options.checkpoints", softstep_compare(model, NULL, rules, 1, &options, NULL, NULL));
  options.checkpoint_steps = -1;
  BAD("checkpoint_steps", softstep_train(model, state, &options, NULL));
  options.checkpoints = NULL;
  BAD("options.checkpoint_steps", softstep_train(model, state, &options, NULL));
  options.checkpoint_steps = 0;
  options.checkpoint_seconds = 1.0;
  BAD("options.checkpoint_seconds", softstep_train(model, state, &options, NULL));
  BAD("folder", softstep_checkpoints_open(NULL, 0, &again));
  BAD("keep", softstep_checkpoints_open("another", -1, &again));
  softstep_checkpoints_close(kept);
  softstep_checkpoints_close(NULL);
  remove_all(folder);
  softstep_state_destroy(state);
  softstep_model_destroy(model);
  softstep_dataset_destroy(data);
}
