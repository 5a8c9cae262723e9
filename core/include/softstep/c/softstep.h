/* softstep for C, and for every language that calls C: models, training, max-margin solutions, softmax and
 * linear attention over heads. What functions mean in full is said in the C++ headers that are named beside
 * them.
 *
 * Functions return a softstep_status. Where it is not SOFTSTEP_OK, softstep_last_message() says why in one
 * line, and nothing has been written through the pointers given. No C++ exception leaves a function. Objects
 * are made and destroyed by the caller; one object serves one thread at a time unless it is said otherwise.
 * Memory that is handed in stays the caller's and must outlive what looks at it. An object that has been
 * destroyed must not be used. A library that was built without NDEBUG (CMAKE_BUILD_TYPE=Debug) finds that out
 * and says SOFTSTEP_BAD_ARGUMENT; softstep_last_message() then tells of a second destruction too.
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
/* The name of the argument at fault; "" where there is none. Of what C++ checks it is the name there:
 * "gradients.queries" for query_gradient, "products.queries" for query_product, "threads" for n_threads. */
SOFTSTEP_EXPORT const char* softstep_last_argument(void);
/* For libraries beside this one that fail in the same way: keeps message and argument ("" or null: none) for
 * the two functions above, and returns the status. */
SOFTSTEP_EXPORT softstep_status softstep_set_failure(softstep_status status, const char* argument,
                                                     const char* message);

/* ---- The library ---- */

/* Grows when a function or struct changes so that programs must be compiled anew. */
#define SOFTSTEP_C_ABI 1
SOFTSTEP_EXPORT int32_t softstep_abi(void);
SOFTSTEP_EXPORT const char* softstep_version(void); /* "0.1.0" */
/* softstep_require_abi(SOFTSTEP_C_ABI): SOFTSTEP_BAD_ARGUMENT, with both numbers in the message, where the
 * library found at run time is not one for the header that the program was compiled with. A program that was
 * linked to the shared library need not ask: there the functions carry the number as their symbol version. */
SOFTSTEP_EXPORT softstep_status softstep_require_abi(int32_t abi);
/* 1 where the library finds out that a handle has been destroyed: it was built without NDEBUG. */
SOFTSTEP_EXPORT int32_t softstep_checks_handles(void);
/* Processors that the process may use (softstep/threads.h). */
SOFTSTEP_EXPORT int32_t softstep_available_threads(void);
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

/* ---- Data (softstep/dataset.h) ---- */

typedef struct softstep_dataset softstep_dataset;
typedef struct softstep_generate_options {
  size_t struct_size;
  const char* generator;           /* "signal_noise" (default) or another of `softstep generate --help` */
  size_t n_samples, n_tokens, dim; /* 0: 10, 6, 60 */
  uint64_t seed;
  double signal, noise; /* 0: 1, 1 / sqrt(dim) */
  int32_t equal_scores;
  int32_t reserved;
} softstep_generate_options;
/* Generated data, in float64; options may be null. */
SOFTSTEP_EXPORT softstep_status softstep_dataset_generate(const softstep_generate_options* options,
                                                          softstep_dataset** dataset);
/* A safetensors file, read as `type`: F64, F32, or what its 16-bit tokens are stored as, then used in place.
 */
SOFTSTEP_EXPORT softstep_status softstep_dataset_load(const char* path, softstep_type type,
                                                      softstep_dataset** dataset);
/* The same; of files above 16 MiB at most so many bytes are resident at a time while attention models pass
 * through them (softstep/large_data.h, ReadOptions). 0: as many as the system lets; else 4 MiB or more. */
SOFTSTEP_EXPORT softstep_status softstep_dataset_load_within(const char* path, softstep_type type,
                                                             size_t resident_bytes,
                                                             softstep_dataset** dataset);
SOFTSTEP_EXPORT softstep_status softstep_dataset_save(const char* path, const softstep_dataset* dataset);
/* What the dataset holds, as a batch; valid while the dataset lives. batch->struct_size must be set. */
SOFTSTEP_EXPORT softstep_status softstep_dataset_batch(const softstep_dataset* dataset,
                                                       softstep_batch* batch);
/* Tensor `weights` [dim, dim] of a safetensors file, as `softstep train --out` writes it. */
SOFTSTEP_EXPORT softstep_status softstep_weights_load(const char* path, size_t dim, double* weights);
SOFTSTEP_EXPORT softstep_status softstep_weights_save(const char* path, size_t dim, const double* weights);
SOFTSTEP_EXPORT void softstep_dataset_destroy(softstep_dataset* dataset); /* null: nothing */

/* ---- Ranks: processes that share the samples of one run (softstep/ranks.h) ---- */

/* How numbers are passed on. softstep/c/softstep_mpi.h makes ranks of a communicator of MPI; this is for any
 * other way. Functions return null, or where they fail a message that stays valid until the next call; the
 * function of softstep's that asked then fails with it. */
typedef struct softstep_own_ranks {
  size_t struct_size;
  void* user;
  size_t rank, size; /* this one, 0 to size - 1; at most 2^31 - 1 */
  /* n bytes of each rank to all, those of rank 0 first; `all` has room for size * n. */
  const char* (*gather)(void* user, const void* mine, size_t n, void* all);
  const char* (*broadcast)(void* user, void* data, size_t n, size_t from);
  const char* (*receive)(void* user, void* data, size_t n); /* from the rank before; not the first's */
  const char* (*send)(void* user, const void* data,
                      size_t n);    /* to the next, may return before; not the last's */
  const char* (*flush)(void* user); /* until all sent is on its way, and all sums begun are there */
  void (*destroy)(void* user);      /* when the last object that uses the ranks is destroyed; not where making
                                       them failed; may be null */
  const char* sum_order; /* of what ranks have of their samples, the same on all: "samples" (default), with
                            the bits of one process, or "any", which waits less */
  /* n numbers (F32 or F64) <- their sums over the ranks, with the same bits on all, for "any"; may be null:
   * then by gather, in the order of the ranks. */
  const char* (*sum)(void* user, softstep_type type, void* values, size_t n);
  /* sum, which may return before the sums are there: the values are left alone until flush. May be null: then
   * by sum. */
  const char* (*begin_sum)(void* user, softstep_type type, void* values, size_t n);
} softstep_own_ranks;
typedef struct softstep_ranks softstep_ranks;
/* All ranks make theirs, and call what takes ranks or a model that has them, together and in one order; one
 * whose call fails ends the job, because the others wait. */
SOFTSTEP_EXPORT softstep_status softstep_ranks_create(const softstep_own_ranks* own, softstep_ranks** ranks);
/* null: nothing. Models that were made with the ranks keep what they need. */
SOFTSTEP_EXPORT void softstep_ranks_destroy(softstep_ranks* ranks);
/* Either may be null. */
SOFTSTEP_EXPORT softstep_status softstep_ranks_place(const softstep_ranks* ranks, size_t* rank, size_t* size);
/* The samples begin to end - 1 of n are this rank's, of an even share. */
SOFTSTEP_EXPORT softstep_status softstep_ranks_share(const softstep_ranks* ranks, size_t n, size_t* begin,
                                                     size_t* end);
/* Lets runs of models with these ranks, and solvers, stop on all of them in the same step; may be called on
 * one of them, and from any thread. */
SOFTSTEP_EXPORT softstep_status softstep_ranks_ask_to_stop(const softstep_ranks* ranks);
/* softstep_dataset_load of this rank's share: it reads the tokens and queries of its own samples alone. F64
 * or F32. Fails on all ranks where it does on one. */
SOFTSTEP_EXPORT softstep_status softstep_dataset_load_part(const char* path, softstep_type type,
                                                           const softstep_ranks* ranks,
                                                           softstep_dataset** dataset);

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
  const char* isa;             /* null: the one in force */
  softstep_type token_storage; /* F16 or BF16: how the kernels keep float32 tokens; 0: as they are */
  int32_t reserved;
  /* The batch has the samples of this rank. A callback of softstep_train that answers 1 stops all ranks
   * together, and one of them alone writes checkpoints. Null: all samples are here. */
  const softstep_ranks* ranks;
} softstep_attention_options;

/* options may be null. The batch's arrays must outlive the model. */
SOFTSTEP_EXPORT softstep_status softstep_attention_model_create(const softstep_batch* batch,
                                                                const softstep_attention_options* options,
                                                                softstep_model** model);

typedef struct softstep_linear_options {
  size_t struct_size;
  const char* loss; /* as above */
  const softstep_own_loss* own_loss;
  const char* optimal_loss; /* "zero" (default) or "value" */
  double optimal_loss_value;
  const char* isa;
} softstep_linear_options;
/* f = w^T x on the first token of each sample (softstep/linear_model.h). options may be null. */
SOFTSTEP_EXPORT softstep_status softstep_linear_model_create(const softstep_batch* batch,
                                                             const softstep_linear_options* options,
                                                             softstep_model** model);

/* Contexts and what follows them (softstep/next_token.h); copied. */
typedef struct softstep_next_token_data {
  size_t struct_size;
  size_t vocabulary, dim, n_contexts;
  const double* contexts;      /* [n_contexts][dim] */
  const double* probabilities; /* [n_contexts] */
  const size_t* first;         /* [n_contexts + 1]: context j owns entries first[j] .. first[j + 1] - 1 of */
  const size_t* tokens;        /* the tokens that follow it and of */
  const double* labels;        /* their probabilities */
} softstep_next_token_data;
/* Blocks "finite" and "margin"; type: F64 or F32. */
SOFTSTEP_EXPORT softstep_status softstep_next_token_model_create(const softstep_next_token_data* data,
                                                                 softstep_type type, const char* isa,
                                                                 softstep_model** model);

/* Points, each of one class (softstep/multiclass.h); copied. */
typedef struct softstep_multiclass_data {
  size_t struct_size;
  size_t n_classes, dim, n_samples;
  const double* features; /* [n_samples][dim] */
  const size_t* classes;  /* [n_samples], below n_classes */
} softstep_multiclass_data;
/* One block "weights" [n_classes][dim]; type: F64 or F32. */
SOFTSTEP_EXPORT softstep_status softstep_multiclass_model_create(const softstep_multiclass_data* data,
                                                                 softstep_type type, const char* isa,
                                                                 softstep_model** model);
/* Clouds about random centres; out: features [n_classes * points_per_class][dim] and as many classes. */
SOFTSTEP_EXPORT softstep_status softstep_class_clouds(size_t n_classes, size_t dim, size_t points_per_class,
                                                      double noise, uint64_t seed, double* features,
                                                      size_t* classes);

/* One hidden layer (softstep/relu_network.h). */
typedef struct softstep_relu_options {
  size_t struct_size;
  size_t n_neurons;
  const double* outer;               /* [n_neurons], which stay as they are; null: trained, block "outer" */
  const char* loss;                  /* "logistic" (default), "exponential", "squared" or "correlation" */
  const softstep_own_loss* own_loss; /* in place of `loss` */
  const char* optimal_loss;          /* "zero" (default) or "value" */
  double optimal_loss_value;
  const char* isa;
} softstep_relu_options;
/* On the first token of each sample; the batch is copied. Blocks "weights" [n_neurons][dim], "outer". */
SOFTSTEP_EXPORT softstep_status softstep_relu_model_create(const softstep_batch* batch,
                                                           const softstep_relu_options* options,
                                                           softstep_model** model);
typedef struct softstep_gaussian_clusters {
  size_t struct_size;
  size_t dim, n_clusters;
  const double* means;         /* [n_clusters][dim] */
  const double* probabilities; /* [n_clusters], adding up to 1 */
  const int8_t* labels;        /* [n_clusters], -1 or +1 */
  double sigma;
} softstep_gaussian_clusters;
/* The expected correlation loss of the same network over clusters; copied. outer: as above. */
SOFTSTEP_EXPORT softstep_status softstep_relu_population_model_create(
    const softstep_gaussian_clusters* clusters, size_t n_neurons, const double* outer, softstep_type type,
    const char* isa, softstep_model** model);

/* In-context regression by its moments (softstep/in_context.h); copied. */
typedef struct softstep_in_context_options {
  size_t struct_size;
  size_t dim, n_examples;
  const double* spectrum; /* [dim] eigenvalues, each above 0 */
  const char* form;       /* "separate" (default) or "merged" heads */
  size_t n_heads, rank;   /* 0: 1 */
  softstep_type type;     /* F64 or F32 */
  int32_t reserved;
  const char* isa;
} softstep_in_context_options;
SOFTSTEP_EXPORT softstep_status softstep_in_context_model_create(const softstep_in_context_options* options,
                                                                 softstep_model** model);
/* The matrix of the smallest loss, out: [dim][dim]. */
SOFTSTEP_EXPORT softstep_status softstep_in_context_optimum(const double* spectrum, size_t dim,
                                                            size_t n_examples, double* optimum);

/* Attention of the last token with a vocabulary head (softstep/vocabulary_attention.h); copied. */
typedef struct softstep_sentence_data {
  size_t struct_size;
  size_t vocabulary, dim, n_sentences;
  const double* tokens;        /* [first[n_sentences]][dim] */
  const size_t* first;         /* [n_sentences + 1]: sentence i owns tokens first[i] .. first[i + 1] - 1 */
  const double* probabilities; /* [n_sentences] */
  const size_t* first_next;    /* [n_sentences + 1]: as `first`, of */
  const size_t* next;          /* the tokens that may follow it and of */
  const double* labels;        /* their probabilities */
} softstep_sentence_data;
typedef struct softstep_vocabulary_options {
  size_t struct_size;
  const char* mixing; /* "softmax" (default) or "linear" */
  size_t n_directions;
  const double* directions; /* [n_directions][dim][dim], their scales are trained; null: W is */
  const double* values;     /* [vocabulary][dim], which stays as it is; null: trained, block "values" */
  int32_t has_feed_forward;
  softstep_type type;         /* F64 or F32 */
  const double* feed_forward; /* [vocabulary][dim]; null: trained, block "feed_forward", if there is one */
  const char* infimum;        /* "entropy" (default) or "best token" */
  const char* isa;
} softstep_vocabulary_options;
/* options may be null. */
SOFTSTEP_EXPORT softstep_status softstep_vocabulary_attention_model_create(
    const softstep_sentence_data* data, const softstep_vocabulary_options* options, softstep_model** model);
/* What no cross entropy is below. */
SOFTSTEP_EXPORT softstep_status softstep_sentence_entropy(const softstep_sentence_data* data,
                                                          double* entropy);

/* In-context regression from several tasks, with gates between them (softstep/gated.h); copied. */
typedef struct softstep_multitask_regression {
  size_t struct_size;
  size_t dim, n_tasks;
  const double* spectrum;     /* [dim] eigenvalues, each above 0 */
  const size_t* n_examples;   /* [n_tasks] */
  const double* correlations; /* [n_tasks], from -1 to 1 */
  double noise;
} softstep_multitask_regression;
/* Blocks "matrix" [dim][dim] and "weights" or "gates". weights: "gated" (default), "free" or "constant";
 * gates: [n_tasks - 1] of constant ones, else null; type: F64 or F32. */
SOFTSTEP_EXPORT softstep_status softstep_gated_model_create(const softstep_multitask_regression* data,
                                                            const char* weights, const double* gates,
                                                            softstep_type type, const char* isa,
                                                            softstep_model** model);
/* The best weight of an example of each task, out: [n_tasks]. */
SOFTSTEP_EXPORT softstep_status softstep_multitask_weights(const softstep_multitask_regression* data,
                                                           double* weights);
/* The least loss with given weights, [n_tasks]. */
SOFTSTEP_EXPORT softstep_status softstep_multitask_loss(const softstep_multitask_regression* data,
                                                        const double* weights, double* loss);

/* A 4-gram and an induction head in four numbers (softstep/induction.h); copied. */
typedef struct softstep_induction_data {
  size_t struct_size;
  size_t length, n_samples;
  const double* sequences; /* [n_samples][length] */
  const double* targets;   /* [n_samples] */
} softstep_induction_data;
/* The task of the paper, out: sequences [n_samples][length], targets [n_samples]. */
SOFTSTEP_EXPORT softstep_status softstep_induction_generate(size_t n_samples, size_t length, double a,
                                                            double w_star, uint64_t seed, double* sequences,
                                                            double* targets);
/* Blocks "position_value", "position", "match_value" and "match" of one number each. scores: "product"
 * (default) or "single"; type: F64 or F32. */
SOFTSTEP_EXPORT softstep_status softstep_induction_model_create(const softstep_induction_data* data,
                                                                const char* scores, softstep_type type,
                                                                const char* isa, softstep_model** model);
/* Half the mean square of what each head misses of its part of the target, at the model's four numbers. */
SOFTSTEP_EXPORT softstep_status softstep_induction_parts(const softstep_induction_data* data, double a,
                                                         double w_star, const double* blocks,
                                                         const char* scores, double* four_gram,
                                                         double* induction);

/* A linear model whose weights are drawn (softstep/variational.h). */
typedef struct softstep_variational_options {
  size_t struct_size;
  size_t rank;      /* columns of the factor; 0: as many as dimensions */
  const char* loss; /* "squared" (default) or "exponential" */
  const char* isa;
} softstep_variational_options;
/* On the first token of each sample; the batch is copied. Blocks "mean" [dim][1], "factor" [dim][rank].
 * options may be null. */
SOFTSTEP_EXPORT softstep_status softstep_variational_model_create(const softstep_batch* batch,
                                                                  const softstep_variational_options* options,
                                                                  softstep_model** model);

/* The attention layer with diagonal K and Q (softstep/diagonal_attention.h). */
typedef struct softstep_diagonal_options {
  size_t struct_size;
  const char* form;         /* "factored" (default) or "combined" */
  const char* loss;         /* "logistic" (default), "exponential" or "squared" */
  const char* optimal_loss; /* "optimal" (default), "selected", "value" or "zero" */
  double optimal_loss_value;
  const char* isa;
  int32_t n_threads; /* 0: 1; -1: all that the process may use */
  int32_t reserved;
} softstep_diagonal_options;
/* The batch is copied. Blocks "keys" and "queries", or "weights", [dim][1]. options may be null. */
SOFTSTEP_EXPORT softstep_status softstep_diagonal_attention_model_create(
    const softstep_batch* batch, const softstep_diagonal_options* options, softstep_model** model);

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
SOFTSTEP_EXPORT softstep_status softstep_model_n_samples(const softstep_model* model, size_t* n_samples);
/* Observable k, which softstep_observe gives: its rows and columns. */
SOFTSTEP_EXPORT softstep_status softstep_model_observable(const softstep_model* model, size_t k,
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
 * evaluation may be null; what of it `want` does not ask for is NaN. */
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

/* ---- A model as the objective of another solver (softstep/log_gap.h) ---- */

/* Numbers in all blocks together, one block after the other. */
SOFTSTEP_EXPORT softstep_status softstep_flat_size(const softstep_model* model, size_t* size);
enum { SOFTSTEP_LOG_GAP_GOOD = 0, SOFTSTEP_LOG_GAP_NOT_POSITIVE = 1, SOFTSTEP_LOG_GAP_NOT_FINITE = 2 };
typedef struct softstep_log_gap_result {
  size_t struct_size;
  int32_t status; /* SOFTSTEP_LOG_GAP_.. */
  int32_t reserved;
  double value;        /* log(L - L*) */
  softstep_scaled gap; /* L - L* */
} softstep_log_gap_result;
/* log(L - L*) and its gradient, plain numbers that underflow nowhere. at: `size` numbers of the model's type;
 * gradient: as many of gradient_type (that of the model, or F64), null: not wanted. */
SOFTSTEP_EXPORT softstep_status softstep_log_gap(const softstep_model* model, softstep_workspace* workspace,
                                                 const void* at, size_t size, void* gradient,
                                                 softstep_type gradient_type,
                                                 softstep_log_gap_result* result);
typedef struct softstep_plain_loss_result {
  size_t struct_size;
  double value;                /* L */
  int32_t value_underflows;    /* L is not zero, but `value` is */
  int32_t gradient_underflows; /* some block's gradient is not zero, but all of its plain numbers are */
} softstep_plain_loss_result;
/* L and its gradient in plain numbers, of the model's type. */
SOFTSTEP_EXPORT softstep_status softstep_plain_loss(const softstep_model* model,
                                                    softstep_workspace* workspace, const void* at,
                                                    size_t size, void* gradient,
                                                    softstep_plain_loss_result* result);

/* ---- A gradient beside differences (softstep/gradient_check.h) ---- */

typedef struct softstep_gradient_check_options {
  size_t struct_size;
  double tolerance;      /* 0: 1e-6 in double, 1e-3 in float */
  size_t max_entries;    /* of a block, evenly spread; 0: all */
  const size_t* samples; /* of which the loss is the mean; null: all */
  size_t n_samples;
} softstep_gradient_check_options;
typedef struct softstep_gradient_check_result {
  size_t struct_size;
  int32_t passed; /* this block did */
  int32_t reserved;
  size_t n_entries;
  softstep_scaled gradient_norm, difference_norm;
  double relative_error, difference_error, rounding_error, norm_error;
  size_t worst_row, worst_column;
  softstep_scaled worst_gradient, worst_difference;
} softstep_gradient_check_result;
/* Compares the gradient at these blocks with central differences of the loss, or of the loss gap where there
 * is one. results: one for each block, all of the same struct_size; passed: every block did. Either may be
 * null, and so may options. */
SOFTSTEP_EXPORT softstep_status softstep_check_gradient(const softstep_model* model,
                                                        const void* const* blocks,
                                                        const softstep_gradient_check_options* options,
                                                        softstep_gradient_check_result* results,
                                                        int32_t* passed);

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
  size_t n_matrices;            /* arrays as large as the weights that it remembers, 4096 at most */
  /* memory: n_memory numbers and then the arrays, null before the first step; next: the same, to be filled
   * in. direction: n_rows x n_cols numbers. Returns 0, or another number to end the run with SOFTSTEP_FAILED.
   */
  int32_t (*propose)(void* user, const softstep_step_context* context, const double* memory, double* next,
                     double* direction, softstep_step* step);
} softstep_own_rule;

/* ---- Training (softstep/trainer.h, softstep/train_state.h) ---- */

typedef struct softstep_state softstep_state;
/* The checkpoints of one run in a folder (softstep/checkpoints.h). */
typedef struct softstep_checkpoints softstep_checkpoints;

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
  /* States of the run are written here, at multiples of checkpoint_steps, when checkpoint_seconds have gone
   * by (0: neither does), and at the end; null: none are. One run at a time. */
  const softstep_checkpoints* checkpoints;
  int64_t checkpoint_steps;
  double checkpoint_seconds;
  /* A checkpoint could not be written; null: the run ends with SOFTSTEP_IO_ERROR. */
  int32_t (*checkpoint_failed)(void* user, const char* message);
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
/* The same with blocks from N(0, std^2) in the documented random stream. */
SOFTSTEP_EXPORT softstep_status softstep_state_create_normal(const softstep_model* model, double std,
                                                             uint64_t seed, softstep_state** state);
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
/* Takes the folder, and makes it if it is not there; the one above must be. keep: how many stay; 0: 3.
 * SOFTSTEP_BAD_ARGUMENT where another run has taken it. */
SOFTSTEP_EXPORT softstep_status softstep_checkpoints_open(const char* folder, int32_t keep,
                                                          softstep_checkpoints** checkpoints);
/* The state of the newest whole one, to go on from; null where there are none. One of another run is refused;
 * SOFTSTEP_BAD_FILE where all are damaged. */
SOFTSTEP_EXPORT softstep_status softstep_checkpoints_newest(const softstep_checkpoints* checkpoints,
                                                            const softstep_model* model,
                                                            const softstep_train_options* options,
                                                            softstep_state** state);
SOFTSTEP_EXPORT softstep_status softstep_checkpoints_write(const softstep_checkpoints* checkpoints,
                                                           const softstep_model* model,
                                                           const softstep_state* state,
                                                           const softstep_train_options* options);
SOFTSTEP_EXPORT void softstep_checkpoints_close(softstep_checkpoints* checkpoints); /* null: nothing */
/* Goes on from the state, which is that of the last step taken. summary may be null. */
SOFTSTEP_EXPORT softstep_status softstep_train(const softstep_model* model, softstep_state* state,
                                               const softstep_train_options* options,
                                               softstep_train_summary* summary);

/* ---- Many runs ---- */

/* One run for each of n_rules rules (as softstep_train_options.rules, which is null here, as own_rule is),
 * one after the other, each as softstep_train makes it from a copy of `start` (null: all blocks zero).
 * Callbacks belong to the run that goes on; a row of the step of `start` begins one. summaries: one for each
 * run, all of the same struct_size. states: out, null or n_rules of them, where each run stood in the end. */
SOFTSTEP_EXPORT softstep_status softstep_compare(const softstep_model* model, const softstep_state* start,
                                                 const char* const* rules, size_t n_rules,
                                                 const softstep_train_options* options,
                                                 softstep_train_summary* summaries, softstep_state** states);
/* The same with every rule at every value of one of its options ("step-size"): run r * n_values + v is
 * rules[r] at values[v]. */
SOFTSTEP_EXPORT softstep_status softstep_sweep(const softstep_model* model, const softstep_state* start,
                                               const char* const* rules, size_t n_rules, const char* option,
                                               const double* values, size_t n_values,
                                               const softstep_train_options* options,
                                               softstep_train_summary* summaries, softstep_state** states);
/* n_runs runs at once, each with a model, a state and options of its own (softstep/train_many.h). Models and
 * options may be shared, states may not; all models are of one precision. Small runs go side by side, one to
 * a lane of the vector registers, and agree with softstep_train to rounding; a run's bits do not depend on
 * the others or on n_threads (0: one, -1: all). Callbacks are called from several threads, those of one run
 * from one at a time; 1 stops their run alone. summaries: null or n_runs of them, all of the same
 * struct_size. Nothing is done where one of the runs is wrong; the message then names it. */
SOFTSTEP_EXPORT softstep_status softstep_train_many(const softstep_model* const* models,
                                                    softstep_state* const* states,
                                                    const softstep_train_options* const* options,
                                                    size_t n_runs, int32_t n_threads,
                                                    softstep_train_summary* summaries);

/* ---- Max-margin solutions (softstep/max_margin.h) ---- */

typedef struct softstep_max_margin_options {
  size_t struct_size;
  double tolerance;  /* 0: 1e-10 */
  size_t max_sweeps; /* 0: 100000 */
  int32_t n_threads; /* 0: 1; -1: all that the process may use */
  int32_t reserved;
  const size_t*
      selected; /* a token of each sample that is to win, or for each query; null: the optimal ones */
  void* user;
  int32_t (*progress)(void* user, size_t sweeps, double duality_gap, double kkt_residual); /* 1 to stop */
  size_t n_selected;                                                                       /* 0: n_samples */
  /* Out, null: not wanted. lambda >= 0, one for each token (of each query), in batch order, 0 at the winning
   * ones; for labelled points one for each; for next tokens n x n_vocabulary. */
  double* multipliers;
  size_t n_multipliers;
  double* equality_multipliers; /* of problems with equalities, as many; 0 elsewhere */
  /* Of softstep_solve_max_margin alone: batch and `selected` are those of this rank, and the answer with its
   * multipliers is that of all samples, on every rank. */
  const softstep_ranks* ranks;
} softstep_max_margin_options;
typedef struct softstep_max_margin_result {
  size_t struct_size;
  const char* status; /* the words of MaxMarginStatus: "optimal", "not_separable", ..; static */
  double norm, margin, duality_gap, kkt_residual, certificate;
  size_t n_constraints, n_support, sweeps;
  /* Of problems with equalities; 0 elsewhere. */
  double equality_residual, stationarity_residual;
  size_t n_equalities, equality_rank;
} softstep_max_margin_result;
/* weights: out, dim x dim; null: not wanted. options and result may be null. */
SOFTSTEP_EXPORT softstep_status softstep_solve_max_margin(const softstep_batch* batch,
                                                          const softstep_max_margin_options* options,
                                                          double* weights,
                                                          softstep_max_margin_result* result);

/* Labelled points, [n][dim] of `type` (F64 or F32), without intercept; weights: dim numbers. */
SOFTSTEP_EXPORT softstep_status softstep_solve_linear_max_margin(softstep_type type, const void* points,
                                                                 const int8_t* labels, size_t n, size_t dim,
                                                                 const softstep_max_margin_options* options,
                                                                 double* weights,
                                                                 softstep_max_margin_result* result);
/* Several tokens of each sample that share the best score: those of sample i are tied[first[i]] ..
 * tied[first[i + 1] - 1], first[0] = 0. */
SOFTSTEP_EXPORT softstep_status softstep_solve_max_margin_with_ties(
    const softstep_batch* batch, const size_t* first, const size_t* tied,
    const softstep_max_margin_options* options, double* weights, softstep_max_margin_result* result);
/* Contexts [n][dim] of `type`; those that follow context i as above. weights: n_vocabulary x dim. */
SOFTSTEP_EXPORT softstep_status softstep_solve_next_token_max_margin(
    softstep_type type, const void* contexts, size_t n, size_t dim, size_t n_vocabulary, const size_t* first,
    const size_t* supports, const softstep_max_margin_options* options, double* weights,
    softstep_max_margin_result* result);
/* In another norm: "nuclear", or "lp" with p above 1. options.tolerance 0: 1e-8. */
SOFTSTEP_EXPORT softstep_status softstep_solve_max_margin_in_norm(const softstep_batch* batch,
                                                                  const char* norm, double p,
                                                                  const softstep_max_margin_options* options,
                                                                  double* weights,
                                                                  softstep_max_margin_result* result);

/* ---- Metrics (softstep/metrics.h) ---- */

/* 1 - cos, and the angle in radians, between two arrays; either may be null. */
SOFTSTEP_EXPORT softstep_status softstep_compare_direction(const double* a, const double* b, size_t size,
                                                           double* one_minus_cos, double* angle);
/* "frobenius", "spectral", "max", "nuclear" or "lp", of a row-major matrix. */
SOFTSTEP_EXPORT softstep_status softstep_matrix_norm(const double* a, size_t n_rows, size_t n_cols,
                                                     const char* norm, double p, double* value);
/* Decreasing; n: the smaller of rows and columns. */
SOFTSTEP_EXPORT softstep_status softstep_singular_values(const double* a, size_t n_rows, size_t n_cols,
                                                         double* values, size_t n);
/* The smallest margin of W, dim x dim, over its Frobenius norm. */
SOFTSTEP_EXPORT softstep_status softstep_normalized_margin(const softstep_batch* batch, const double* weights,
                                                           double* margin);
/* The same over another norm, as of softstep_matrix_norm. */
SOFTSTEP_EXPORT softstep_status softstep_margin_in_norm(const softstep_batch* batch, const double* weights,
                                                        const char* norm, double p, double* margin);
/* min over i and c != y_i of (w_{y_i} - w_c)^T h_i over the norm of W, n_classes x dim. */
SOFTSTEP_EXPORT softstep_status softstep_multiclass_margin(const softstep_multiclass_data* data,
                                                           const double* weights, const char* norm, double p,
                                                           double* margin);

/* Bounds on the margin that any W has, by gradients and without a solver (softstep/margin_certificate.h). */
typedef struct softstep_margin_certificate softstep_margin_certificate;
SOFTSTEP_EXPORT softstep_status softstep_dual_norm(const double* a, size_t n_rows, size_t n_cols,
                                                   const char* norm, double p, double* value);
/* At least this share of the largest margin in the norm W has, by the gradient at W alone. */
SOFTSTEP_EXPORT softstep_status softstep_certified_share(const softstep_batch* batch, const double* weights,
                                                         const char* norm, double p, double* share);
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_create(size_t n_rows, size_t n_cols,
                                                                   softstep_margin_certificate** certificate);
SOFTSTEP_EXPORT void softstep_margin_certificate_destroy(softstep_margin_certificate* certificate);
/* Takes sum_k lambda_k A_k, n_rows x n_cols, and sum_k lambda_k into the average. */
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_add(softstep_margin_certificate* certificate,
                                                                const double* combination, double weight);
/* The gradient of the attention layer at W. loss: null: "logistic". added: 0 where no multiplier is positive
 * and nothing was added; may be null. */
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_add_attention(
    softstep_margin_certificate* certificate, const softstep_batch* batch, const double* weights,
    const char* loss, int32_t* added);
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_add_multiclass(
    softstep_margin_certificate* certificate, const softstep_multiclass_data* data, const double* weights);
/* No W has a larger margin; infinity while nothing has been added. */
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_bound(
    const softstep_margin_certificate* certificate, const char* norm, double p, double* bound);
/* margin / bound; 0 while nothing has been added. */
SOFTSTEP_EXPORT softstep_status softstep_margin_certificate_share(
    const softstep_margin_certificate* certificate, double margin, const char* norm, double p, double* share);
/* The token that W attends to, for every query: n of them. */
SOFTSTEP_EXPORT softstep_status softstep_selected_tokens(const softstep_batch* batch, const double* weights,
                                                         size_t* selected, size_t n);
typedef struct softstep_sparsity {
  size_t struct_size;
  double mean_entropy, mean_effective_tokens, fraction_below;
} softstep_sparsity;
/* level 0: 1e-3 */
SOFTSTEP_EXPORT softstep_status softstep_attention_sparsity(const softstep_batch* batch,
                                                            const double* weights, double level,
                                                            softstep_sparsity* sparsity);

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
/* The derivative of the outputs along a direction, after softstep_heads_forward with this state. What of the
 * direction is null stands still. */
SOFTSTEP_EXPORT softstep_status softstep_heads_tangent(
    const softstep_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values, const softstep_heads_state* state,
    const softstep_heads_array* query_direction, const softstep_heads_array* key_direction,
    const softstep_heads_array* value_direction, const softstep_heads_array* output_tangent);
/* The derivatives of the three gradients along a direction, exponents as above. */
SOFTSTEP_EXPORT softstep_status softstep_heads_hessian_product(
    const softstep_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values, const softstep_heads_state* state,
    const softstep_heads_array* output_gradient, const softstep_heads_array* query_direction,
    const softstep_heads_array* key_direction, const softstep_heads_array* value_direction,
    const softstep_heads_array* output_gradient_direction, const softstep_heads_array* query_product,
    const softstep_heads_array* key_product, const softstep_heads_array* value_product,
    double* query_exponents, double* key_exponents);

/* ---- Linear attention over heads (softstep/linear_attention.h) ---- */

enum { SOFTSTEP_GATES_NONE = 0, SOFTSTEP_GATES_SCALAR = 1, SOFTSTEP_GATES_VECTOR = 2 };
typedef struct softstep_linear_heads_options {
  size_t struct_size;
  softstep_type type; /* that is computed with: F64 or F32 */
  int32_t n_threads;  /* 0: all that the process may use */
  size_t batch, n_heads, n_key_heads, n_queries, n_keys, dim, value_dim;
  int32_t has_scale, causal; /* without has_scale: 1 */
  double scale;
  int32_t gates; /* SOFTSTEP_GATES_.. */
  int32_t has_before, has_after;
  int32_t reserved;
  size_t before, after;
  const int64_t* key_lengths;                 /* [batch] or null */
  const int64_t *query_offsets, *key_offsets; /* [batch + 1] or null */
  const char* isa;
} softstep_linear_heads_options;
/* log_gates: null without gates. */
SOFTSTEP_EXPORT softstep_status softstep_linear_heads_forward(const softstep_linear_heads_options* options,
                                                              const softstep_heads_array* queries,
                                                              const softstep_heads_array* keys,
                                                              const softstep_heads_array* values,
                                                              const softstep_heads_array* log_gates,
                                                              const softstep_heads_array* outputs);
/* Any of the gradients may be null. */
SOFTSTEP_EXPORT softstep_status softstep_linear_heads_backward(
    const softstep_linear_heads_options* options, const softstep_heads_array* queries,
    const softstep_heads_array* keys, const softstep_heads_array* values,
    const softstep_heads_array* log_gates, const softstep_heads_array* output_gradient,
    const softstep_heads_array* query_gradient, const softstep_heads_array* key_gradient,
    const softstep_heads_array* value_gradient, const softstep_heads_array* log_gate_gradient);

#ifdef __cplusplus
}
#endif

#endif
