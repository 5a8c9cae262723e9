#!/usr/bin/env python3
"""Installs a build, compiles each example against the package and compares the directions with that of `softstep train`.

    check.py --build build/dev --work build/examples [--self-test] [NAME...]

Each example prints the rows of a table: solver, run, evaluations, margin, 1 - cos to W_mm, 1 - cos to `softstep train`, ending.
The runs of BOUNDS must end within their bound of both directions; a run whose gradient underflows must say so and stay where it
was. rust is built where rustc is there, and left out elsewhere.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["ceres", "nlopt", "petsc", "eigen", "c", "fortran", "rust"]
# `softstep train`, Polyak: after 20000 steps |W| is 3e4, and a direction that is followed by W_mm r + O(1) is within O(1 / r)^2 of
# it: 1e-8 for r = 1e4, times ten for the O(1), which is a logarithm of multipliers. MMA stops in a ball of 1e4 at its own tolerance.
BOUNDS = {
    "log gap along the path": 1e-6,  # penalty 1e-6: |W| is 3e5
    "normalised mantissa": 1e-6,  # 20000 steps of length 1
    "Polyak of scaled pairs": 1e-6,
    "softstep_train, polyak": 1e-6,
    "normalised mantissa, far out": 1e-4,  # begins at |W| = 3e3 in a direction 0.23 rad away, 2e5 steps of 1
    "log gap, |W| <= 1e1 .. 1e4": 1e-4,
}
UNDERFLOWS = {"plain loss from far out", "plain gradient, far out"}


def run(command, **options):
    command = [str(word) for word in command]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode != 0:
        print(result.stdout)
        sys.exit(f"failed with status {result.returncode}: {' '.join(command)}")
    return result.stdout


def rows(text):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.lstrip().startswith("|"):
            # |W| in the name of a run holds bars of its own.
            if len(cells) > 7:
                extra = len(cells) - 7
                cells[1:2 + extra] = ["|".join(line.split("|")[2:3 + extra]).strip()]
            yield cells


def judge(name, text):
    """What is wrong with the output of an example."""
    bounded, underflowed = 0, 0
    for solver, what, _, _, to_limit, to_trained, ending in rows(text):
        if what in UNDERFLOWS:
            underflowed += 1
            if "underflow" not in ending and "the step is 0" not in ending:
                yield f"{name}: {solver}, {what}: does not say that the gradient underflows: {ending}"
            if not float(to_limit) > 1e-3:
                yield f"{name}: {solver}, {what}: 1 - cos is {to_limit}, without a gradient"
        bound = BOUNDS.get(what)
        if bound is None:
            continue
        bounded += 1
        for direction, value in (("W_mm", to_limit), ("softstep train", to_trained)):
            if not float(value) <= bound:
                yield f"{name}: {solver}, {what}: 1 - cos to {direction} is {value}, above {bound}"
    if not bounded:
        yield f"{name}: no run that reaches the direction"
    if not underflowed:
        yield f"{name}: no run that shows the underflow"


def self_test():
    good = ("| S | log gap along the path | 9 | 0.3 | 1e-9 | 1e-8 | fine |\n"
            "| S | plain loss from far out | 1 | 0.3 | 2e-2 | 2e-2 | the gradient underflows |\n")
    cases = [("(a good table)", good, False), ("another direction", good.replace("1e-8", "1e-3"), True),
             ("no number", good.replace("1e-9", "nan"), True), ("a silent underflow", good.replace("the gradient underflows", "ok"), True),
             ("no table", "", True), ("(bars in a name)", good + "| S | log gap, |W| <= 1e1 .. 1e4 | 9 | 0.3 | 1e-5 | 1e-5 | fine |\n", False),
             ("a bad row with bars in its name", good + "| S | log gap, |W| <= 1e1 .. 1e4 | 9 | 0.3 | 1 | 1 | fine |\n", True)]
    bad = 0
    for what, text, wanted in cases:
        seen = bool(list(judge("planted", text))) == wanted
        bad += not seen
        print(f"{'seen  ' if seen else 'MISSED'} {what}")
    return bad == 0


def build(name, work, prefix, libdir):
    if name == "rust":
        if not shutil.which("rustc"):
            return None
        program = work / "rust"
        run(["rustc", "-O", HERE / "rust/main.rs", "-o", program, "-L", f"native={libdir}", "-l", "static=softstep", "-l", "stdc++",
             "-l", "gomp", "-l", "m"])
        return program
    folder = work / name
    run(["cmake", "-S", HERE / name, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["cmake", "--build", folder])
    return folder / "example"


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("names", nargs="*", default=NAMES)
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test() else 1)
    work = arguments.work.resolve()
    prefix = work / "prefix"
    work.mkdir(parents=True, exist_ok=True)
    run(["cmake", "--install", arguments.build, "--prefix", prefix])
    libdir, = {path.parent for path in prefix.rglob("libsoftstep.*") if path.suffix in (".a", ".so")}
    program, data, trained = prefix / "bin/softstep", work / "data.safetensors", work / "trained.safetensors"
    run([program, "generate", "--samples", "8", "--tokens", "5", "--dim", "20", "--seed", "1", "--out", data])
    run([program, "train", "--data", data, "--rule", "polyak", "--steps", "20000", "--out", trained])
    wrong = []
    # OpenMPI refuses to run as root, as in a container, unless it is told to.
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    print("| solver | run | evaluations | margin | 1 - cos to W_mm | to softstep train | ending |\n|---|---|---|---|---|---|---|")
    for name in arguments.names:
        example = build(name, work, prefix, libdir)
        if example is None:
            print(f"({name}: its compiler is not there)")
            continue
        before = ["mpirun", "-n", "2", "--oversubscribe"] if name == "petsc" else []
        text = run([*before, example, data, trained], env=environment)
        print(text, end="", flush=True)
        wrong += judge(name, text)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
