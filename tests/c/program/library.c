#include <string.h>

#include "program.h"

void test_library(void) {
  char name[16];
  REQUIRE(softstep_abi() == SOFTSTEP_C_ABI);
  GOOD(softstep_require_abi(SOFTSTEP_C_ABI));
  BAD("abi", softstep_require_abi(SOFTSTEP_C_ABI + 1));
  REQUIRE(strlen(softstep_version()) >= 5);
  REQUIRE(softstep_available_threads() >= 1);
  GOOD(softstep_active_isa(name, sizeof name));
  BAD("size", softstep_active_isa(name, 2));
  BAD("name", softstep_active_isa(NULL, sizeof name));
  GOOD(softstep_force_isa("auto"));
  BAD("name", softstep_force_isa(NULL));
  REQUIRE(softstep_force_isa("abacus") == SOFTSTEP_BAD_ARGUMENT);
  REQUIRE(strstr(softstep_last_message(), "abacus") != NULL);
}

/* Every way to use a handle that has been destroyed is an error with a message. */
void test_destroyed(void) {
  if (!softstep_checks_handles()) return;
  softstep_dataset* data = small_data();
  softstep_batch batch = batch_of(data);
  softstep_model *model = NULL, *next = NULL;
  softstep_workspace* space = NULL;
  softstep_state* state = NULL;
  softstep_heads_state* heads = NULL;
  GOOD(softstep_attention_model_create(&batch, NULL, &model));
  GOOD(softstep_workspace_create(model, &space));
  GOOD(softstep_state_create(model, NULL, &state));
  GOOD(softstep_heads_state_create(SOFTSTEP_F64, &heads));
  size_t n = 0;
  int64_t step = 0;
  double weights[small_dim * small_dim] = {0};
  const void* blocks[1] = {weights};

  /* Of another kind. */
  BAD("model", softstep_model_n_blocks((const softstep_model*)(const void*)state, &n));
  softstep_workspace_destroy(space);
  BAD("workspace", softstep_evaluate(model, space, blocks, SOFTSTEP_WANT_LOSS, NULL, 0, NULL, NULL, NULL));
  softstep_model_destroy(model);
  GOOD(softstep_attention_model_create(&batch, NULL, &next)); /* not at the same place */
  BAD("model", softstep_model_n_blocks(model, &n));
  BAD("model", softstep_train(model, state, NULL, NULL));
  softstep_model_destroy(next);
  softstep_state_destroy(state);
  BAD("state", softstep_state_step(state, &step));
  softstep_dataset_destroy(data);
  BAD("dataset", softstep_dataset_batch(data, &batch));
  softstep_heads_state_destroy(heads);
  REQUIRE(softstep_force_isa("abacus") == SOFTSTEP_BAD_ARGUMENT);
  softstep_heads_state_destroy(heads);
  REQUIRE(strcmp(softstep_last_message(), "state: destroyed already, or not made by softstep") == 0);
}
