/* softstep for C, and for every language that calls C: attention models, training, max-margin solutions,
 * attention over heads. What functions mean in full is said in the C++ headers that are named beside them.
 *
 * Functions return a softstep_status. Where it is not SOFTSTEP_OK, softstep_last_message() says why in one
 * line, and nothing has been written through the pointers given. No C++ exception leaves a function. Objects
 * are made and destroyed by the caller; one object serves one thread at a time unless it is said otherwise.
 * Memory that is handed in stays the caller's and must outlive what looks at it.
 *
 * Structs of options begin with their size and mean their defaults where they are 0, so that programs go on
 * working with libraries that know more fields:   softstep_batch batch = {.struct_size = sizeof batch};
 */
#ifndef SOFTSTEP_C_SOFTSTEP_H
#define SOFTSTEP_C_SOFTSTEP_H

#include <stddef.h>
#include <stdint.h>

#include "softstep/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What went wrong (softstep/error.h) ---- */

typedef int32_t softstep_status;
enum {
  SOFTSTEP_OK = 0,
  SOFTSTEP_BAD_ARGUMENT = 1,  /* an argument that cannot be used, a null pointer among them */
  SOFTSTEP_BAD_FILE = 2,      /* a file that was read, and cannot be used for what it holds */
  SOFTSTEP_IO_ERROR = 3,      /* a file that cannot be read or written */
  SOFTSTEP_NOT_SUPPORTED = 4, /* something that exists but not here */
  SOFTSTEP_OUT_OF_MEMORY = 5,
  SOFTSTEP_FAILED = 6 /* anything else */
};
/* Of the last function that failed in this thread; "" before. Valid until the next one fails there. */
SOFTSTEP_EXPORT const char* softstep_last_message(void);
/* The name of the argument at fault; "" where there is none. */
SOFTSTEP_EXPORT const char* softstep_last_argument(void);

/* ---- The library ---- */

/* Grows when a function or struct changes so that programs must be compiled anew. */
#define SOFTSTEP_C_ABI 1
SOFTSTEP_EXPORT int32_t softstep_abi(void);
SOFTSTEP_EXPORT const char* softstep_version(void); /* "0.1.0" */
/* The instruction set in force, and another; "auto" is the best that runs here (softstep/isa.h). */
SOFTSTEP_EXPORT softstep_status softstep_active_isa(char* name, size_t size);
SOFTSTEP_EXPORT softstep_status softstep_force_isa(const char* name);

/* How numbers are stored. Models compute in the first two. */
typedef int32_t softstep_type;
enum { SOFTSTEP_F64 = 0, SOFTSTEP_F32 = 1, SOFTSTEP_F16 = 2, SOFTSTEP_BF16 = 3 };

/* mantissa * exp(exponent) (softstep/scaled.h) */
typedef struct softstep_scaled {
  double mantissa, exponent;
} softstep_scaled;

/* ---- Batches (softstep/batch.h) ---- */

typedef struct softstep_batch {
  size_t struct_size;
  softstep_type type; /* of tokens; F16 and BF16 are computed with in float32 */
  int32_t reserved;   /* 0 */
  const void* tokens; /* sample i at i * sample_stride, its token t token_stride on; elements */
  size_t n_samples, n_tokens, dim;
  const int64_t* offsets;             /* [n_samples + 1] rows of a ragged batch; null: n_tokens each */
  size_t token_stride, sample_stride; /* 0: packed */
  const int8_t* labels;               /* [n_samples], -1 or +1 */
  const void* targets; /* [n_samples] real targets in place of labels, of the type that is computed with, as
                          all below */
  const void* decoder; /* [dim]; may be null where it is trained */
  const int64_t* query_index; /* [n_samples] tokens; null: token 0 */
  const void* queries;        /* [n_samples] rows in place of tokens */
  size_t query_stride;        /* 0: dim */
  /* Several queries a sample, pooled by weights: every token, or n_queries each, or those from
   * query_offsets[i] to query_offsets[i + 1] - 1; query_index or queries then have an entry or a row for
   * each. */
  int32_t all_tokens_are_queries;
  int32_t reserved2;
  size_t n_queries;             /* 0: 1 */
  const int64_t* query_offsets; /* [n_samples + 1] or null */
  const void* query_weights; /* one for each query of each sample, or for each of n_queries; null: the mean */
  size_t n_query_weights;
} softstep_batch;

/* ---- Losses of one's own (softstep/loss.h) ---- */

/* Called from several threads at once. */
typedef struct softstep_own_loss {
  size_t struct_size;
  const char* name; /* one word */
  void* user;
  softstep_scaled (*value)(void* user, double margin, double target);
  softstep_scaled (*derivative)(void* user, double margin, double target);
  softstep_scaled (*second_derivative)(void* user, double margin, double target); /* may be null */
  int32_t is_decreasing;
} softstep_own_loss;

/* ---- Models (softstep/model.h, softstep/attention_model.h) ---- */

typedef struct softstep_model softstep_model;
/* Memory of one evaluation at a time: one for each thread that evaluates a model. */
typedef struct softstep_workspace softstep_workspace;

typedef struct softstep_attention_options {
  size_t struct_size;
  const char* key_query; /* "combined" (default), "factored" or "prompt" */
  size_t rank;           /* of factored */
  int32_t train_decoder;
  int32_t n_threads;                 /* 0: 1; -1: all that the process may use */
  const char* loss;                  /* "logistic" (default), "exponential" or "squared" */
  const softstep_own_loss* own_loss; /* in place of `loss` */
  const char*
      optimal_loss; /* "optimal" (default; "zero" with a trained decoder), "selected", "value" or "zero" */
  double optimal_loss_value;
  const char* isa; /* null: the one in force */
} softstep_attention_options;

/* options may be null. The batch's arrays must outlive the model. */
SOFTSTEP_EXPORT softstep_status softstep_attention_model_create(const softstep_batch* batch,
                                                                const softstep_attention_options* options,
                                                                softstep_model** model);
SOFTSTEP_EXPORT void softstep_model_destroy(softstep_model* model); /* null: nothing */
SOFTSTEP_EXPORT softstep_status softstep_workspace_create(const softstep_model* model,
                                                          softstep_workspace** workspace);
SOFTSTEP_EXPORT void softstep_workspace_destroy(softstep_workspace* workspace);

/* Number type and blocks of a model. */
SOFTSTEP_EXPORT softstep_status softstep_model_type(const softstep_model* model, softstep_type* type);
SOFTSTEP_EXPORT softstep_status softstep_model_n_blocks(const softstep_model* model, size_t* n_blocks);
/* Block k: its name (valid while the model lives), rows and columns. */
SOFTSTEP_EXPORT softstep_status softstep_model_block(const softstep_model* model, size_t k, const char** name,
                                                     size_t* n_rows, size_t* n_cols);

typedef struct softstep_evaluation {
  size_t struct_size;
  double loss;
  softstep_scaled loss_scaled, loss_gap;
  double optimal_loss, min_optimal_attention, log10_one_minus_optimal_attention, accuracy;
} softstep_evaluation;
enum {
  SOFTSTEP_WANT_GRADIENT = 1,
  SOFTSTEP_WANT_LOSS_GAP = 2,
  SOFTSTEP_WANT_ATTENTION = 4,
  SOFTSTEP_WANT_LOSS = 8,
  SOFTSTEP_WANT_ALL = 15
};
/* blocks[k]: block k, row-major, of the model's type. gradients[k] (with SOFTSTEP_WANT_GRADIENT): out, the
 * mantissa of its gradient, which is to be multiplied by e^exponents[k]. samples: indices, or null for all.
 * evaluation may be null. */
SOFTSTEP_EXPORT softstep_status softstep_evaluate(const softstep_model* model, softstep_workspace* workspace,
                                                  const void* const* blocks, uint32_t want,
                                                  const size_t* samples, size_t n_samples,
                                                  softstep_evaluation* evaluation, void* const* gradients,
                                                  double* exponents);
/* Hessian times a direction, in the form of gradients. */
SOFTSTEP_EXPORT softstep_status softstep_hessian_product(const softstep_model* model,
                                                         softstep_workspace* workspace,
                                                         const void* const* blocks,
                                                         const void* const* direction, void* const* products,
                                                         double* exponents);
/* Attention of every token of an attention model, in batch order: n numbers. */
SOFTSTEP_EXPORT softstep_status softstep_attention_of_tokens(const softstep_model* model,
                                                             const void* const* blocks, double* attention,
                                                             size_t n);

/* ---- Step rules of one's own (softstep/step_rules.h) ---- */

typedef struct softstep_step_context {
  size_t struct_size;
  softstep_type type; /* of gradient and weights */
  int32_t reserved;
  int64_t iteration;
  softstep_scaled loss_gap; /* where the rule needs it */
  const void* gradient;     /* mantissa, n_rows x n_cols */
  size_t n_rows, n_cols;
  double gradient_exponent, gradient_norm;
  const void* weights; /* before the step; null where a form of W keeps others */
} softstep_step_context;
enum { SOFTSTEP_MOVED = 0, SOFTSTEP_STATIONARY = 1, SOFTSTEP_GAP_NOT_POSITIVE = 2 };
/* W <- W - coefficient * direction. */
typedef struct softstep_step {
  int32_t outcome;
  int32_t along_gradient; /* 1: the direction is the gradient's mantissa; 0: what has been written to
                             `direction` */
  double coefficient, length;
} softstep_step;
typedef struct softstep_own_rule {
  size_t struct_size;
  const char* name; /* one word, with all settings: a saved state resumes under the same only */
  void* user;
  int32_t needs_loss_gap;
  int32_t moves_along_gradient; /* looks at norms alone */
  size_t n_memory;              /* numbers that it remembers beside one array as large as the weights each */
  size_t n_matrices;            /* arrays as large as the weights that it remembers */
  /* memory: n_memory numbers and then the arrays, null before the first step; next: the same, to be filled
   * in. direction: n_rows x n_cols numbers. Returns 0, or another number to end the run with SOFTSTEP_FAILED.
   */
  int32_t (*propose)(void* user, const softstep_step_context* context, const double* memory, double* next,
                     double* direction, softstep_step* step);
} softstep_own_rule;

/* ---- Training (softstep/trainer.h, softstep/train_state.h) ---- */

typedef struct softstep_state softstep_state;

typedef struct softstep_trace_row {
  size_t struct_size;
  int64_t step;
  double loss, log10_loss, log10_gap, weight_norm, log10_gradient_norm, step_length, one_minus_cos, angle,
      min_optimal_attention, log10_one_minus_optimal_attention, optimal_loss, accuracy, seconds;
} softstep_trace_row;

typedef struct softstep_train_options {
  size_t struct_size;
  const char* rules; /* "ngd:step-size=1", one for all blocks, or one for each: "ngd;gd"; default "ngd" */
  const softstep_own_rule* own_rule; /* in place of rules, for all blocks */
  int64_t n_steps;
  const char* form;        /* "auto" (default), "dense", "query-span" or "token-span" */
  int32_t float64_masters; /* float64 master weights */
  int32_t joint;           /* all blocks normalised together */
  size_t batch_size;       /* 0: all samples */
  uint64_t batch_seed;
  const double* reference; /* direction to compare with, of the first observable; null: none */
  size_t reference_size;
  double stop_one_minus_cos, max_seconds; /* 0: never, none */
  int32_t trace_rows_per_decade;          /* 0: 20; -1: first and last row only */
  int32_t reserved;
  void* user; /* for the callbacks; they return 0 to go on, 1 to stop */
  int32_t (*trace)(void* user, const softstep_trace_row* row);
  int32_t (*progress)(void* user, int64_t step, double seconds); /* about 10 times a second at most */
} softstep_train_options;

typedef struct softstep_train_summary {
  size_t struct_size;
  const char* status; /* the words of TrainStatus: "max_iterations", "converged", ..; static */
  const char* form;   /* the form used */
  int64_t steps, steps_below_rounding;
  double seconds, setup_seconds;
  int32_t threads_used, reserved;
  softstep_trace_row last;
} softstep_train_summary;

/* At step 0 with these blocks, in double, row-major; blocks null: all zero. */
SOFTSTEP_EXPORT softstep_status softstep_state_create(const softstep_model* model,
                                                      const double* const* blocks, softstep_state** state);
SOFTSTEP_EXPORT void softstep_state_destroy(softstep_state* state);
SOFTSTEP_EXPORT softstep_status softstep_state_step(const softstep_state* state, int64_t* step);
/* Block k in double, row-major; size: its numbers. */
SOFTSTEP_EXPORT softstep_status softstep_state_block(const softstep_state* state, size_t k, double* values,
                                                     size_t size);
/* Observable k (the matrix W for k = 0, whatever is trained for it), row-major. */
SOFTSTEP_EXPORT softstep_status softstep_observe(const softstep_model* model, const softstep_state* state,
                                                 size_t k, double* values, size_t size);
SOFTSTEP_EXPORT softstep_status softstep_state_save(const char* path, const softstep_model* model,
                                                    const softstep_state* state,
                                                    const softstep_train_options* options);
SOFTSTEP_EXPORT softstep_status softstep_state_load(const char* path, const softstep_model* model,
                                                    const softstep_train_options* options,
                                                    softstep_state** state);
/* Goes on from the state, which is that of the last step taken. summary may be null. */
SOFTSTEP_EXPORT softstep_status softstep_train(const softstep_model* model, softstep_state* state,
                                               const softstep_train_options* options,
                                               softstep_train_summary* summary);

/* ---- Max-margin solutions (softstep/max_margin.h) ---- */

typedef struct softstep_max_margin_options {
  size_t struct_size;
  double tolerance;  /* 0: 1e-10 */
  size_t max_sweeps; /* 0: 100000 */
  int32_t n_threads; /* 0: 1; -1: all that the process may use */
  int32_t reserved;
  const size_t* selected; /* [n_samples]: a token of each that is to win; null: the optimal ones */
  void* user;
  int32_t (*progress)(void* user, size_t sweeps, double duality_gap, double kkt_residual); /* 1 to stop */
} softstep_max_margin_options;
typedef struct softstep_max_margin_result {
  size_t struct_size;
  const char* status; /* the words of MaxMarginStatus: "optimal", "not_separable", ..; static */
  double norm, margin, duality_gap, kkt_residual, certificate;
  size_t n_constraints, n_support, sweeps;
} softstep_max_margin_result;
/* weights: out, dim x dim; null: not wanted. options and result may be null. */
SOFTSTEP_EXPORT softstep_status softstep_solve_max_margin(const softstep_batch* batch,
                                                          const softstep_max_margin_options* options,
                                                          double* weights,
                                                          softstep_max_margin_result* result);

/* ---- Attention over heads (softstep/attention.h) ---- */

/* An array [batch][heads][rows][columns]; columns contiguous. Strides in elements; given only if strided
 * is 1. */
typedef struct softstep_heads_array {
  void* data;  /* null: not given, not wanted; element [0][0][0][0] where strides are not negative */
  size_t size; /* elements from `data` on that may be touched */
  size_t origin;
  ptrdiff_t batch_stride, head_stride, row_stride;
  softstep_type type;
  int32_t strided;
} softstep_heads_array;

typedef struct softstep_heads_options {
  size_t struct_size;
  softstep_type type; /* that is computed with: F64 or F32 */
  int32_t n_threads;  /* 0: all that the process may use */
  size_t batch, n_heads, n_key_heads, n_queries, n_keys, dim, value_dim;
  int32_t has_scale, causal;
  double scale, soft_cap;
  int32_t has_before, has_after;
  size_t before, after;
  const int64_t* key_lengths;                 /* [batch] or null */
  const int64_t *query_offsets, *key_offsets; /* [batch + 1] or null */
  const void* bias;                           /* of the type that is computed with, packed; or null */
  size_t bias_size;
  int32_t bias_per_batch, bias_per_head;
  const char* isa;
} softstep_heads_options;

/* What the forward pass leaves for the backward pass. */
typedef struct softstep_heads_state softstep_heads_state;
SOFTSTEP_EXPORT softstep_status softstep_heads_state_create(softstep_type type, softstep_heads_state** state);
SOFTSTEP_EXPORT void softstep_heads_state_destroy(softstep_heads_state* state);

/* log_sum_exp [B, H, Tq] and state may be null. */
SOFTSTEP_EXPORT softstep_status softstep_heads_forward(const softstep_heads_options* options,
                                                       const softstep_heads_array* queries,
                                                       const softstep_heads_array* keys,
                                                       const softstep_heads_array* values,
                                                       const softstep_heads_array* outputs, void* log_sum_exp,
                                                       softstep_heads_state* state);
/* Any of the gradients may be null. bias_gradient: of bias_size. query_exponents [B, H, Tq] and key_exponents
 * [B, Hkv]: null for plain gradients. */
SOFTSTEP_EXPORT softstep_status softstep_heads_backward(
    const softstep_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values, const softstep_heads_state* state,
    const softstep_heads_array* output_gradient, const softstep_heads_array* query_gradient,
    const softstep_heads_array* key_gradient, const softstep_heads_array* value_gradient, void* bias_gradient,
    double* query_exponents, double* key_exponents);

#ifdef __cplusplus
}
#endif

#endif
