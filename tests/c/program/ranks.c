/* Ranks by functions of the program's own. There is one, so that what one process gives is what is wanted;
 * tests/mpi has several. */
#include <math.h>
#include <string.h>

#include "program.h"

enum { n_weights = small_dim * small_dim };

static int destroyed = 0;
static const char* give(void* user, const void* mine, size_t n, void* all) {
  (void)user;
  memcpy(all, mine, n);
  return NULL;
}
static const char* give_all(void* user, void* data, size_t n, size_t from) {
  (void)user, (void)data, (void)n, (void)from;
  return NULL;
}
static const char* receive(void* user, void* data, size_t n) {
  (void)user, (void)data, (void)n;
  return "there is no rank before the first";
}
static const char* send(void* user, const void* data, size_t n) {
  (void)user, (void)data, (void)n;
  return "there is no rank after the last";
}
static const char* flush(void* user) {
  (void)user;
  return NULL;
}
static void destroy(void* user) { ++*(int*)user; }

static int32_t stop_at_once(void* user, int64_t step, double seconds) {
  (void)user, (void)step, (void)seconds;
  return 1;
}

static int32_t stop_once(void* n_asked, const softstep_trace_row* row) {
  (void)row;
  return ++*(int*)n_asked == 1;
}

static int32_t ask_all(void* ranks, int64_t step, double seconds) {
  (void)step, (void)seconds;
  return softstep_ranks_ask_to_stop((const softstep_ranks*)ranks) == SOFTSTEP_OK ? 0 : 1;
}

/* Jointly with the decoder, for which one process takes the sums that ranks take (docs/mpi.md). */
static void train_for(const softstep_batch* batch, const softstep_ranks* ranks, double* weights) {
  softstep_attention_options options = {.struct_size = sizeof options};
  options.ranks = ranks;
  options.train_decoder = 1;
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  GOOD(softstep_attention_model_create(batch, &options, &model));
  GOOD(softstep_state_create(model, NULL, &state));
  softstep_train_options training = {.struct_size = sizeof training};
  training.n_steps = 20;
  GOOD(softstep_train(model, state, &training, NULL));
  GOOD(softstep_state_block(state, 0, weights, n_weights));
  softstep_state_destroy(state);
  softstep_model_destroy(model);
}

void test_ranks(const char* path) {
  softstep_own_ranks own = {.struct_size = sizeof own};
  softstep_ranks* ranks = NULL;
  BAD("own", softstep_ranks_create(NULL, &ranks));
  BAD("own.gather", softstep_ranks_create(&own, &ranks));
  own.gather = give;
  own.broadcast = give_all;
  own.receive = receive;
  own.send = send;
  own.flush = flush;
  own.destroy = destroy;
  own.user = &destroyed;
  BAD("own.rank", softstep_ranks_create(&own, &ranks));
  own.size = 1;
  BAD("ranks", softstep_ranks_create(&own, NULL));
  REQUIRE(destroyed == 0); /* what was not made is not destroyed */
  GOOD(softstep_ranks_create(&own, &ranks));

  size_t rank = 9, size = 9, begin = 9, end = 9;
  GOOD(softstep_ranks_place(ranks, &rank, &size));
  REQUIRE(rank == 0 && size == 1);
  GOOD(softstep_ranks_share(ranks, 7, &begin, &end));
  REQUIRE(begin == 0 && end == 7);
  BAD("ranks", softstep_ranks_share(ranks, 0, &begin, &end));

  softstep_dataset *data = small_data(), *part = NULL;
  GOOD(softstep_dataset_save(path, data));
  BAD("type", softstep_dataset_load_part(path, SOFTSTEP_BF16, ranks, &part));
  GOOD(softstep_dataset_load_part(path, SOFTSTEP_F64, ranks, &part));
  const softstep_batch whole = batch_of(data), batch = batch_of(part);
  double alone[n_weights], together[n_weights];
  train_for(&whole, NULL, alone);
  train_for(&batch, ranks, together);
  REQUIRE(memcmp(alone, together, sizeof alone) == 0);

  softstep_max_margin_options solving = {.struct_size = sizeof solving};
  GOOD(softstep_solve_max_margin(&whole, &solving, alone, NULL));
  solving.ranks = ranks;
  GOOD(softstep_solve_max_margin(&batch, &solving, together, NULL));
  REQUIRE(memcmp(alone, together, sizeof alone) == 0);
  require_status(softstep_solve_max_margin_in_norm(&batch, "nuclear", 0.0, &solving, NULL, NULL),
                 SOFTSTEP_NOT_SUPPORTED, "options.ranks", "ranks in another norm", __FILE__, __LINE__);

  /* The model outlives the handle. */
  softstep_attention_options options = {.struct_size = sizeof options};
  options.ranks = ranks;
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  GOOD(softstep_attention_model_create(&batch, &options, &model));
  /* A callback stops its run, and no later one with the same ranks. */
  int n_asked = 0;
  softstep_train_options once = {.struct_size = sizeof once};
  once.n_steps = 20;
  once.form = "dense";
  once.trace = stop_once;
  once.user = &n_asked;
  softstep_train_summary summary = {.struct_size = sizeof summary};
  for (int run = 0; run < 2; ++run) {
    GOOD(softstep_state_create(model, NULL, &state));
    GOOD(softstep_train(model, state, &once, &summary));
    REQUIRE(strcmp(summary.status, run == 0 ? "interrupted" : "max_iterations") == 0);
    softstep_state_destroy(state);
  }
  const char* const two_rules[] = {"gd", "ngd"};
  softstep_train_summary of_both[2] = {summary, summary};
  n_asked = 0;
  GOOD(softstep_compare(model, NULL, two_rules, 2, &once, of_both, NULL));
  REQUIRE(strcmp(of_both[0].status, "interrupted") == 0);
  REQUIRE(strcmp(of_both[1].status, "max_iterations") == 0);

  softstep_train_options asking = {.struct_size = sizeof asking};
  asking.n_steps = 100000000;
  asking.form = "dense";
  asking.progress = ask_all;
  asking.user = ranks;
  const char* const rules[] = {"gd"};
  softstep_train_summary compared = {.struct_size = sizeof compared};
  GOOD(softstep_compare(model, NULL, rules, 1, &asking, &compared, NULL));
  REQUIRE(strcmp(compared.status, "interrupted") == 0);
  GOOD(softstep_ranks_ask_to_stop(ranks));
  softstep_ranks_destroy(ranks);
  REQUIRE(destroyed == 0);
  GOOD(softstep_state_create(model, NULL, &state));
  softstep_train_options training = {.struct_size = sizeof training};
  training.n_steps = 1000;
  training.form = "dense";
  training.progress = stop_at_once;
  GOOD(softstep_train(model, state, &training, &summary));
  REQUIRE(strcmp(summary.status, "interrupted") == 0 && summary.steps < 1000);
  softstep_state_destroy(state);
  softstep_model_destroy(model);
  REQUIRE(destroyed == 1);

  REQUIRE(softstep_set_failure(SOFTSTEP_FAILED, "network", "network: gone") == SOFTSTEP_FAILED);
  REQUIRE(strcmp(softstep_last_message(), "network: gone") == 0);
  REQUIRE(strcmp(softstep_last_argument(), "network") == 0);
  softstep_dataset_destroy(part);
  softstep_dataset_destroy(data);
}
