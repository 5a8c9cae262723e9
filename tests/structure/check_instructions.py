#!/usr/bin/env python3
"""The file compiled for an instruction set has the instructions of that set and no others, whatever flags the whole build was
given: it must run where simd/isas.def says that it runs.

    check_instructions.py --objdump OBJDUMP --isa-object ISA=FILE...
    check_instructions.py --objdump OBJDUMP --compiler CXX --self-test

On x86, by objdump: scalar and sse2 have no instruction in the encoding of AVX (names with v, registers from 256 bits on), and
scalar no arithmetic on whole vectors; avx2 has no register of 512 bits, none numbered from 16 on, and no mask register.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

AVX = re.compile(r"^v\w+|%[yz]mm\d")
AVX512 = re.compile(r"%zmm\d|%[xy]mm(1[6-9]|2\d|3[01])\b|%k[0-7]\b")
PACKED_ARITHMETIC = re.compile(r"^(add|sub|mul|div|max|min|sqrt|hadd)p[sd]\b")
# What each must not have; of any other set, and of other processors, nothing is known here.
FORBIDDEN = {"scalar": (AVX, PACKED_ARITHMETIC), "sse2": (AVX,), "avx2": (AVX512,)}


def instructions(tool, file):
    out = subprocess.run([tool, "-d", "--no-show-raw-insn", file], check=True, capture_output=True, text=True).stdout
    if "x86-64" not in out.partition("Disassembly")[0]:
        return None
    return [line.split("\t", 1)[1].strip() for line in out.splitlines() if re.match(r"\s+[0-9a-f]+:\t", line)]


def violations(tool, isa, file):
    lines = instructions(tool, file)
    if lines is None:
        return
    if not lines:
        yield f"{isa}: {file} has no instructions"
    for pattern in FORBIDDEN.get(isa, ()):
        found = next((line for line in lines if pattern.search(line)), None)
        if found:
            yield f"{isa}: has `{found}`"


PLANTED = [
    ("scalar", "-O1 -mavx", "double f(double x, double y) { return x * y; }", True),
    ("scalar", "-O1", "typedef float V __attribute__((vector_size(16))); V f(V x, V y) { return x * y; }", True),
    ("scalar", "-O1", "double f(double x, double y) { return x * y; }", False),
    ("sse2", "-O1 -mavx2", "typedef float V __attribute__((vector_size(32))); void f(V* x) { *x += *x; }", True),
    ("sse2", "-O1", "typedef float V __attribute__((vector_size(16))); V f(V x, V y) { return x * y; }", False),
    ("avx2", "-O1 -mavx512f", "typedef float V __attribute__((vector_size(64))); void f(V* x) { *x += *x; }", True),
    ("avx2", "-O1 -mavx2", "typedef float V __attribute__((vector_size(32))); void f(V* x) { *x += *x; }", False),
]


def self_test(tool, compiler):
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        source, file = pathlib.Path(name) / "planted.cpp", pathlib.Path(name) / "planted.o"
        source.write_text("int f(int x) { return x; }\n")
        subprocess.run([compiler, "-c", source, "-o", file], check=True)
        if instructions(tool, file) is None:
            print("not an x86 processor: nothing to test")
            return True
        for isa, flags, text, expected in PLANTED:
            source.write_text(text + "\n")
            subprocess.run([compiler, "-march=x86-64", *flags.split(), "-c", source, "-o", file], check=True)
            seen = list(violations(tool, isa, file))
            bad += bool(seen) != expected
            print(f"{'as it must be' if bool(seen) == expected else 'WRONG':13}  {isa} {flags}: {seen}")
    return bad == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--objdump", required=True)
    parser.add_argument("--isa-object", action="append", default=[])
    parser.add_argument("--compiler")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test(arguments.objdump, arguments.compiler) else 1)
    found = [line for item in arguments.isa_object
             for line in violations(arguments.objdump, *item.split("=", 1))]
    if not arguments.isa_object:
        found.append("no instruction set's object file was named")
    for line in found:
        print(line)
    print(f"{len(found)} violations in {len(arguments.isa_object)} instruction sets")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
