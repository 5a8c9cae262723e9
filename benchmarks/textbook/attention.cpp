#include "textbook/attention.h"

#include <cstring>

#include "simd/families.def"

namespace softstep {

// As simd/dispatch.cpp does: only the rows of this processor family are compiled.
#define SOFTSTEP_COMPILED(name)                                         \
  namespace simd::name {                                                \
  AttentionStats<float> textbook_f32(const AttentionArgs<float>& in);   \
  AttentionStats<double> textbook_f64(const AttentionArgs<double>& in); \
  }
#define SOFTSTEP_ABSENT(name)
#define SOFTSTEP_ISA(name, family, arch, condition, flags) SOFTSTEP_FAMILY_##family(name)
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED

namespace bench {

simd::AttentionStats<float> textbook_attention(const char* isa, const simd::AttentionArgs<float>& args) {
#define SOFTSTEP_COMPILED(name) \
  if (std::strcmp(isa, #name) == 0) return simd::name::textbook_f32(args);
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED
  return {};
}

simd::AttentionStats<double> textbook_attention(const char* isa, const simd::AttentionArgs<double>& args) {
#define SOFTSTEP_COMPILED(name) \
  if (std::strcmp(isa, #name) == 0) return simd::name::textbook_f64(args);
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED
  return {};
}

}  // namespace bench
}  // namespace softstep
