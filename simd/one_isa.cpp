// Compiled once per row of isas.def, with that row's flags. Everything below lives in the namespace of that
// row, so that no two object files define the same symbol. Includes as little as possible: see
// cmake/isa_objects.cmake. The headers of kernels/ come before the first line, each by an option -include
// (cmake/header_lists.cmake).

#include "simd/dispatch.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
constexpr Kernels<T> table = {
#define SOFTSTEP_KERNEL(name, result, arguments) &name<T>,
#include "simd/kernels.def"
#undef SOFTSTEP_KERNEL
    Vec<T>::width, tile_columns<T>};

extern const Kernels<float> f32_kernels;
extern const Kernels<double> f64_kernels;
const Kernels<float> f32_kernels = table<float>;
const Kernels<double> f64_kernels = table<double>;

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
