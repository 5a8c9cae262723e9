#include <math.h>
#include <string.h>

#include "program.h"

static void require_blocks(const softstep_model* model, size_t n, const char* last) {
  size_t n_blocks = 0, n_rows = 0, n_cols = 0;
  const char* name = NULL;
  GOOD(softstep_model_n_blocks(model, &n_blocks));
  REQUIRE(n_blocks == n);
  GOOD(softstep_model_block(model, n - 1, &name, &n_rows, &n_cols));
  REQUIRE(strcmp(name, last) == 0);
}

static void test_vocabulary_attention(void) {
  double tokens[5 * 2], probabilities[2] = {1, 2}, labels[3] = {1, 1, 3}, head[3 * 2], directions[2 * 4];
  size_t first[3] = {0, 2, 5}, first_next[3] = {0, 1, 3}, next[3] = {0, 1, 2};
  fill(tokens, 10, 3);
  fill(head, 6, 4);
  fill(directions, 8, 5);
  softstep_sentence_data data = {.struct_size = sizeof data};
  data.vocabulary = 3;
  data.dim = 2;
  data.n_sentences = 2;
  data.tokens = tokens;
  data.first = first;
  data.probabilities = probabilities;
  data.first_next = first_next;
  data.next = next;
  data.labels = labels;
  softstep_model* model = NULL;
  double entropy = 0.0;
  GOOD(softstep_sentence_entropy(&data, &entropy)); /* two thirds of that of (1/4, 3/4) */
  REQUIRE(fabs(entropy - 2.0 / 3.0 * (2.0 * log(2.0) - 0.75 * log(3.0))) <= 1e-14);
  GOOD(softstep_vocabulary_attention_model_create(&data, NULL, &model));
  require_blocks(model, 2, "values");
  REQUIRE(evaluated(model) > entropy);
  softstep_model_destroy(model);
  softstep_vocabulary_options options = {.struct_size = sizeof options};
  options.mixing = "linear";
  options.n_directions = 2;
  options.directions = directions;
  options.values = head;
  options.has_feed_forward = 1;
  GOOD(softstep_vocabulary_attention_model_create(&data, &options, &model));
  require_blocks(model, 2, "feed_forward");
  REQUIRE(evaluated(model) > entropy);
  softstep_model_destroy(model);
  options.feed_forward = head;
  options.mixing = "softmax";
  options.infimum = "best token";
  GOOD(softstep_vocabulary_attention_model_create(&data, &options, &model));
  require_blocks(model, 1, "scales");
  softstep_model_destroy(model);
  options.mixing = "hard";
  BAD("options.mixing", softstep_vocabulary_attention_model_create(&data, &options, &model));
  options.mixing = NULL;
  options.n_directions = 0;
  BAD("options.n_directions", softstep_vocabulary_attention_model_create(&data, &options, &model));
  options.n_directions = (size_t)-1;
  BAD("options.n_directions", softstep_vocabulary_attention_model_create(&data, &options, &model));
  options.n_directions = 2;
  options.type = SOFTSTEP_F16;
  BAD("options.type", softstep_vocabulary_attention_model_create(&data, &options, &model));
  next[2] = 3;
  BAD("next", softstep_sentence_entropy(&data, &entropy));
  first[1] = 6;
  BAD("data.first", softstep_sentence_entropy(&data, &entropy));
  data.n_sentences = (size_t)-1;
  BAD("data.n_sentences", softstep_sentence_entropy(&data, &entropy));
  BAD("data", softstep_vocabulary_attention_model_create(NULL, NULL, &model));
}

static void test_gated(void) {
  const double spectrum[2] = {1, 0.5}, correlations[2] = {0.25, 0.75}, gates[1] = {0.5};
  const size_t n_examples[2] = {3, 4};
  double weights[2], loss = 0.0, other = 0.0;
  softstep_multitask_regression data = {.struct_size = sizeof data};
  data.dim = 2;
  data.n_tasks = 2;
  data.spectrum = spectrum;
  data.n_examples = n_examples;
  data.correlations = correlations;
  data.noise = 0.1;
  softstep_model* model = NULL;
  GOOD(softstep_gated_model_create(&data, NULL, NULL, SOFTSTEP_F64, NULL, &model));
  require_blocks(model, 2, "gates");
  GOOD(softstep_multitask_weights(&data, weights));
  GOOD(softstep_multitask_loss(&data, weights, &loss));
  REQUIRE(weights[1] == 1.0 && weights[0] > 0.0 && weights[0] < 1.0 && evaluated(model) > loss);
  softstep_model_destroy(model);
  weights[0] += 0.1;
  GOOD(softstep_multitask_loss(&data, weights, &other));
  REQUIRE(other > loss);
  GOOD(softstep_gated_model_create(&data, "constant", gates, SOFTSTEP_F32, NULL, &model));
  require_blocks(model, 1, "matrix");
  softstep_model_destroy(model);
  GOOD(softstep_gated_model_create(&data, "free", NULL, SOFTSTEP_F64, NULL, &model));
  require_blocks(model, 2, "weights");
  softstep_model_destroy(model);
  BAD("gates", softstep_gated_model_create(&data, "constant", NULL, SOFTSTEP_F64, NULL, &model));
  BAD("weights", softstep_gated_model_create(&data, "open", NULL, SOFTSTEP_F64, NULL, &model));
  BAD("type", softstep_gated_model_create(&data, NULL, NULL, SOFTSTEP_BF16, NULL, &model));
  BAD("weights", softstep_multitask_loss(&data, NULL, &loss));
  data.n_tasks = (size_t)-1;
  BAD("data.n_tasks", softstep_multitask_weights(&data, weights));
  data.n_tasks = 2;
  data.correlations = NULL;
  BAD("data.correlations", softstep_multitask_weights(&data, weights));
}

static void test_induction(void) {
  double sequences[6 * 5], targets[6], four_gram = -1.0, induction = -1.0;
  const double blocks[4] = {0.1, 0.2, 0.3, 0.4};
  GOOD(softstep_induction_generate(6, 5, 1.0, 1.0, 3, sequences, targets));
  softstep_induction_data data = {.struct_size = sizeof data};
  data.length = 5;
  data.n_samples = 6;
  data.sequences = sequences;
  data.targets = targets;
  softstep_model* model = NULL;
  GOOD(softstep_induction_model_create(&data, NULL, SOFTSTEP_F64, NULL, &model));
  require_blocks(model, 4, "match");
  REQUIRE(evaluated(model) > 0.0);
  softstep_model_destroy(model);
  GOOD(softstep_induction_parts(&data, 1.0, 1.0, blocks, "single", &four_gram, &induction));
  REQUIRE(four_gram > 0.0 && induction > 0.0);
  BAD("scores", softstep_induction_model_create(&data, "double", SOFTSTEP_F64, NULL, &model));
  BAD("type", softstep_induction_model_create(&data, "single", SOFTSTEP_F16, NULL, &model));
  BAD("blocks", softstep_induction_parts(&data, 1.0, 1.0, NULL, NULL, &four_gram, &induction));
  BAD("a", softstep_induction_generate(6, 5, -1.0, 1.0, 3, sequences, targets));
  BAD("targets", softstep_induction_generate(6, 5, 1.0, 1.0, 3, sequences, NULL));
  data.n_samples = (size_t)-1;
  BAD("data.n_samples", softstep_induction_model_create(&data, NULL, SOFTSTEP_F64, NULL, &model));
}

static void test_variational(void) {
  softstep_dataset* made = small_data();
  const softstep_batch batch = batch_of(made);
  softstep_variational_options options = {.struct_size = sizeof options};
  softstep_model* model = NULL;
  options.rank = 2;
  options.loss = "exponential";
  GOOD(softstep_variational_model_create(&batch, &options, &model));
  require_blocks(model, 2, "factor");
  REQUIRE(evaluated(model) > 0.0);
  softstep_model_destroy(model);
  options.loss = "logistic";
  REQUIRE(softstep_variational_model_create(&batch, &options, &model) == SOFTSTEP_BAD_ARGUMENT);
  BAD("batch", softstep_variational_model_create(NULL, NULL, &model));
  softstep_dataset_destroy(made);
}

static void test_diagonal_attention(void) {
  softstep_dataset* made = small_data();
  const softstep_batch batch = batch_of(made);
  softstep_diagonal_options options = {.struct_size = sizeof options};
  softstep_model* model = NULL;
  GOOD(softstep_diagonal_attention_model_create(&batch, NULL, &model));
  require_blocks(model, 2, "queries");
  REQUIRE(evaluated(model) > 0.0);
  softstep_model_destroy(model);
  options.form = "combined";
  options.optimal_loss = "zero";
  options.n_threads = -1;
  GOOD(softstep_diagonal_attention_model_create(&batch, &options, &model));
  require_blocks(model, 1, "weights");
  softstep_model_destroy(model);
  options.form = "full";
  BAD("options.form", softstep_diagonal_attention_model_create(&batch, &options, &model));
  options.form = NULL;
  options.n_threads = -2;
  BAD("options.n_threads", softstep_diagonal_attention_model_create(&batch, &options, &model));
  softstep_dataset_destroy(made);
}

void test_sequence_models(void) {
  test_vocabulary_attention();
  test_gated();
  test_induction();
  test_variational();
  test_diagonal_attention();
}
