/* softstep over MPI from its installed headers, in C: each rank has its share of one data set, and all of
 * them have the weights of one process. With --plant one rank has the last bit of a weight wrong, which must
 * be found: exit code 1.
 */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include <softstep/c/softstep_mpi.h>

/* Samples above 512 numbers: one process then takes the sums that ranks take (docs/mpi.md, "Which bits"). */
enum { n_samples = 12, n_tokens = 24, dim = 96 };

static int failed = 0;

static void good(softstep_status status) {
  if (status == SOFTSTEP_OK) return;
  fprintf(stderr, "c_program: %s\n", softstep_last_message());
  MPI_Abort(MPI_COMM_WORLD, 2);
}

static void train(const softstep_batch* batch, const softstep_ranks* ranks, double* weights) {
  softstep_attention_options layer = {.struct_size = sizeof layer, .ranks = ranks};
  softstep_train_options training = {
      .struct_size = sizeof training, .rules = "ngd:step-size=1", .n_steps = 5, .form = "dense"};
  softstep_model* model = NULL;
  softstep_state* state = NULL;
  good(softstep_attention_model_create(batch, &layer, &model));
  good(softstep_state_create(model, NULL, &state));
  good(softstep_train(model, state, &training, NULL));
  good(softstep_state_block(state, 0, weights, dim * dim));
  softstep_state_destroy(state);
  softstep_model_destroy(model);
}

int main(int argc, char** argv) {
  int provided = 0, rank = 0, size = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  softstep_generate_options generating = {
      .struct_size = sizeof generating, .n_samples = n_samples, .n_tokens = n_tokens, .dim = dim};
  softstep_dataset* data = NULL;
  softstep_batch whole = {.struct_size = sizeof whole}, part;
  good(softstep_dataset_generate(&generating, &data));
  good(softstep_dataset_batch(data, &whole));

  softstep_ranks* ranks = NULL;
  size_t begin = 0, end = 0;
  good(softstep_ranks_create_mpi(MPI_COMM_WORLD, "samples", &ranks));
  good(softstep_ranks_share(ranks, n_samples, &begin, &end));
  part = whole;
  part.tokens = (const double*)whole.tokens + begin * n_tokens * dim;
  part.n_samples = end - begin;
  if (whole.labels) part.labels = whole.labels + begin;
  if (whole.query_index) part.query_index = whole.query_index + begin;
  if (whole.queries) part.queries = (const double*)whole.queries + begin * dim;

  static double alone[dim * dim], together[dim * dim];
  train(&whole, NULL, alone);
  train(&part, ranks, together);
  if (argc > 1 && strcmp(argv[1], "--plant") == 0 && rank == size - 1) ((unsigned char*)together)[0] ^= 1;
  failed = memcmp(alone, together, sizeof alone) != 0;
  softstep_ranks_destroy(ranks);
  softstep_dataset_destroy(data);

  int any = 0;
  MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0) printf("c_program: %d ranks, the weights of one process: %s\n", size, any ? "no" : "yes");
  MPI_Finalize();
  return any;
}
