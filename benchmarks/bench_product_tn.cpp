// G = g^T Z, beside Eigen compiled for the same plain target as the library around the kernels.

#include "products.h"

namespace softstep::bench {
namespace {

const bool registered = register_product("product_tn", Form::tn,
                                         []<class T>(const simd::Isa& isa, const simd::ProductArgs<T>& args) {
                                           isa.kernels<T>().product_tn(args);
                                         });

}  // namespace
}  // namespace softstep::bench
