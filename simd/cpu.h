#pragma once

namespace softstep::simd {

/// What this CPU *and* this operating system can run, from CPUID and XGETBV. An operating system that does
/// not save the wide registers makes the instructions unusable.
struct Cpu {
  bool sse2 = false;
  bool avx2_fma = false;
  bool f16c = false;    ///< conversion of float16, in registers of AVX
  bool avx512 = false;  ///< f, cd, dq, bw, vl
  bool neon64 = false;
};

Cpu detect_cpu();

}  // namespace softstep::simd
