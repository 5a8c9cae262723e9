#!/usr/bin/env python3
"""`benchmarks/run` runs every benchmark, and each once: a name that no group's filter takes would never be measured.

    check_benchmark_groups.py SOURCE --program softstep_benchmarks
"""
import argparse
import pathlib
import re
import subprocess
import sys


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    listed = subprocess.run([arguments.source / "benchmarks" / "run", "--list"], check=True, capture_output=True, text=True).stdout
    filters = dict(line.split(maxsplit=1) for line in listed.splitlines())
    names = subprocess.run([arguments.program, "--benchmark_list_tests"], check=True, capture_output=True, text=True).stdout.splitlines()
    counts = dict.fromkeys(filters, 0)
    problems = set()
    for name in names:
        groups = [group for group, pattern in filters.items() if re.search(pattern, name)]
        for group in groups:
            counts[group] += 1
        if len(groups) != 1:
            problems.add(f"{name.split('/')[0]}: in {' and '.join(groups) or 'no group'} of benchmarks/run")
    problems |= {f"{group}: a group of benchmarks/run without a benchmark" for group, n in counts.items() if n == 0}
    print("\n".join(sorted(problems)) or f"{len(names)} benchmarks in {len(filters)} groups")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
