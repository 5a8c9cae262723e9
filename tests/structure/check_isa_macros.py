#!/usr/bin/env python3
"""No file asks the compiler which instructions it may use: those macros tell of the flags of the whole build (-march=native),
not of the row of simd/isas.def that a file is compiled for. What depends on the row is in simd/rows/<name>.h.

    check_isa_macros.py SOURCE_DIR [--self-test]
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script, source_files  # noqa: E402

# Processor families (__x86_64__, __aarch64__) are another matter: simd/families.def.
MACRO = re.compile(r"\b__(MMX|SSE\w*|SSSE3|AVX\w*|FMA4?|F16C|BMI2?|POPCNT|XOP|ARM_NEON\w*|ARM_FEATURE\w*)__\b|"
                   r"\b__(ARM_NEON|ARM_FEATURE)\w*|\bXSIMD_WITH_\w+")


def check(root):
    for path in source_files(root, (".h", ".cpp", ".def")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = MACRO.search(line)
            if found:
                yield Violation(path.relative_to(root).as_posix(), number,
                                f"asks for {found.group(0)}: simd/rows has a file for each instruction set")


PLANTED = [(f"{macro} in {file}", {file: f"#if defined({macro})\n#endif\n"})
           for file, macro in (("simd/planted.h", "__AVX512F__"), ("simd/rows/planted.h", "__AVX2__"),
                               ("simd/kernels/planted.h", "__SSE2__"), ("simd/kernels/planted.h", "__SSE4_1__"),
                               ("core/layer/planted.cpp", "__FMA__"), ("simd/planted.h", "__F16C__"),
                               ("benchmarks/limits/planted.cpp", "__ARM_NEON"), ("simd/vec2.h", "XSIMD_WITH_AVX2"))]

if __name__ == "__main__":
    run_script(check, PLANTED)
