#include <math.h>
#include <string.h>

#include "program.h"

enum { n_weights = small_dim * small_dim };

static softstep_scaled sigmoid_value(void* user, double m, double target) {
  (void)target;
  ++*(int*)user;
  const softstep_scaled out = {1.0 / (1.0 + exp(m)), 0.0};
  return out;
}
static softstep_scaled sigmoid_slope(void* user, double m, double target) {
  (void)user;
  (void)target;
  const double s = 1.0 / (1.0 + exp(m));
  const softstep_scaled out = {-s * (1.0 - s), 0.0};
  return out;
}

static void test_evaluation(const softstep_model* model) {
  double weights[n_weights], direction[n_weights], gradient[n_weights], product[n_weights], exponent = 0.0;
  double attention[small_samples * small_tokens], sum = 0.0;
  fill(weights, n_weights, 1);
  fill(direction, n_weights, 2);
  const void* blocks[1] = {weights};
  const void* along[1] = {direction};
  void* gradients[1] = {gradient};
  void* products[1] = {product};
  const void* no_block[1] = {NULL};
  const size_t some[2] = {0, 3};
  const size_t too_far[1] = {small_samples};
  softstep_workspace* space = NULL;
  GOOD(softstep_workspace_create(model, &space));
  softstep_evaluation found = {.struct_size = sizeof found};
  GOOD(softstep_evaluate(model, space, blocks, SOFTSTEP_WANT_ALL, NULL, 0, &found, gradients, &exponent));
  REQUIRE(found.loss > 0.0 && found.loss_gap.mantissa > 0.0);
  /* The gradient against a central difference of the loss: of the order of h^2 and u / h, below 1e-8. */
  const double h = 1e-5, slope = gradient[3] * exp(exponent);
  softstep_evaluation above = {.struct_size = sizeof above}, below = {.struct_size = sizeof below};
  weights[3] += h;
  GOOD(softstep_evaluate(model, space, blocks, SOFTSTEP_WANT_LOSS, NULL, 0, &above, NULL, NULL));
  weights[3] -= 2 * h;
  GOOD(softstep_evaluate(model, space, blocks, SOFTSTEP_WANT_LOSS, NULL, 0, &below, NULL, NULL));
  weights[3] += h;
  REQUIRE(fabs((above.loss - below.loss) / (2 * h) - slope) <= 1e-8);
  GOOD(softstep_evaluate(model, space, blocks, SOFTSTEP_WANT_GRADIENT, some, 2, NULL, gradients, &exponent));
  GOOD(softstep_hessian_product(model, space, blocks, along, products, &exponent));
  GOOD(softstep_attention_of_tokens(model, blocks, attention, small_samples * small_tokens));
  for (int t = 0; t < small_tokens; ++t) sum += attention[t];
  REQUIRE(fabs(sum - 1.0) <= 1e-14);

  BAD("model", softstep_evaluate(NULL, space, blocks, 1, NULL, 0, NULL, gradients, NULL));
  BAD("workspace", softstep_evaluate(model, NULL, blocks, 1, NULL, 0, NULL, gradients, NULL));
  BAD("blocks", softstep_evaluate(model, space, NULL, 1, NULL, 0, NULL, gradients, NULL));
  BAD("blocks[0]", softstep_evaluate(model, space, no_block, 1, NULL, 0, NULL, gradients, NULL));
  BAD("gradients", softstep_evaluate(model, space, blocks, 1, NULL, 0, NULL, NULL, NULL));
  BAD("want", softstep_evaluate(model, space, blocks, 64, NULL, 0, NULL, gradients, NULL));
  BAD("samples", softstep_evaluate(model, space, blocks, 1, too_far, 1, NULL, gradients, NULL));
  BAD("direction", softstep_hessian_product(model, space, blocks, NULL, products, NULL));
  BAD("products", softstep_hessian_product(model, space, blocks, along, NULL, NULL));
  BAD("n", softstep_attention_of_tokens(model, blocks, attention, 1));
  found.struct_size = 0;
  BAD("evaluation.struct_size", softstep_evaluate(model, space, blocks, 8, NULL, 0, &found, NULL, NULL));
  found.struct_size = sizeof found - 4; /* would end within a field */
  BAD("evaluation.struct_size", softstep_evaluate(model, space, blocks, 8, NULL, 0, &found, NULL, NULL));
  softstep_workspace_destroy(space);
}

static void test_gradient_check(const softstep_model* model) {
  double weights[n_weights];
  const void* blocks[1] = {weights};
  const void* no_block[1] = {NULL};
  const size_t some[2] = {0, 3};
  const size_t too_far[1] = {small_samples};
  int32_t passed = 0;
  fill(weights, n_weights, 4);
  softstep_gradient_check_result result = {.struct_size = sizeof result};
  softstep_gradient_check_options options = {.struct_size = sizeof options};
  GOOD(softstep_check_gradient(model, blocks, NULL, &result, &passed));
  REQUIRE(passed == 1 && result.passed == 1 && result.n_entries == n_weights &&
          result.relative_error <= 1e-6);
  options.max_entries = 5;
  options.samples = some;
  options.n_samples = 2;
  options.tolerance = 1e-300; /* below what differences can reach */
  GOOD(softstep_check_gradient(model, blocks, &options, &result, &passed));
  REQUIRE(result.n_entries == 5 && passed == result.passed);
  GOOD(softstep_check_gradient(model, blocks, NULL, NULL, NULL));
  options.tolerance = -1.0;
  BAD("tolerance", softstep_check_gradient(model, blocks, &options, &result, &passed));
  options.tolerance = 0.0;
  options.samples = too_far;
  options.n_samples = 1;
  REQUIRE(softstep_check_gradient(model, blocks, &options, &result, &passed) == SOFTSTEP_BAD_ARGUMENT);
  BAD("model", softstep_check_gradient(NULL, blocks, NULL, &result, &passed));
  BAD("blocks[0]", softstep_check_gradient(model, no_block, NULL, &result, &passed));
  result.struct_size = 1;
  BAD("results.struct_size", softstep_check_gradient(model, blocks, NULL, &result, &passed));
}

static void test_objective(const softstep_model* model, const softstep_batch* batch) {
  double at[n_weights], gradient[n_weights], size_of_plain = 0.0, largest = 0.0;
  softstep_workspace* space = NULL;
  size_t size = 0;
  GOOD(softstep_workspace_create(model, &space));
  GOOD(softstep_flat_size(model, &size));
  REQUIRE(size == n_weights);
  softstep_log_gap_result gap = {.struct_size = sizeof gap};
  softstep_plain_loss_result plain = {.struct_size = sizeof plain};
  fill(at, n_weights, 3);
  GOOD(softstep_log_gap(model, space, at, size, gradient, SOFTSTEP_F64, &gap));
  REQUIRE(gap.status == SOFTSTEP_LOG_GAP_GOOD && isfinite(gap.value) && gap.gap.mantissa > 0.0);
  GOOD(softstep_plain_loss(model, space, at, size, gradient, &plain));
  REQUIRE(plain.value > 0.0 && !plain.gradient_underflows);
  /* Far out along W_mm, where margins are 1e4, plain numbers are 0, and these are not. */
  GOOD(softstep_solve_max_margin(batch, NULL, at, NULL));
  for (size_t k = 0; k < size; ++k) at[k] *= 1e4;
  GOOD(softstep_plain_loss(model, space, at, size, gradient, &plain));
  for (size_t k = 0; k < size; ++k) size_of_plain = fmax(size_of_plain, fabs(gradient[k]));
  GOOD(softstep_log_gap(model, space, at, size, gradient, SOFTSTEP_F64, &gap));
  for (size_t k = 0; k < size; ++k) largest = fmax(largest, fabs(gradient[k]));
  REQUIRE(plain.gradient_underflows && size_of_plain == 0.0 && largest > 0.0);
  BAD("at", softstep_log_gap(model, space, NULL, size, gradient, SOFTSTEP_F64, &gap));
  BAD("at", softstep_log_gap(model, space, at, 3, NULL, SOFTSTEP_F64, &gap));
  BAD("gradient_type", softstep_log_gap(model, space, at, size, gradient, SOFTSTEP_F32, &gap));
  BAD("result", softstep_log_gap(model, space, at, size, gradient, SOFTSTEP_F64, NULL));
  BAD("result", softstep_plain_loss(model, space, at, size, gradient, NULL));
  BAD("size", softstep_flat_size(model, NULL));
  softstep_workspace_destroy(space);
}

static void test_next_token(void) {
  const double contexts[2 * 3] = {1, 0, 0, 0, 1, 0}, probabilities[2] = {0.5, 0.5};
  const double labels[3] = {0.5, 0.5, 1.0};
  const size_t first[3] = {0, 2, 3}, tokens[3] = {0, 1, 2}, falling[3] = {0, 3, 2};
  softstep_next_token_data data = {.struct_size = sizeof data};
  data.vocabulary = 4;
  data.dim = 3;
  data.n_contexts = 2;
  data.contexts = contexts;
  data.probabilities = probabilities;
  data.first = first;
  data.tokens = tokens;
  data.labels = labels;
  softstep_model* model = NULL;
  const char* name = NULL;
  size_t n = 0;
  GOOD(softstep_next_token_model_create(&data, SOFTSTEP_F32, NULL, &model));
  GOOD(softstep_model_n_blocks(model, &n));
  REQUIRE(n == 2);
  GOOD(softstep_model_block(model, 1, &name, NULL, NULL));
  REQUIRE(strcmp(name, "margin") == 0);
  const void* blocks[2] = {contexts, contexts};
  double attention[4];
  REQUIRE(softstep_attention_of_tokens(model, blocks, attention, 4) == SOFTSTEP_NOT_SUPPORTED);
  softstep_model_destroy(model);
  BAD("type", softstep_next_token_model_create(&data, SOFTSTEP_F16, NULL, &model));
  data.first = falling;
  BAD("data.first", softstep_next_token_model_create(&data, SOFTSTEP_F64, NULL, &model));
  data.first = NULL;
  BAD("data.first", softstep_next_token_model_create(&data, SOFTSTEP_F64, NULL, &model));
}

void test_models(void) {
  softstep_dataset* data = small_data();
  softstep_batch batch = batch_of(data);
  softstep_model* model = NULL;
  softstep_type type = -1;
  size_t n = 0, n_rows = 0, n_cols = 0;
  const char* name = NULL;
  GOOD(softstep_attention_model_create(&batch, NULL, &model));
  GOOD(softstep_model_type(model, &type));
  REQUIRE(type == SOFTSTEP_F64);
  GOOD(softstep_model_n_blocks(model, &n));
  REQUIRE(n == 1);
  GOOD(softstep_model_block(model, 0, &name, &n_rows, &n_cols));
  REQUIRE(strcmp(name, "weights") == 0 && n_rows == small_dim && n_cols == small_dim);
  BAD("k", softstep_model_block(model, 1, &name, &n_rows, &n_cols));
  GOOD(softstep_model_n_samples(model, &n));
  REQUIRE(n == small_samples);
  GOOD(softstep_model_observable(model, 0, &n_rows, NULL));
  REQUIRE(n_rows == small_dim);
  BAD("k", softstep_model_observable(model, 1, &n_rows, NULL));
  test_evaluation(model);
  test_gradient_check(model);
  test_objective(model, &batch);
  softstep_model_destroy(model);

  int calls = 0;
  softstep_own_loss loss = {.struct_size = sizeof loss};
  loss.name = "sigmoid";
  loss.user = &calls;
  loss.value = sigmoid_value;
  loss.derivative = sigmoid_slope;
  loss.is_decreasing = 1;
  softstep_attention_options options = {.struct_size = sizeof options};
  options.own_loss = &loss;
  GOOD(softstep_attention_model_create(&batch, &options, &model));
  REQUIRE(calls > 0);
  softstep_model_destroy(model);
  options.own_loss = NULL;
  options.token_storage = SOFTSTEP_F16; /* goes with float32 */
  REQUIRE(softstep_attention_model_create(&batch, &options, &model) == SOFTSTEP_BAD_ARGUMENT);
  options.token_storage = 9;
  BAD("options.token_storage", softstep_attention_model_create(&batch, &options, &model));
  BAD("batch", softstep_attention_model_create(NULL, NULL, &model));
  BAD("model", softstep_attention_model_create(&batch, NULL, NULL));

  softstep_linear_options linear = {.struct_size = sizeof linear};
  linear.loss = "logistic";
  GOOD(softstep_linear_model_create(&batch, &linear, &model));
  GOOD(softstep_model_block(model, 0, &name, &n_rows, &n_cols));
  REQUIRE(n_rows == small_dim && n_cols == 1);
  softstep_model_destroy(model);
  linear.loss = "hinge";
  REQUIRE(softstep_linear_model_create(&batch, &linear, &model) == SOFTSTEP_BAD_ARGUMENT);
  softstep_dataset_destroy(data);
  softstep_dataset_destroy(NULL);
  test_next_token();
}
