// V = Z W^T from the transposed state, beside Eigen compiled for the same plain target as the library around the kernels.

#include "products.h"

namespace softstep::bench {
namespace {

const bool registered = register_product("product_nn", Form::nn,
                                         []<class T>(const simd::Isa& isa, const simd::ProductArgs<T>& args) {
                                           isa.kernels<T>().product_nn(args);
                                         });

}  // namespace
}  // namespace softstep::bench
