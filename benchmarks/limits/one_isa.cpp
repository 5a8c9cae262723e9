// Compiled once per row of simd/isas.def with that row's flags, and with contraction: c * a + b is one
// instruction where the instruction set has it, two where it has not. GCC's and Clang's own vectors of the
// row's width, so that nothing of the library's is measured here.

#include <type_traits>

#include SOFTSTEP_ISA_ROW

#include "limits/kernels.h"

namespace softstep::bench::limits::SOFTSTEP_ISA_NAME {
namespace {

constexpr std::size_t lanes = simd::SOFTSTEP_ISA_NAME::Vec<float>::width;
constexpr std::size_t vector_bytes = lanes == 1 ? 0 : lanes * sizeof(float);

template <class T, std::size_t bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(bytes)));
};
template <class T>
struct VectorOf<T, 0> {
  typedef T type;
};
template <class T>
constexpr std::size_t width = vector_bytes == 0 ? 1 : vector_bytes / sizeof(T);

#if defined(__clang__)
#define SOFTSTEP_UNROLL _Pragma("unroll")
#else
#define SOFTSTEP_UNROLL _Pragma("GCC unroll 16")
#endif

template <class T>
T chains(std::size_t n, T a, T b) {
  using V = typename VectorOf<T, vector_bytes>::type;
  V c[n_chains];
  const V va = V{} + a, vb = V{} + b;
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n_chains; ++k) c[k] = V{} + static_cast<T>(k);
  for (std::size_t i = 0; i < n; ++i) {
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_chains; ++k) c[k] = c[k] * va + vb;
  }
  SOFTSTEP_UNROLL
  for (std::size_t k = 1; k < n_chains; ++k) c[0] += c[k];
  if constexpr (vector_bytes == 0) {
    return c[0];
  } else {
    T total = 0;
    for (std::size_t k = 0; k < width<T>; ++k) total += c[0][k];
    return total;
  }
}

template <class Word>
Word read(const void* data, std::size_t bytes, std::size_t repeats) {
  typedef typename VectorOf<Word, vector_bytes>::type V;
  typedef V InMemory __attribute__((may_alias, aligned(8)));
  constexpr std::size_t n_sums = 8;
  V sums[n_sums] = {};
  const auto* p = static_cast<const InMemory*>(data);
  const std::size_t n = bytes / sizeof(V);
  for (std::size_t r = 0; r < repeats; ++r) {
    for (std::size_t i = 0; i < n; i += n_sums) {
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < n_sums; ++k) sums[k] ^= p[i + k];
    }
    asm volatile("" ::: "memory");  // read again, not remembered
  }
  SOFTSTEP_UNROLL
  for (std::size_t k = 1; k < n_sums; ++k) sums[0] ^= sums[k];
  if constexpr (vector_bytes == 0) {
    return sums[0];
  } else {
    Word total = 0;
    for (std::size_t k = 0; k < width<Word>; ++k) total ^= sums[0][k];
    return total;
  }
}

}  // namespace

extern const IsaLimits limits;
const IsaLimits limits = {width<float>, width<double>, &chains<float>, &chains<double>,
                          &read<unsigned long long>};

}  // namespace softstep::bench::limits::SOFTSTEP_ISA_NAME
