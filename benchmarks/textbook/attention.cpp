#include "textbook/attention.h"

#include <cstring>

#include "simd/families.def"

namespace softstep {

// As simd/dispatch.cpp does: only the rows of this processor family are compiled.
#define SOFTSTEP_COMPILED(name)                                                                          \
  namespace simd::name {                                                                                 \
  void textbook_f32(const AttentionArgs<float>* samples, std::size_t n, AttentionStats<float>* stats);   \
  void textbook_f64(const AttentionArgs<double>* samples, std::size_t n, AttentionStats<double>* stats); \
  }
#define SOFTSTEP_ABSENT(name)
#define SOFTSTEP_ISA(name, family, arch, condition, flags) SOFTSTEP_FAMILY_##family(name)
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED

namespace bench {

void textbook_attention(const char* isa, const simd::AttentionArgs<float>* samples, std::size_t n,
                        simd::AttentionStats<float>* stats) {
#define SOFTSTEP_COMPILED(name) \
  if (std::strcmp(isa, #name) == 0) return simd::name::textbook_f32(samples, n, stats);
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED
}

void textbook_attention(const char* isa, const simd::AttentionArgs<double>* samples, std::size_t n,
                        simd::AttentionStats<double>* stats) {
#define SOFTSTEP_COMPILED(name) \
  if (std::strcmp(isa, #name) == 0) return simd::name::textbook_f64(samples, n, stats);
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED
}

}  // namespace bench
}  // namespace softstep
