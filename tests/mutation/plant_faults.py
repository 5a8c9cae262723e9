#!/usr/bin/env python3
"""Plants the faults of tests/mutation/faults/ one at a time and sees which test finds each.

    plant_faults.py [--only PATTERN]... [--resume FILE] [--json] [--folder DIR] [--jobs N] [--seconds N] [--list]

The checkout is copied to DIR (build/mutation), built once there, and all tests must be green. Then for each fault: it is put in,
what it changes is built, and the tests are run, the likeliest first, until one is red. A test that takes more processor time
than its limit has found it too. A line of JSON for each fault is appended to FILE (DIR/results.jsonl); those already in the FILE
that --resume names are not tried again. Exit code 1 if a fault survives that is not argued to be equivalent, does not compile or
is not found in its file, or if an equivalent one is found.

In the copy the kernels are compiled for the portable row of simd/isas.def and one of vectors, without long optimisation, each
kernel on its own, so that a fault compiles in seconds. The rooms' tests are in one program, softstep_plant_tests.
"""
import argparse
import fnmatch
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests/structure")]
from fault import all_faults, problems  # noqa: E402
from structure import source_files  # noqa: E402

PROGRAM = "softstep_plant_tests"
SLOW_BUILD = 3600  # seconds; a compiler that hangs is an error of the list


def say(text):
    print(f"plant_faults: {text}", flush=True)


def replaced(text, old, new, file):
    if text.count(old) != 1:
        sys.exit(f"plant_faults: error: {file} no longer reads as expected: {old}")
    return text.replace(old, new)


def kernel_units():
    """The table of one instruction set without its kernels, and a file for each kernel: {path: text}."""
    rows = re.findall(r"^SOFTSTEP_KERNEL\((\w+), (\w+), (\(.*\))\)$", (ROOT / "simd/kernels.def").read_text(), re.MULTILINE)
    begin = "namespace softstep::simd::SOFTSTEP_ISA_NAME {\n"
    declared = "".join(f"template <class T> {result} {name}{arguments};\n" for name, result, arguments in rows)
    def each(prefix, row):
        name, result, arguments = row
        return "".join(re.sub(r"\bT\b", t, f"{prefix} {result} {name}<T>{arguments};\n") for t in ("float", "double"))

    table = (ROOT / "simd/one_isa.cpp").read_text()
    head, tail = table.split(begin, 1)
    units = {"simd/one_isa.cpp": head + '#include "simd/kernels/product_panels.h"\n' + begin + declared +
             "".join(each("extern template", row) for row in rows) + tail}
    for row in rows:
        units[f"simd/units/{row[0]}.cpp"] = (f'#include "simd/dispatch.h"\n#include "simd/kernels/{row[0]}.h"\n' + begin +
                                             each("template", row) + "}\n")
    return units


def changed_files():
    """Files that the copy has otherwise: {path: text}."""
    isas = (ROOT / "simd/isas.def").read_text()
    out = {"simd/isas.def": re.sub(r"^SOFTSTEP_ISA\((sse2|avx512),.*\n", "", isas, flags=re.MULTILINE)}
    out.update(kernel_units())
    units = ";".join(path for path in out if path.endswith(".cpp"))
    out["CMakeLists.txt"] = replaced((ROOT / "CMakeLists.txt").read_text(), "softstep_isa simd/one_isa.cpp ${SOFTSTEP_INCLUDE_KERNELS})",
                                     f'softstep_isa "{units}")', "CMakeLists.txt")
    file = "cmake/isa_objects.cmake"
    out[file] = replaced((ROOT / file).read_text(), "PRIVATE -O3 -fno-sanitize=all", "PRIVATE -O1 -fno-sanitize=all", file)
    return out


def copy_tree(tree):
    """What has changed since the last copy, so that only that is built again."""
    ours = changed_files()
    wanted = {path.relative_to(ROOT).as_posix(): path for path in source_files(ROOT)}
    for name in {*wanted, *ours}:
        content = ours[name].encode() if name in ours else wanted[name].read_bytes()
        target = tree / name
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in list(source_files(tree)):
        if path.relative_to(tree).as_posix() not in {*wanted, *ours}:
            path.unlink()


class Bench:
    """The copy, its build and its tests."""

    def __init__(self, folder, jobs, seconds):
        self.tree, self.jobs, self.seconds = folder / "tree", jobs, seconds
        self.build_folder = self.tree / "build/dev"
        self.environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}

    def prepare(self):
        copy_tree(self.tree)
        command = ["cmake", "--preset", "dev"] + [f"-DSOFTSTEP_{what}=OFF" for what in ("BUILD_BENCHMARKS", "BUILD_TOOLS", "INSTALL")]
        if shutil.which("ccache"):
            command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        done = subprocess.run(command, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\nplant_faults: error: CMake failed")

    def build(self):
        """The compiler's errors, or None."""
        done = subprocess.run(["cmake", "--build", self.build_folder, "-j", str(self.jobs), "--target", PROGRAM], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SLOW_BUILD)
        return None if done.returncode == 0 else done.stdout

    # Of processor time: on a busy machine a test takes long without being at fault.
    def limit(self):
        resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds + 5))

    def is_red(self, test):
        """Nothing where it is green; else the first failed test, or what else ended it."""
        command = [self.build_folder / "tests" / PROGRAM, test, "--abort", "--reporter", "compact"]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                  env=self.environment, cwd=self.build_folder, preexec_fn=self.limit)
        except OSError as error:
            sys.exit(f"plant_faults: error: {PROGRAM}: {error}")
        if done.returncode == 0:
            return ""
        if done.returncode == -signal.SIGXCPU:
            return "time limit"
        if done.returncode < 0:
            return f"signal {-done.returncode}"
        failed = re.search(r"/(tests/[\w/]+\.\w+:\d+): failed", done.stdout)
        return failed[1] if failed else f"exit code {done.returncode}"

    def judge(self, fault):
        path = self.tree / fault.file
        old = path.read_text()
        begin = time.monotonic()
        result = {"name": fault.name, "room": fault.room, "file": fault.file, "breaks": fault.breaks, "equivalent": fault.equivalent}
        try:
            path.write_text(replaced(old, fault.text, fault.replacement, fault.file))
            errors = self.build()
            result["build_seconds"] = round(time.monotonic() - begin, 1)
            result["outcome"] = "survives" if errors is None else "does not compile"
            if errors is not None:
                result["errors"] = errors[-2000:]
                return result
            for test in fault.tests:
                by = self.is_red(test)
                if by:
                    result.update(outcome="found", by=test, at=by)
                    break
        finally:
            path.write_text(old)
        result["seconds"] = round(time.monotonic() - begin, 1)
        return result


def is_as_it_should_be(result):
    return result["outcome"] == ("survives" if result["equivalent"] else "found")


def line_of(result):
    what = {"found": f"found by {result.get('by')} ({result.get('at')})", "survives": "SURVIVES"}.get(result["outcome"], "DOES NOT COMPILE")
    if result["outcome"] == "survives" and result["equivalent"]:
        what = "survives, as it should: " + result["equivalent"]
    return f"{result['room']:<12}{result['name']:<40}{what}, {result.get('seconds', result.get('build_seconds'))} s"


def table(results):
    rooms = sorted({result["room"] for result in results})
    yield "| room | planted | found | equivalent | survive |"
    yield "|---|---|---|---|---|"
    for room in [*rooms, None]:
        mine = [r for r in results if room is None or r["room"] == room]
        survive = [r for r in mine if r["outcome"] == "survives"]
        equivalent = [r for r in survive if r["equivalent"]]
        found = sum(r["outcome"] == "found" for r in mine)
        yield f"| {room or 'all'} | {len(mine)} | {found} | {len(equivalent)} | {len(survive) - len(equivalent)} |"


def main():
    parser = argparse.ArgumentParser(description="Plants faults and sees which test finds each.", allow_abbrev=False)
    parser.add_argument("--only", action="append", metavar="PATTERN", help="names, or rooms, that match; may be repeated")
    parser.add_argument("--resume", type=pathlib.Path, metavar="FILE", help="go on with the results of a run that stopped")
    parser.add_argument("--json", action="store_true", help="all results as JSON at the end, in place of lines")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/mutation", metavar="DIR")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilers at a time")
    parser.add_argument("--seconds", type=int, default=600, metavar="N", help="processor time of one test at most")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    arguments = parser.parse_args()
    faults = all_faults()
    if arguments.only:
        faults = [f for f in faults if any(fnmatch.fnmatch(f.name, p) or fnmatch.fnmatch(f.room, p) for p in arguments.only)]
        if not faults:
            sys.exit(f"plant_faults: error: no fault matches --only {' '.join(arguments.only)}")
    wrong = list(problems(ROOT, faults))
    for file, message in wrong:
        print(f"{file}: {message}")
    if wrong:
        sys.exit(1)
    if arguments.list:
        for fault in faults:
            print(f"{fault.room:<12}{fault.name:<40}{fault.breaks}")
        return 0
    if arguments.jobs < 1 or arguments.seconds < 1:
        sys.exit("plant_faults: error: --jobs and --seconds need a number from 1 on")

    file = arguments.resume or arguments.folder / "results.jsonl"
    results = []
    if arguments.resume:
        if not file.is_file():
            sys.exit(f"plant_faults: error: --resume {file}: there is no such file")
        now = {fault.name: fault for fault in faults}
        for line in file.read_text().splitlines():
            result = json.loads(line)
            if result["name"] in now:
                results.append({**result, "equivalent": now[result["name"]].equivalent})
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    done = {result["name"] for result in results}
    left = [fault for fault in faults if fault.name not in done]

    if left:
        bench = Bench(arguments.folder.resolve(), arguments.jobs, arguments.seconds)
        bench.prepare()
        errors = bench.build()
        if errors is not None:
            sys.exit(f"{errors[-3000:]}\nplant_faults: error: the copy does not build")
        for test in dict.fromkeys(test for fault in left for test in fault.tests):
            red = bench.is_red(test)
            if red:
                sys.exit(f"plant_faults: error: {test} is red without a fault ({red})")
    for fault in left:
        result = bench.judge(fault)
        results.append(result)
        with file.open("a") as out:
            out.write(json.dumps(result) + "\n")
        if not arguments.json:
            print(line_of(result), flush=True)
    if arguments.json:
        print(json.dumps(results, indent=1))
    else:
        for result in results:
            if not is_as_it_should_be(result):
                print(line_of(result) + "\n" + result.get("errors", ""))
        print("\n".join(table(results)))
    return 0 if all(map(is_as_it_should_be, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
