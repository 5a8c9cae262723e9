/* A program in C99 that calls every function of softstep/c/softstep.h, run plainly, under AddressSanitizer
 * and under valgrind. Each part ends the program at the first answer that is wrong. */
#ifndef SOFTSTEP_TESTS_C_PROGRAM_H
#define SOFTSTEP_TESTS_C_PROGRAM_H

#include "softstep/c/softstep.h"

/* Ends the program unless the condition holds. */
#define REQUIRE(condition) require_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
/* Ends the program unless the call succeeds. */
#define GOOD(call) require_status((call), SOFTSTEP_OK, "", #call, __FILE__, __LINE__)
/* Ends the program unless the call fails as a bad argument of this name. */
#define BAD(argument, call) \
  require_status((call), SOFTSTEP_BAD_ARGUMENT, (argument), #call, __FILE__, __LINE__)

void require_true(int condition, const char* text, const char* file, int line);
void require_status(softstep_status status, softstep_status wanted, const char* argument, const char* text,
                    const char* file, int line);

/* `n` numbers in (-1, 1), the same for the same seed. */
void fill(double* values, size_t n, uint32_t seed);

enum { small_samples = 6, small_tokens = 4, small_dim = 8 };
/* Generated data of the sizes above. */
softstep_dataset* small_data(void);
softstep_batch batch_of(const softstep_dataset* data);
/* The loss of a model of at most four blocks of 64 numbers, at blocks that are filled; ends the program where
 * a gradient is zero or not finite. */
double evaluated(const softstep_model* model);

void test_library(void);
void test_models(void);
void test_training(const char* path);
void test_checkpoints(const char* folder);
void test_solvers(void);
void test_neighbours(void);
void test_sequence_models(void);
void test_heads(void);
void test_ranks(const char* path);
void test_destroyed(void);

#endif
