#!/usr/bin/env python3
"""The files that users run and load are hardened, and the kernels are not slowed by it (cmake/hardening.cmake).

    check_hardening.py [--program FILE]... [--library FILE]... [--isa-object ISA=FILE]...
    check_hardening.py --compiler CXX --self-test

Read with readelf. A program, and a library that is loaded: position independent (PIE); the linker's tables are read-only (RELRO), all
of them, before the program starts (BIND_NOW); the stack holds no code; no text is written to when it is loaded; a canary lies
behind arrays on the stack; copies of the C library are checked (FORTIFY). An object of the kernels: no canary.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CANARY = re.compile(r"\b__stack_chk_(fail|guard)\b")
# memcpy becomes __memcpy_chk: what FORTIFY makes of a copy whose bounds are only known while it runs.
CHECKED = re.compile(r"\b__(?!stack_)\w+_chk\b")


def readelf(*options):
    tool = shutil.which("readelf")
    if not tool:
        sys.exit("readelf is not here (binutils)")
    return subprocess.run([tool, "--wide", *map(str, options)], check=True, capture_output=True, text=True).stdout


def missing(file, is_program):
    """What the program or library goes without, a line each."""
    header, segments, dynamic = readelf("--file-header", file), readelf("--program-headers", file), readelf("--dynamic", file)
    names = readelf("--dyn-syms", file)
    if not re.search(r"Type:\s+DYN\b", header):
        yield "is loaded at a fixed address (no PIE)"
    elif is_program and not re.search(r"FLAGS_1\).*\bPIE\b", dynamic):
        yield "is no PIE"
    if not re.search(r"^\s+GNU_RELRO\b", segments, re.MULTILINE):
        yield "has no RELRO"
    if not re.search(r"\(BIND_NOW\)|\(FLAGS\).*\bBIND_NOW\b|\(FLAGS_1\).*\bNOW\b", dynamic):
        yield "has a table of the linker that stays writable (no BIND_NOW)"
    stack = re.search(r"^\s+GNU_STACK\s.*", segments, re.MULTILINE)
    if not stack or re.search(r"\bR?W?E\b", stack.group(0)):
        yield "has a stack that can be executed"
    if re.search(r"\(TEXTREL\)|\(FLAGS\).*\bTEXTREL\b", dynamic):
        yield "has text that is written to when it is loaded (TEXTREL)"
    if not CANARY.search(names):
        yield "has no canary (stack protector)"
    if not CHECKED.search(names):
        yield "has no checked copy (FORTIFY)"


def slowed(file):
    """What makes a kernel slower than it must be."""
    symbols = readelf("--symbols", file)
    if not re.search(r"\bFUNC\b", symbols):
        yield "has no function"
    if CANARY.search(symbols):
        yield "has a canary (stack protector)"


# {words of the expected complaint: options that bring it about}; none: a good file.
COMPILED = ["-O2", "-fPIE", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
LINKED = ["-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
PLANTED = [
    (None, [], []),
    ("no PIE", ["-fno-pie"], ["-no-pie"]),
    ("no RELRO", [], ["-Wl,-z,norelro"]),
    ("no BIND_NOW", [], ["-Wl,-z,lazy"]),
    ("executed", [], ["-Wl,-z,execstack"]),
    ("no canary", ["-fno-stack-protector"], []),
    ("no checked copy", ["-U_FORTIFY_SOURCE"], []),
]
SOURCE = """#include <cstring>
int main(int count, char** words) {
  char bytes[16];
  std::memcpy(bytes, words[0], static_cast<unsigned>(count));
  volatile char* seen = bytes;
  return seen[0];
}
"""
KERNEL = "void use(double*); double f(double x) { double rows[64]; rows[0] = x; use(rows); return rows[1]; }\n"


def self_test(compiler):
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source, program = folder / "planted.cpp", folder / "planted"
        source.write_text(SOURCE)
        for expected, compiled, linked in PLANTED:
            subprocess.run([compiler, *COMPILED, *compiled, source, "-o", program, *LINKED, *linked], check=True)
            seen = list(missing(program, True))
            good = seen == [] if expected is None else len(seen) == 1 and expected in seen[0]
            wrong += not good
            print(f"{'as it must be' if good else 'WRONG':13}  {' '.join([*compiled, *linked]) or 'nothing planted'}: {seen}")
        source.write_text(KERNEL)
        for option, n_expected in (("-fno-stack-protector", 0), ("-fstack-protector-strong", 1)):
            subprocess.run([compiler, "-O3", option, "-c", source, "-o", folder / "kernel.o"], check=True)
            seen = list(slowed(folder / "kernel.o"))
            wrong += len(seen) != n_expected
            print(f"{'as it must be' if len(seen) == n_expected else 'WRONG':13}  kernel {option}: {seen}")
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("program", "library", "isa-object"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("--compiler")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test(arguments.compiler) else 1)
    files = arguments.program + arguments.library + arguments.isa_object
    found = [f"{file}: {line}" for file in arguments.program for line in missing(file, True)]
    found += [f"{file}: {line}" for file in arguments.library for line in missing(file, False)]
    found += [f"{item}: {line}" for item in arguments.isa_object for line in slowed(item.split("=", 1)[1])]
    if not files:
        found.append("no file was named")
    for line in found:
        print(line)
    print(f"{len(found)} violations in {len(files)} files")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
