"""The step at which the rules of optax and jaxopt leave the way to W_mm, on the data of the README's table.

A rule is broken from the first traced step at which 1 - cos(W, W_mm) is more than twice softstep's and stays so: both follow one
trajectory in exact arithmetic, on which 1 - cos falls.
"""
import csv
import json
import math
import subprocess

from . import environment
from .steps import OUT, say

STEPS = 10000
OURS = {"ngd-optax": ["--rule", "ngd", "--step-size", "1"], "polyak-optax": ["--rule", "polyak", "--factor", "1"],
        "polyak-jaxopt": ["--rule", "polyak", "--factor", "1"]}


def program(*words: object) -> None:
    subprocess.run([str(environment.PROGRAM), *map(str, words)], check=True, capture_output=True, env=environment.for_threads(1))


def broken_at(steps: list[int], ours: list[float], theirs: list[float]) -> tuple[int | None, int | None]:
    """First traced step of being more than twice as far for good, and of being NaN."""
    off = next((k for k in range(len(steps)) if all(not b <= 2 * a for a, b in zip(ours[k:], theirs[k:]))), None)
    nan = next((k for k, b in enumerate(theirs) if math.isnan(b)), None)
    return (None if off is None else steps[off]), (None if nan is None else steps[nan])


def run() -> list[dict]:
    folder = OUT / "breaking"
    folder.mkdir(parents=True, exist_ok=True)
    data, limit, trace = folder / "data.safetensors", folder / "limit.safetensors", folder / "trace.csv"
    program("generate", "--samples", 10, "--tokens", 6, "--dim", 60, "--seed", 0, "--out", data)
    program("solve", "--data", data, "--out", limit)
    results = []
    for number_type in ("f32", "f64"):
        curves: dict[str, dict[int, float]] = {}
        for rule, options in OURS.items():
            program("train", "--data", data, *options, "--steps", STEPS, "--precision", number_type, "--reference", limit,
                    "--trace", trace)
            with trace.open() as rows:
                curves[rule] = {int(r["step"]): float(r["one_minus_cos"]) for r in csv.DictReader(rows) if int(r["step"]) > 0}
        steps = sorted(set.intersection(*(set(c) for c in curves.values())))
        worker = environment.PEERS / "workers" / "breaking_worker.py"
        command = [environment.PYTHON, "-B", worker, number_type, data, limit, *steps]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                              env=environment.for_threads(1))
        for rule, theirs in json.loads(done.stdout.splitlines()[-1]).items():
            ours = [curves[rule][s] for s in steps]
            off, nan = broken_at(steps, ours, theirs)
            results.append({"rule": rule, "type": number_type, "broken_at": off, "nan_at": nan, "steps": STEPS,
                            "ours_at_end": ours[-1], "theirs_at_end": theirs[-1]})
            say(f"breaking: {results[-1]}")
    return results
