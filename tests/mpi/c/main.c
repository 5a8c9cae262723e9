/* Runs over MPI in C against the same in one process, bit for bit: mpirun -n K softstep_mpi_c_tests FILE. The
 * communicator is one of the program's own, with its ranks in another order than MPI_COMM_WORLD has them.
 * With --plant the last bit of one answer is changed on one rank, which must be found: exit code 1.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "softstep/c/softstep_mpi.h"

/* Long enough for one process to take the sums that ranks take (docs/mpi.md, "Which bits"). */
enum { n_samples = 23, n_tokens = 20, dim = 104, n_weights = dim * dim };

static int n_compared = 0, n_wrong = 0, n_asked = 0;

static void good(softstep_status status, const char* what) {
  if (status == SOFTSTEP_OK) return;
  printf("%s: status %d: %s\n", what, (int)status, softstep_last_message());
  fflush(stdout);
  MPI_Abort(MPI_COMM_WORLD, 2);
  exit(2);
}
#define GOOD(call) good((call), #call)

static void expect(int holds, const char* what) {
  ++n_compared;
  if (holds) return;
  ++n_wrong;
  printf("not so: %s\n", what);
}

static int32_t last_rank_stops(void* user, int64_t step, double seconds) {
  (void)seconds;
  ++n_asked;
  return *(const int*)user && step > 0;
}

/* `rules` from the same start; null ranks: alone. */
static void trained(const softstep_batch* batch, const softstep_ranks* ranks, const char* rules, int joint,
                    double* weights) {
  softstep_attention_options options = {.struct_size = sizeof options};
  options.ranks = ranks;
  options.train_decoder = joint;
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  GOOD(softstep_attention_model_create(batch, &options, &model));
  GOOD(softstep_state_create_normal(model, 0.05, 7, &state));
  softstep_train_options training = {.struct_size = sizeof training};
  training.rules = rules;
  training.n_steps = 7;
  training.batch_size = joint ? 5 : 0;
  if (!joint) training.form = "dense";
  GOOD(softstep_train(model, state, &training, NULL));
  GOOD(softstep_state_block(state, 0, weights, n_weights));
  softstep_state_destroy(state);
  softstep_model_destroy(model);
}

static void compare(const softstep_batch* whole, const softstep_batch* part, const softstep_ranks* ranks,
                    int plant) {
  static double alone[n_weights], together[n_weights];
  static const char* const rules[] = {"gd:step-size=20", "ngd:step-size=1", "polyak", "adam", "ngd;gd"};
  for (size_t k = 0; k < sizeof rules / sizeof rules[0]; ++k) {
    const int joint = strchr(rules[k], ';') != NULL;
    trained(whole, NULL, rules[k], joint, alone);
    trained(part, ranks, rules[k], joint, together);
    size_t rank = 0;
    GOOD(softstep_ranks_place(ranks, &rank, NULL));
    if (plant && rank == 1 && k == 1) ((unsigned char*)together)[0] ^= 1;
    expect(memcmp(alone, together, sizeof alone) == 0, rules[k]);
  }

  enum { n_multipliers = n_samples * n_tokens };
  static double of_one[n_multipliers], of_all[n_multipliers];
  softstep_max_margin_options solving = {.struct_size = sizeof solving};
  softstep_max_margin_result first = {.struct_size = sizeof first}, second = {.struct_size = sizeof second};
  solving.multipliers = of_one;
  solving.n_multipliers = n_multipliers;
  GOOD(softstep_solve_max_margin(whole, &solving, alone, &first));
  solving.multipliers = of_all;
  solving.ranks = ranks;
  GOOD(softstep_solve_max_margin(part, &solving, together, &second));
  expect(strcmp(first.status, "optimal") == 0, "the problem is solved");
  expect(memcmp(alone, together, sizeof alone) == 0, "weights of the solver");
  expect(memcmp(of_one, of_all, sizeof of_one) == 0, "multipliers of all samples on every rank");
  expect(memcmp(&first, &second, sizeof first) == 0, "the certificate");
}

/* Sums in any order: near the run of one process, and the same on all ranks. */
static void any_order(const softstep_batch* whole, const softstep_batch* part, MPI_Comm communicator) {
  static double alone[n_weights], together[n_weights], first[n_weights];
  softstep_ranks* ranks = NULL;
  GOOD(softstep_ranks_create_mpi(communicator, "any", &ranks));
  trained(whole, NULL, "ngd:step-size=1", 0, alone);
  trained(part, ranks, "ngd:step-size=1", 0, together);
  memcpy(first, together, sizeof first);
  MPI_Bcast(first, n_weights, MPI_DOUBLE, 0, communicator);
  expect(memcmp(first, together, sizeof first) == 0, "sums in any order have the same bits on all ranks");
  /* A direction is off by 23 terms' rounding, 2.6e-15; this leaves 5 digits for what seven steps make of it.
   */
  double most = 0.0;
  for (size_t k = 0; k < n_weights; ++k) most = fmax(most, fabs(alone[k] - together[k]));
  expect(most <= 1e-10, "sums in any order go where one process goes");
  softstep_ranks_destroy(ranks);
}

/* One rank's callback stops all of them in the same step. */
static void stop_one(const softstep_batch* part, MPI_Comm communicator) {
  softstep_ranks* ranks = NULL;
  GOOD(softstep_ranks_create_mpi(communicator, "samples", &ranks));
  size_t rank = 0, size = 0;
  GOOD(softstep_ranks_place(ranks, &rank, &size));
  int stops = rank + 1 == size;
  softstep_attention_options options = {.struct_size = sizeof options};
  options.ranks = ranks;
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  GOOD(softstep_attention_model_create(part, &options, &model));
  GOOD(softstep_state_create(model, NULL, &state));
  softstep_train_options training = {.struct_size = sizeof training};
  training.n_steps = 100000000;
  training.user = &stops;
  training.progress = last_rank_stops;
  softstep_train_summary summary = {.struct_size = sizeof summary};
  GOOD(softstep_train(model, state, &training, &summary));
  expect(strcmp(summary.status, "interrupted") == 0, "all ranks are interrupted");
  long steps = (long)summary.steps, least = 0, most = 0;
  MPI_Allreduce(&steps, &least, 1, MPI_LONG, MPI_MIN, communicator);
  MPI_Allreduce(&steps, &most, 1, MPI_LONG, MPI_MAX, communicator);
  expect(least == most && n_asked > 0, "in the same step");
  softstep_state_destroy(state);
  softstep_model_destroy(model);
  softstep_ranks_destroy(ranks);
}

static void refused(MPI_Comm communicator, const char* word) {
  softstep_ranks* ranks = NULL;
  expect(softstep_ranks_create_mpi(communicator, NULL, &ranks) == SOFTSTEP_FAILED && ranks == NULL &&
             strstr(softstep_last_message(), word) != NULL &&
             strcmp(softstep_last_argument(), "communicator") == 0,
         word);
}

/* What is no communicator of one group of processes. */
static void wrong_communicators(int rank, int size) {
  refused(MPI_COMM_NULL, "MPI_COMM_NULL");
  if (size == 1) return;
  MPI_Comm half = MPI_COMM_NULL, between = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank != 0, rank, &half);
  MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, rank == 0, 1, &between);
  refused(between, "intercommunicator");
  MPI_Comm_free(&between);
  MPI_Comm_free(&half);
}

int main(int argc, char** argv) {
  softstep_ranks* ranks = NULL;
  expect(softstep_ranks_create_mpi(MPI_COMM_WORLD, NULL, &ranks) == SOFTSTEP_FAILED &&
             strstr(softstep_last_message(), "initialised") != NULL &&
             strcmp(softstep_last_argument(), "communicator") == 0,
         "MPI that is not initialised is a failure with a message");
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  const char* path = argc > 1 ? argv[1] : "mpi_c.safetensors";
  const int plant = argc > 2 && strcmp(argv[2], "--plant") == 0;
  int world = 0, n_world = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &world);
  MPI_Comm_size(MPI_COMM_WORLD, &n_world);
  wrong_communicators(world, n_world);
  MPI_Comm turned = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, 0, n_world - world, &turned);
  expect(softstep_ranks_create_mpi(turned, NULL, NULL) == SOFTSTEP_BAD_ARGUMENT, "nowhere to put the ranks");
  GOOD(softstep_ranks_create_mpi(turned, NULL, &ranks));
  softstep_ranks* unmade = NULL;
  expect(softstep_ranks_create_mpi(turned, "some", &unmade) == SOFTSTEP_BAD_ARGUMENT &&
             strcmp(softstep_last_argument(), "sum_order") == 0 && unmade == NULL,
         "an order that is not known");

  softstep_generate_options generating = {.struct_size = sizeof generating};
  generating.n_samples = n_samples;
  generating.n_tokens = n_tokens;
  generating.dim = dim;
  generating.seed = 3;
  softstep_dataset *all = NULL, *mine = NULL;
  GOOD(softstep_dataset_generate(&generating, &all));
  if (world == 0) GOOD(softstep_dataset_save(path, all));
  MPI_Barrier(MPI_COMM_WORLD);
  GOOD(softstep_dataset_load_part(path, SOFTSTEP_F64, ranks, &mine));
  softstep_batch whole = {.struct_size = sizeof whole}, part = {.struct_size = sizeof part};
  GOOD(softstep_dataset_batch(all, &whole));
  GOOD(softstep_dataset_batch(mine, &part));
  size_t begin = 0, end = 0;
  GOOD(softstep_ranks_share(ranks, n_samples, &begin, &end));
  expect(part.n_samples == end - begin, "the file's part is this rank's share");
  compare(&whole, &part, ranks, plant);
  softstep_dataset* none = NULL;
  expect(softstep_dataset_load_part("missing.safetensors", SOFTSTEP_F64, ranks, &none) != SOFTSTEP_OK,
         "a file that is not there fails on all ranks");
  softstep_ranks_destroy(ranks);
  any_order(&whole, &part, turned);
  stop_one(&part, turned);
  softstep_dataset_destroy(mine);
  softstep_dataset_destroy(all);

  MPI_Comm_free(&turned);
  int n_wrong_of_all = 0;
  MPI_Allreduce(&n_wrong, &n_wrong_of_all, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  if (world == 0) printf("C: %d compared on %d ranks, %d differ\n", n_compared, n_world, n_wrong_of_all);
  MPI_Finalize();
  return n_wrong_of_all == 0 ? 0 : 1;
}
