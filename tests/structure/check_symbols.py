#!/usr/bin/env python3
"""What the object files define and use, by nm.

    check_symbols.py SOURCE_DIR --nm NM --library libsoftstep.a --isa-object ISA=FILE...
    check_symbols.py SOURCE_DIR --nm NM --compiler CXX --self-test

1. The file compiled for an instruction set defines symbols of its own namespace softstep::simd::<isa>, and of xsimd for
   its own architecture, and no others: the linker keeps one copy of a function that several files define, and it may be
   the one this CPU cannot run.
2. The library neither prints nor exits nor aborts: it does not use the functions that do.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

FORBIDDEN = re.compile(
    r"^_*(printf|fprintf|vprintf|vfprintf|dprintf|puts|putchar|putc|fputs|fputc|fwrite|perror|psignal|"
    r"exit|_exit|_Exit|quick_exit|abort|raise|kill|assert_fail|assert_perror_fail|"
    r"(f|v|vf|d)?printf_chk|glibcxx_assert_fail)(@.*)?$|^std::(cout|cerr|clog|wcout|wcerr|wclog|exit|abort|quick_exit|_Exit)\b|"
    r"^std::__glibcxx_assert_fail|^stdout$|^stderr$|^stdout@|^stderr@")
# A loser of the link that is harmless whichever copy wins: data, the same in all.
SAME_EVERYWHERE = re.compile(r"^DW\.ref\.__gxx_personality_v0$")


def nm(tool, file, *options):
    out = subprocess.run([tool, "-P", *options, str(file)], check=True, capture_output=True, text=True).stdout
    return [line for line in out.splitlines() if line]


def symbols(tool, file, *options):
    """(name, type) pairs; demangled names contain spaces, so the plain and the demangled list are read side by side."""
    plain, demangled = nm(tool, file, *options), nm(tool, file, "-C", *options)
    if len(plain) != len(demangled):
        raise RuntimeError(f"nm lists {file} differently when demangling")
    for mangled, readable in zip(plain, demangled):
        if mangled.endswith(":"):
            continue  # a member of the archive
        match = re.match(r"(\S+) (\w)(?: |$)", mangled)
        name = re.match(r"(.*) \w(?: [0-9a-f]+)* ?$", readable)
        yield match.group(1), (name.group(1) if name else readable), match.group(2)


def xsimd_architectures(root):
    rows = re.findall(r'^SOFTSTEP_ISA\((\w+), *\w+, *(.*), *[^,]+, *"[^"]*"\)', (root / "simd/isas.def").read_text(),
                      re.MULTILINE)
    return {isa: arch for isa, arch in rows}


def foreign_symbols(root, tool, isa, file):
    arch = xsimd_architectures(root)[isa]
    space = "softstep4simd%d%s" % (len(isa), isa)
    own = re.compile(rf"^_Z(GV|TV|TI|TS|TT|GR)?Z?NK?8{space}(?=[^0-9]|[1-9])")
    own_arch = None if arch == "void" else re.compile(re.escape(arch) + r"(?![\w:])")
    count = 0
    for mangled, readable, kind in symbols(tool, file, "--defined-only", "--extern-only"):
        count += 1
        if own.match(mangled) or SAME_EVERYWHERE.match(readable):
            continue
        if own_arch and re.match(r"(\w[\w:<>, ]* )?xsimd::", readable) and own_arch.search(readable):
            continue
        yield f"{isa}: defines {readable} ({kind}), which another file may define for another instruction set"
    if count == 0:
        yield f"{isa}: {file} defines nothing at all"


def forbidden_uses(tool, library):
    names = list(symbols(tool, library, "--undefined-only"))
    if not names:
        yield f"{library}: nm lists nothing"
    for mangled, readable, _ in names:
        if FORBIDDEN.match(readable) or FORBIDDEN.match(mangled):
            yield f"{library}: uses {readable}"


PLANTED_ISA = [
    ("an inline function of the standard library",
     "#include <vector>\n namespace softstep::simd::avx2 { double f(std::vector<double>& v) { v.push_back(1); return v[0]; } }"),
    ("an inline function of our own in no instruction set's namespace",
     "namespace softstep { inline __attribute__((noinline)) int g(int x) { return x * x; }"
     " namespace simd::avx2 { int f(int x) { return g(x); } } }"),
    ("a function of another instruction set", "namespace softstep::simd::sse2 { int f(int x) { return x; } }"),
    ("a plain global function", "int f(int x) { return x; }"),
    ("a function of xsimd for another architecture",
     "namespace xsimd { struct sse2 {}; template <class A> __attribute__((noinline)) int g(int x) { return x; } }"
     " namespace softstep::simd::avx2 { int f(int x) { return xsimd::g<xsimd::sse2>(x); } }"),
]
CLEAN_ISA = [
    ("templates of its own namespace and of xsimd for its own architecture",
     "namespace xsimd { struct avx2 {}; template <class B> struct fma3 {};"
     " template <class A> __attribute__((noinline)) int g(int x) { return x; } }"
     " namespace softstep::simd::avx2 { template <class T> __attribute__((noinline)) T h(T x) { return x + x; }"
     " double f(int x) { return xsimd::g<xsimd::fma3<xsimd::avx2>>(x) + h(1.0); } }"),
]
PLANTED_USE = [
    ("printf", '#include <cstdio>\nvoid f(int x) { std::printf("%d", x); }'),
    ("puts", '#include <cstdio>\nvoid f() { std::puts("x"); }'),
    ("fputs to stderr", '#include <cstdio>\nvoid f() { std::fputs("x", stderr); }'),
    ("std::cout", '#include <iostream>\nvoid f(int x) { std::cout << x; }'),
    ("std::cerr", '#include <iostream>\nvoid f(int x) { std::cerr << x; }'),
    ("exit", "#include <cstdlib>\nvoid f() { std::exit(1); }"),
    ("abort", "#include <cstdlib>\nvoid f() { std::abort(); }"),
    ("assert", "#undef NDEBUG\n#include <cassert>\nvoid f(int x) { assert(x > 0); }"),
]
CLEAN_USE = [
    ("exceptions, containers, snprintf",
     "#include <cstdio>\n#include <stdexcept>\n#include <string>\n#include <vector>\n"
     "std::string f(std::vector<int>& v) { char s[9]; std::snprintf(s, sizeof s, \"%d\", v.at(0));"
     ' if (v.empty()) throw std::invalid_argument("x"); return s; }'),
]


def self_test(root, tool, compiler):
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        source, object_file = pathlib.Path(name) / "planted.cpp", pathlib.Path(name) / "planted.o"

        def judge(what, text, check, expected):
            source.write_text(text + "\n")
            subprocess.run([compiler, "-std=c++20", "-O0", "-DNDEBUG", "-c", source, "-o", object_file], check=True)
            seen = bool(list(check(object_file)))
            print(f"{'as it must be' if seen == expected else 'WRONG':13}  {'red' if seen else 'green':5}  {what}")
            return seen != expected

        isa = lambda file: foreign_symbols(root, tool, "avx2", file)  # noqa: E731
        use = lambda file: forbidden_uses(tool, file)  # noqa: E731
        for cases, check, expected in ((PLANTED_ISA, isa, True), (CLEAN_ISA, isa, False), (PLANTED_USE, use, True),
                                       (CLEAN_USE, use, False)):
            for what, text in cases:
                bad += judge(what, text, check, expected)
    return bad == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--nm", required=True)
    parser.add_argument("--library")
    parser.add_argument("--isa-object", action="append", default=[])
    parser.add_argument("--compiler")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test(arguments.source, arguments.nm, arguments.compiler) else 1)
    violations = []
    for item in arguments.isa_object:
        isa, _, file = item.partition("=")
        violations += foreign_symbols(arguments.source, arguments.nm, isa, file)
    violations += forbidden_uses(arguments.nm, arguments.library)
    if not arguments.isa_object:
        violations.append("no instruction set's object file was named")
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations in {len(arguments.isa_object)} instruction sets and the library")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
