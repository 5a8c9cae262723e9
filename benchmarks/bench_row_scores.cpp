// Scores of the keys of one query, where they lie: the first pass of the attention kernel alone.

#include "row_pass.h"

namespace softstep::bench {
namespace {

const bool registered =
    register_row_pass("row_scores", &simd::Kernels<float>::row_scores, &simd::Kernels<double>::row_scores);

}  // namespace
}  // namespace softstep::bench
