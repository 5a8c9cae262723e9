// V = Z W^T.

#include "products.h"

namespace softstep::bench {
namespace {

const bool registered = register_product("product_nt", ProductForm::nt, SOFTSTEP_PRODUCT(product_nt));

}  // namespace
}  // namespace softstep::bench
