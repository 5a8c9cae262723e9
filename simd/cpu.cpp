#include "simd/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace softstep::simd {

#if defined(__x86_64__)
namespace {

// XGETBV with ECX = 0, by its instruction so that no compiler flag is needed.
unsigned enabled_register_state() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has(unsigned word, int bit) { return ((word >> bit) & 1u) != 0; }

}  // namespace

Cpu detect_cpu() {
  Cpu cpu;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return cpu;
  cpu.sse2 = has(d, 26);
  const bool fma = has(c, 12), osxsave = has(c, 27), avx = has(c, 28), f16c = has(c, 29);
  if (!osxsave || !avx) return cpu;
  const unsigned state = enabled_register_state();
  constexpr unsigned xmm_ymm = 0x6, opmask_zmm = 0xe0;
  if ((state & xmm_ymm) != xmm_ymm) return cpu;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return cpu;
  cpu.avx2_fma = has(b, 5) && fma;
  cpu.f16c = f16c;
  const bool f = has(b, 16), dq = has(b, 17), cd = has(b, 28), bw = has(b, 30), vl = has(b, 31);
  cpu.avx512 = cpu.avx2_fma && (state & opmask_zmm) == opmask_zmm && f && dq && cd && bw && vl;
  return cpu;
}
#elif defined(__aarch64__)
Cpu detect_cpu() {
  Cpu cpu;
  cpu.neon64 = true;  // part of the base architecture
  return cpu;
}
#else
Cpu detect_cpu() { return {}; }
#endif

}  // namespace softstep::simd
