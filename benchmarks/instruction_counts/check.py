#!/usr/bin/env python3
"""Instructions per call of the hot kernels and of 100 whole steps of each rule, under valgrind's callgrind, against the
committed figures: timing is never a test, counts repeat.

    check.py PROGRAM [--update] [--self-test]      PROGRAM: build/<preset>/benchmarks/softstep_instruction_counts

Each is the difference of 12 and 2 calls over 10, so that start-up, set-up and the requests to callgrind cancel. Figures
hold for one major version of a compiler, one processor family and one instruction set (figures.json); for another there is nothing to compare
with, which is said. --update writes the counts of this compiler: commit them with the change that explains them.

The tolerance: repeated runs differ by less than 0.01 % (the trainer asks the clock ten times a second, which makes the
number of questions vary by a few), other minor versions of a compiler and C library by the set-up of calls and by log
and exp, which are a small part of a step. What must be seen is one instruction more in an innermost loop. The longest
of them, the tiles of the products, have 20 to 40 instructions: one is 2.5 % or more. So 2 %. Fewer instructions are
reported too: a gain that is not recorded would hide the next loss.
"""
import argparse
import concurrent.futures
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

FIGURES = pathlib.Path(__file__).parent / "figures.json"
# valgrind 3.19 (Debian 12) knows no AVX-512; of the others what this CPU runs.
ISAS = ("scalar", "sse2", "avx2")
TOLERANCE = 0.02


def count(program, isa):
    """{case: instructions per call}; None where the instruction set cannot run here."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind"
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, isa],
                              capture_output=True, text=True)
        if done.returncode == 3:
            return None
        if done.returncode != 0:
            raise RuntimeError(f"{program} {isa} under valgrind failed:\n{done.stderr}")
        totals = {}
        for dump in pathlib.Path(folder).glob("callgrind.*"):
            text = dump.read_text()
            trigger = re.search(r"^desc: Trigger: Client Request: (\S+)#(\d+)$", text, re.MULTILINE)
            if trigger:
                total = int(re.search(r"^summary: (\d+)", text, re.MULTILINE).group(1))
                totals.setdefault(trigger.group(1), {})[int(trigger.group(2))] = total
    if not totals:
        raise RuntimeError(f"{isa}: callgrind recorded nothing")
    counts = {}
    for case, by_calls in sorted(totals.items()):
        (few, at_few), (many, at_many) = sorted(by_calls.items())
        counts[case] = (at_many - at_few) / (many - few)
    return counts


def compare(counts, figures):
    """Lines that say what is wrong; none if every count is within the tolerance of its figure."""
    for case in sorted(counts.keys() | figures.keys()):
        if case not in counts:
            yield f"{case}: has a figure and was not counted"
        elif case not in figures:
            yield f"{case}: {counts[case]:.0f} instructions and no figure yet"
        else:
            change = counts[case] / figures[case] - 1
            if not abs(change) <= TOLERANCE:
                what = "MORE" if not change < 0 else "fewer"
                yield f"{case}: {counts[case]:.0f} instructions a call, {what} than {figures[case]:.0f} ({change:+.1%})"


def self_test():
    figures = {"a": 1000.0, "b": 50.0}
    cases = [
        ("the same", {"a": 1000.0, "b": 50.0}, 0),
        ("within the tolerance", {"a": 1019.0, "b": 49.5}, 0),
        ("one loop longer", {"a": 1025.0, "b": 50.0}, 1),
        ("both longer", {"a": 1025.0, "b": 60.0}, 2),
        ("shorter", {"a": 900.0, "b": 50.0}, 1),
        ("no number", {"a": float("nan"), "b": 50.0}, 1),
        ("a case gone", {"a": 1000.0}, 1),
        ("a new case", {"a": 1000.0, "b": 50.0, "c": 1.0}, 1),
    ]
    wrong = 0
    for what, counts, expected in cases:
        found = len(list(compare(counts, figures)))
        wrong += found != expected
        print(f"{'ok' if found == expected else 'WRONG':5}  {what}: {found} reported")
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test() else 1)
    if not arguments.program:
        parser.error("which program?")
    if not shutil.which("valgrind"):
        sys.exit("instruction counts: valgrind is missing (tools/setup installs it)")
    if not pathlib.Path(arguments.program).is_file():
        sys.exit(f"instruction counts: {arguments.program} was not built (it needs valgrind's headers)")
    asked = subprocess.run([arguments.program, "--compiler"], check=True, capture_output=True, text=True)
    compiler = f"{asked.stdout.strip()}-{platform.machine()}"
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    if compiler not in figures and not arguments.update:
        print(f"instruction counts: not compared: no figures for {compiler} (known: {', '.join(sorted(figures))}); "
              "check.py --update records them")
        return
    with concurrent.futures.ThreadPoolExecutor() as pool:
        counted = dict(zip(ISAS, pool.map(lambda isa: count(arguments.program, isa), ISAS)))
    known = figures.setdefault(compiler, {})
    problems, n = [], 0
    for isa, counts in counted.items():
        if counts is None:
            print(f"instruction counts: not compared: {isa} cannot run here")
        elif arguments.update:
            known[isa] = {case: round(value) for case, value in counts.items()}
        elif isa not in known:
            print(f"instruction counts: not compared: no figures for {compiler} on {isa}")
        else:
            n += len(counts)
            problems += [f"{isa} {text}" for text in compare(counts, known[isa])]
    if arguments.update:
        FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        print(f"instruction counts of {compiler} written to {FIGURES}")
        return
    for problem in problems:
        print(problem)
    print(f"instruction counts: {n} compared with the figures for {compiler}, {len(problems)} differ by more than "
          f"{TOLERANCE:.0%}")
    if problems:
        print(f"if that is meant: {pathlib.Path(__file__).name} {arguments.program} --update, and say why in the commit")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
