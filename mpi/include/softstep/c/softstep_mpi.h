/* Runs over MPI in C: ranks of a communicator, for softstep_attention_options.ranks and
 * softstep_max_margin_options.ranks of softstep/c/softstep.h. Library softstep::mpi, there where softstep was
 * built with -DSOFTSTEP_MPI=ON; docs/mpi.md says how to use it.
 */
#ifndef SOFTSTEP_C_SOFTSTEP_MPI_H
#define SOFTSTEP_C_SOFTSTEP_MPI_H

#include <mpi.h>

#include "softstep/c/softstep.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The processes of a communicator, which all make theirs together. They work on a copy of it, so that no
 * message of the caller's is taken for one of theirs; the caller keeps the communicator, and may free it at
 * once. MPI must have been initialised, with MPI_THREAD_FUNNELED or more where a rank has several threads, by
 * the thread that makes and uses them. Destroy them, and the models that have them, before MPI_Finalize.
 * sum_order: softstep_own_ranks.sum_order; null is "samples".
 * SOFTSTEP_FAILED where MPI has not been initialised, is finalised, or fails, and where this is MPI_COMM_NULL
 * or an intercommunicator. */
SOFTSTEP_EXPORT softstep_status softstep_ranks_create_mpi(MPI_Comm communicator, const char* sum_order,
                                                          softstep_ranks** ranks);

#ifdef __cplusplus
}
#endif

#endif
