// G = g^T Z.

#include "products.h"

namespace softstep::bench {
namespace {

const bool registered = register_product("product_tn", ProductForm::tn, SOFTSTEP_PRODUCT(product_tn));

}  // namespace
}  // namespace softstep::bench
