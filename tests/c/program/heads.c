#include <math.h>
#include <stddef.h>

#include "program.h"

enum {
  n_batch = 2,
  n_heads = 2,
  n_rows = 5,
  n_columns = 4,
  n_numbers = n_batch * n_heads * n_rows * n_columns
};

typedef struct arrays {
  double numbers[12][n_numbers];
  softstep_heads_array of[12];
} arrays;

static void make(arrays* out) {
  for (int k = 0; k < 12; ++k) {
    const softstep_heads_array array = {.data = out->numbers[k], .size = n_numbers, .type = SOFTSTEP_F64};
    fill(out->numbers[k], n_numbers, (uint32_t)k);
    out->of[k] = array;
  }
}

static double dot(const double* a, const double* b) {
  double sum = 0.0;
  for (int k = 0; k < n_numbers; ++k) sum += a[k] * b[k];
  return sum;
}

/* The tangent along a direction and the gradients are two ways to one number: <dO, O'> = <dQ, Q'> + .. */
static void test_softmax(arrays* a) {
  const softstep_heads_array *q = &a->of[0], *k = &a->of[1], *v = &a->of[2], *o = &a->of[3],
                             *slope = &a->of[4], *dq = &a->of[5], *dk = &a->of[6], *dv = &a->of[7],
                             *xq = &a->of[8], *xk = &a->of[9], *xv = &a->of[10], *t = &a->of[11];
  double log_sums[n_batch * n_heads * n_rows], of_rows[n_batch * n_heads * n_rows],
      of_keys[n_batch * n_heads];
  softstep_heads_options options = {.struct_size = sizeof options};
  options.n_threads = 1;
  options.batch = n_batch;
  options.n_heads = n_heads;
  options.n_queries = options.n_keys = n_rows;
  options.dim = n_columns;
  options.causal = 1;
  softstep_heads_state* state = NULL;
  GOOD(softstep_heads_state_create(SOFTSTEP_F64, &state));
  GOOD(softstep_heads_forward(&options, q, k, v, o, log_sums, state));
  GOOD(softstep_heads_backward(&options, q, k, v, state, slope, dq, dk, dv, NULL, NULL, NULL));
  GOOD(softstep_heads_tangent(&options, q, k, v, state, xq, xk, xv, t));
  const double way = dot(a->numbers[4], a->numbers[11]);
  const double back = dot(a->numbers[5], a->numbers[8]) + dot(a->numbers[6], a->numbers[9]) +
                      dot(a->numbers[7], a->numbers[10]);
  /* 240 terms of size below 10, each right to some hundred rounding units. */
  REQUIRE(fabs(way - back) <= 240 * 10 * 300 * 1.2e-16);
  GOOD(softstep_heads_hessian_product(&options, q, k, v, state, slope, xq, xk, xv, NULL, dq, dk, dv, of_rows,
                                      of_keys));
  BAD("state", softstep_heads_backward(&options, q, k, v, NULL, slope, dq, dk, dv, NULL, NULL, NULL));
  BAD("outputs", softstep_heads_forward(&options, q, k, v, NULL, NULL, NULL));
  BAD("output_gradient", softstep_heads_hessian_product(&options, q, k, v, state, NULL, xq, xk, xv, NULL, dq,
                                                        dk, dv, NULL, NULL));
  softstep_heads_array bad = *q;
  bad.strided = 1;
  bad.row_stride = -n_columns; /* leaves the array at its beginning */
  BAD("queries", softstep_heads_forward(&options, &bad, k, v, o, NULL, NULL));
  bad = *q;
  bad.size -= 1;
  BAD("queries", softstep_heads_forward(&options, &bad, k, v, o, NULL, NULL));
  bad = *o;
  bad.strided = 1; /* all strides 0: outputs overlap */
  BAD("outputs", softstep_heads_forward(&options, q, k, v, &bad, NULL, NULL));
  options.batch = (size_t)-1;
  REQUIRE(softstep_heads_forward(&options, q, k, v, o, NULL, NULL) == SOFTSTEP_BAD_ARGUMENT);
  BAD("options", softstep_heads_forward(NULL, q, k, v, o, NULL, NULL));
  BAD("type", softstep_heads_state_create(SOFTSTEP_BF16, &state));
  softstep_heads_state_destroy(state);
  softstep_heads_state_destroy(NULL);
}

static void test_linear(arrays* a) {
  const softstep_heads_array *q = &a->of[0], *k = &a->of[1], *v = &a->of[2], *o = &a->of[3],
                             *slope = &a->of[4], *dq = &a->of[5], *dk = &a->of[6], *dv = &a->of[7],
                             *gates = &a->of[8], *dg = &a->of[9];
  softstep_linear_heads_options options = {.struct_size = sizeof options};
  options.n_threads = 1;
  options.batch = n_batch;
  options.n_heads = n_heads;
  options.n_queries = options.n_keys = n_rows;
  options.dim = n_columns;
  options.causal = 1;
  options.gates = SOFTSTEP_GATES_VECTOR;
  for (int j = 0; j < n_numbers; ++j) a->numbers[8][j] = -fabs(a->numbers[8][j]);
  GOOD(softstep_linear_heads_forward(&options, q, k, v, gates, o));
  GOOD(softstep_linear_heads_backward(&options, q, k, v, gates, slope, dq, dk, dv, dg));
  /* O is linear in V: <dO, O> = <dV, V>, and in Q. */
  const double whole = dot(a->numbers[4], a->numbers[3]);
  REQUIRE(fabs(whole - dot(a->numbers[7], a->numbers[2])) <= 1e-11);
  REQUIRE(fabs(whole - dot(a->numbers[5], a->numbers[0])) <= 1e-11);
  BAD("log_gates", softstep_linear_heads_forward(&options, q, k, v, NULL, o));
  options.gates = -1;
  BAD("options.gates", softstep_linear_heads_forward(&options, q, k, v, gates, o));
}

void test_heads(void) {
  static arrays all;
  make(&all);
  test_softmax(&all);
  make(&all);
  test_linear(&all);
}
