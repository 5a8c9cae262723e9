"""Whole programs that are many runs: the published set-up, and a sweep of 6000 runs; processes from start to end, interleaved."""
import json
import shutil
import statistics
import subprocess
import time

from .. import environment
from ..research import COMMAND as PUBLISHED
from ..steps import OUT

SEEDS, STEPS = 100, 2000
SIZES = ",".join(f"{10 ** (k / 5 - 2):.3g}" for k in range(20))
SWEEP = ["sweep", "--generator", "random_unit", "--samples", "6", "--tokens", "8", "--dim", "10", "--steps", str(STEPS),
         "--rules", "gd;ngd;ngd:schedule-power=0.5", "--step-sizes", SIZES, "--seeds", str(SEEDS), "--trace-rows-per-decade", "0"]
COMMANDS = {"published": PUBLISHED, "sweep": SWEEP}


def seconds_of(name: str, threads: int) -> tuple[float, dict]:
    folder = OUT / "many" / f"{name}-{threads}"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([str(environment.PROGRAM), *COMMANDS[name], "--threads", str(threads), "--out", str(folder)], check=True,
                   capture_output=True, env=environment.for_threads(threads))
    return time.perf_counter() - began, json.loads((folder / "summary.json").read_text())


TOLD_BY_CLOCK = ("second", "thread", "machine", "settings")


def without_times(value):
    """Of a summary: all but what a clock or the number of threads has a part in."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not any(word in k for word in TOLD_BY_CLOCK)}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def run(rounds: int, say) -> list[dict]:
    """Refused is a program whose numbers depend on the threads."""
    counts = sorted({1, len(environment.cpus(0))})
    results = []
    for name in COMMANDS:
        times: dict[int, list[float]] = {count: [] for count in counts}
        summaries = {}
        for _ in range(rounds):
            for count in counts:
                seconds, summaries[count] = seconds_of(name, count)
                times[count].append(seconds)
        same = all(without_times(summaries[c]) == without_times(summaries[counts[0]]) for c in counts)
        results.append({"program": name, "command": "softstep " + " ".join(COMMANDS[name]), "same_numbers": same,
                        "seconds": {str(c): statistics.median(t) for c, t in times.items()}, "rounds": times})
        told = ", ".join(f"{c} threads {statistics.median(t):.3g} s" for c, t in times.items())
        say(f"{name}: {told}{'' if same else '; the numbers DIFFER'}")
    return results
