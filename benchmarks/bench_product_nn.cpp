// V = Z W^T from the transposed state.

#include "products.h"

namespace softstep::bench {
namespace {

const bool registered = register_product("product_nn", ProductForm::nn, SOFTSTEP_PRODUCT(product_nn));

}  // namespace
}  // namespace softstep::bench
