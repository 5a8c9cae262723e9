// The weighted sum of values for one query, where they lie: the second pass of the attention kernel alone.

#include "row_pass.h"

namespace softstep::bench {
namespace {

const bool registered = register_row_pass("weighted_rows", &simd::Kernels<float>::weighted_rows,
                                          &simd::Kernels<double>::weighted_rows);

}  // namespace
}  // namespace softstep::bench
