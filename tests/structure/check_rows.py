#!/usr/bin/env python3
"""Extension points are one row each, and no row comes alone (CONTRIBUTING, the three recipes).

    check_rows.py SOURCE_DIR [--self-test]

A row of simd/kernels.def needs its header, reference, test, benchmark and instruction counts; a row of
core/step_rules/rules.def its file, test and benchmark; a row of simd/isas.def its file in simd/rows and an expectation in
tests/structure/test_isas.cpp.
"""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from structure import Violation, run_script, source_files  # noqa: E402

KERNELS, RULES, ISAS = "simd/kernels.def", "core/step_rules/rules.def", "simd/isas.def"
COUNTS = "benchmarks/instruction_counts/figures.json"


def rows(root, file, macro):
    path = root / file
    text = path.read_text() if path.is_file() else ""
    return re.findall(rf"^{macro}\(\s*\"?(\w+)", text, re.MULTILINE)


def mentioned(root, folder, word):
    pattern = re.compile(rf"\b{word}\b")
    base = root / folder
    return base.is_dir() and any(pattern.search(path.read_text()) for path in source_files(base, (".h", ".cpp")))


def uncounted(root, kernels):
    """What figures.json lacks: every kernel in both types, for each compiler and instruction set in it."""
    path = root / COUNTS
    figures = json.loads(path.read_text()) if path.is_file() else {}
    if not any(figures.values()):
        yield "no figures"
    for compiler, isas in figures.items():
        for isa, counts in isas.items():
            for name in kernels:
                for number_type in ("f32", "f64"):
                    if counts.get(f"{name}/{number_type}", 0) <= 0:
                        yield f"{name}/{number_type}: no instruction count for {compiler}, {isa}"


def check(root):
    kernels = rows(root, KERNELS, "SOFTSTEP_KERNEL")
    rules = rows(root, RULES, "SOFTSTEP_RULE")
    isas = rows(root, ISAS, "SOFTSTEP_ISA")
    for file, found in ((KERNELS, kernels), (RULES, rules), (ISAS, isas)):
        if not found:
            yield Violation(file, 0, "no row found")
        for name in sorted({name for name in found if found.count(name) > 1}):
            yield Violation(file, 0, f"{name}: more than one row")
    for name in kernels:
        if not mentioned(root, "simd/kernels", name):
            yield Violation(KERNELS, 0, f"{name}: no header in simd/kernels defines it")
        if not mentioned(root, "core/reference", name):
            yield Violation(KERNELS, 0, f"{name}: core/reference has no reference for it")
        if not mentioned(root, "tests/simd", name):
            yield Violation(KERNELS, 0, f"{name}: tests/simd has no test of it")
        if not (root / f"benchmarks/bench_{name}.cpp").is_file():
            yield Violation(KERNELS, 0, f"{name}: benchmarks/bench_{name}.cpp is missing")
    for message in uncounted(root, kernels):
        yield Violation(COUNTS, 0, message)
    for name in rules:
        if not any((root / f"core/step_rules/rules/{name}{suffix}").is_file() for suffix in (".cpp", ".h")):
            yield Violation(RULES, 0, f"{name}: core/step_rules/rules/{name}.h is missing")
        if not mentioned(root, "tests/step_rules", name):
            yield Violation(RULES, 0, f"{name}: tests/step_rules has no test of it")
    # The benchmark of the rules takes them from the table, so it has every one as soon as it is there.
    bench = root / "benchmarks/bench_step_rules.cpp"
    if not bench.is_file():
        yield Violation(RULES, 0, "benchmarks/bench_step_rules.cpp is missing")
    elif not re.search(r"\bstep_rules\(\)", bench.read_text()):
        yield Violation(RULES, 0, "benchmarks/bench_step_rules.cpp does not go through step_rules()")
    for name in isas:
        if not (root / f"simd/rows/{name}.h").is_file():
            yield Violation(ISAS, 0, f"{name}: simd/rows/{name}.h is missing")
        if f'{{"{name}",' not in (root / "tests/structure/test_isas.cpp").read_text():
            yield Violation(ISAS, 0, f"{name}: tests/structure/test_isas.cpp does not know when it can run")


def add(text):
    return lambda old: old + text


def first_row(file, macro):
    root = pathlib.Path(__file__).resolve().parents[2]
    return (rows(root, file, macro) or ["none"])[0]


def planted():
    kernel, rule = first_row(KERNELS, "SOFTSTEP_KERNEL"), first_row(RULES, "SOFTSTEP_RULE")
    row = "SOFTSTEP_KERNEL(planted, void, (int n))\n"
    header = {"simd/kernels/planted.h": "// planted\n"}
    reference = {"core/reference/planted.h": "// planted\n"}
    test = {"tests/simd/planted.cpp": "// planted\n"}
    bench = {"benchmarks/bench_planted.cpp": "// planted\n"}
    counted = f'"planted/f32": 1, "planted/f64": 1, "{kernel}/f32"'
    counts = {COUNTS: lambda old: old.replace(f'"{kernel}/f32"', counted)}
    yield "a kernel without header", {KERNELS: add(row), **reference, **test, **bench, **counts}
    yield "a kernel without reference", {KERNELS: add(row), **header, **test, **bench, **counts}
    yield "a kernel without test", {KERNELS: add(row), **header, **reference, **bench, **counts}
    yield "a kernel without benchmark", {KERNELS: add(row), **header, **reference, **test, **counts}
    yield "a kernel without instruction counts", {KERNELS: add(row), **header, **reference, **test, **bench}
    gone = {COUNTS: lambda old: old.replace(f'"{kernel}/f64"', '"gone/f64"', 1)}
    yield "a kernel's instruction counts taken away", gone
    yield "all instruction counts taken away", {COUNTS: None}
    yield "a kernel's benchmark taken away", {f"benchmarks/bench_{kernel}.cpp": None}
    yield "a kernel twice", {KERNELS: add(f"SOFTSTEP_KERNEL({kernel}, void, (int n))\n")}
    rule_row = 'SOFTSTEP_RULE(planted, Planted, "", "")\n'
    yield "a rule without file", {RULES: add(rule_row), "tests/step_rules/planted.cpp": "// planted\n"}
    yield "a rule without test", {RULES: add(rule_row), "core/step_rules/rules/planted.cpp": "// planted\n"}
    yield "a rule's file taken away", {f"core/step_rules/rules/{rule}.h": None}
    yield "the benchmark of the rules taken away", {"benchmarks/bench_step_rules.cpp": None}
    isa_row = {ISAS: add('SOFTSTEP_ISA(planted, x86, void, true, "")\n')}
    yield "an instruction set that no test knows", {**isa_row, "simd/rows/planted.h": "// planted\n"}
    known = {"tests/structure/test_isas.cpp": add('// {"planted", {}}\n')}
    yield "an instruction set without its file", {**isa_row, **known}
    yield "no kernel at all", {KERNELS: "\n"}


if __name__ == "__main__":
    run_script(check, list(planted()))
