#include <math.h>
#include <string.h>

#include "program.h"

enum { n_weights = small_dim * small_dim };

static void test_metrics(const softstep_batch* batch, const double* weights, double norm) {
  double value = 0.0, angle = 1.0, margin = 0.0, singular[small_dim], squares = 0.0;
  size_t selected[small_samples];
  softstep_sparsity sparsity = {.struct_size = sizeof sparsity};
  GOOD(softstep_matrix_norm(weights, small_dim, small_dim, "frobenius", 2.0, &value));
  REQUIRE(fabs(value - norm) <= 1e-14 * norm);
  GOOD(softstep_singular_values(weights, small_dim, small_dim, singular, small_dim));
  for (int k = 0; k < small_dim; ++k) squares += singular[k] * singular[k];
  REQUIRE(fabs(sqrt(squares) - norm) <= 1e-14 * small_dim * norm);
  GOOD(softstep_compare_direction(weights, weights, n_weights, NULL, &angle));
  REQUIRE(angle == 0.0);
  GOOD(softstep_normalized_margin(batch, weights, &margin));
  REQUIRE(fabs(margin * norm - 1.0) <= 1e-9); /* the solver's tolerance, 1e-10, times a margin of one */
  GOOD(softstep_selected_tokens(batch, weights, selected, small_samples));
  GOOD(softstep_attention_sparsity(batch, weights, 0.0, &sparsity));
  REQUIRE(sparsity.mean_effective_tokens >= 1.0 && sparsity.mean_effective_tokens <= small_tokens);
  BAD("n", softstep_selected_tokens(batch, weights, selected, 1));
  BAD("n", softstep_singular_values(weights, small_dim, small_dim, singular, 1));
  BAD("n_rows", softstep_matrix_norm(weights, (size_t)-1, 2, "frobenius", 2.0, &value));
  REQUIRE(softstep_matrix_norm(weights, small_dim, small_dim, "taxi", 2.0, &value) == SOFTSTEP_BAD_ARGUMENT);
  BAD("a", softstep_compare_direction(NULL, weights, n_weights, NULL, &angle));
  BAD("weights", softstep_normalized_margin(batch, NULL, &margin));
  BAD("level", softstep_attention_sparsity(batch, weights, 2.0, &sparsity));
}

/* W is the sum of lambda A over the constraints, up to the factor that makes it feasible: <W, W> = sum lambda
 * times margins of one. */
static void test_multipliers(const softstep_batch* batch, double norm) {
  enum { n_tokens = small_samples * small_tokens };
  double lambda[n_tokens], mu[n_tokens], sum = 0.0;
  softstep_max_margin_options options = {.struct_size = sizeof options};
  options.multipliers = lambda;
  options.equality_multipliers = mu;
  options.n_multipliers = n_tokens;
  GOOD(softstep_solve_max_margin(batch, &options, NULL, NULL));
  for (int k = 0; k < n_tokens; ++k) {
    REQUIRE(lambda[k] >= 0.0 && mu[k] == 0.0);
    sum += lambda[k];
  }
  REQUIRE(fabs(sum - norm * norm) <= 1e-8 * norm * norm); /* duality gap and complementarity, 1e-10 each */
  options.n_multipliers = n_tokens - 1;
  lambda[0] = -7.0;
  BAD("options.n_multipliers", softstep_solve_max_margin(batch, &options, NULL, NULL));
  REQUIRE(lambda[0] == -7.0);
}

void test_solvers(void) {
  softstep_dataset* data = small_data();
  const softstep_batch batch = batch_of(data);
  double weights[n_weights], other[n_weights], one_minus_cos = 1.0;
  softstep_max_margin_result result = {.struct_size = sizeof result}, again = {.struct_size = sizeof again};
  softstep_max_margin_options options = {.struct_size = sizeof options};
  GOOD(softstep_solve_max_margin(&batch, &options, weights, &result));
  REQUIRE(strcmp(result.status, "optimal") == 0);
  test_metrics(&batch, weights, result.norm);
  test_multipliers(&batch, result.norm);

  /* One tied token of each sample is no tie: the same problem. */
  size_t selected[small_samples], first[small_samples + 1];
  GOOD(softstep_selected_tokens(&batch, weights, selected, small_samples));
  for (size_t i = 0; i <= small_samples; ++i) first[i] = i;
  GOOD(softstep_solve_max_margin_with_ties(&batch, first, selected, NULL, other, &again));
  GOOD(softstep_compare_direction(weights, other, n_weights, &one_minus_cos, NULL));
  REQUIRE(one_minus_cos <= 1e-9 && again.n_equalities == 0); /* both are optimal to 1e-10 */
  options.selected = selected;
  options.n_selected = small_samples;
  GOOD(softstep_solve_max_margin(&batch, &options, other, NULL));
  REQUIRE(memcmp(weights, other, sizeof weights) == 0);
  options.n_selected = 2;
  BAD("selected", softstep_solve_max_margin(&batch, &options, other, NULL));
  GOOD(softstep_solve_max_margin_in_norm(&batch, "nuclear", 0.0, NULL, other, &again));
  REQUIRE(again.norm > 0.0);
  BAD("norm", softstep_solve_max_margin_in_norm(&batch, NULL, 0.0, NULL, other, &again));
  first[2] = 0;
  BAD("first", softstep_solve_max_margin_with_ties(&batch, first, selected, NULL, other, &again));
  result.struct_size = 1;
  BAD("result.struct_size", softstep_solve_max_margin(&batch, NULL, other, &result));
  softstep_dataset_destroy(data);

  /* (1, 0) and (-1, 1) with labels 1 and -1: u = (1, 0) has both margins 1. */
  const double points[4] = {1, 0, -1, 1};
  const int8_t labels[2] = {1, -1};
  double direction[2];
  GOOD(softstep_solve_linear_max_margin(SOFTSTEP_F64, points, labels, 2, 2, NULL, direction, &again));
  REQUIRE(fabs(again.margin * again.norm - 1.0) <= 1e-9);
  BAD("labels", softstep_solve_linear_max_margin(SOFTSTEP_F64, points, NULL, 2, 2, NULL, NULL, NULL));
  BAD("type", softstep_solve_linear_max_margin(SOFTSTEP_F16, points, labels, 2, 2, NULL, NULL, NULL));

  const double contexts[4] = {1, 0, 0, 1};
  const size_t starts[3] = {0, 2, 3}, supports[3] = {0, 1, 2};
  double of_tokens[3 * 2];
  GOOD(softstep_solve_next_token_max_margin(SOFTSTEP_F64, contexts, 2, 2, 3, starts, supports, NULL,
                                            of_tokens, &again));
  REQUIRE(strcmp(again.status, "optimal") == 0 && again.n_equalities == 1);
  BAD("supports", softstep_solve_next_token_max_margin(SOFTSTEP_F64, contexts, 2, 2, 3, starts, NULL, NULL,
                                                       of_tokens, &again));
}
