"""The published research set-up end to end: 100 seeds of random_unit, 2000 normalised steps each, and the max-margin solves."""
import json
import math
import shutil
import statistics
import subprocess
import time
from typing import Iterable

from . import environment
from .steps import OUT, say

SEEDS, STEPS, STEP_SIZE = 100, 2000, 0.1
GENERATOR = ["--generator", "random_unit", "--samples", "6", "--tokens", "8", "--dim", "10"]
COMMAND = ["compare", *GENERATOR, "--rules", f"ngd:step-size={STEP_SIZE}", "--steps", str(STEPS),
           "--seeds", str(SEEDS), "--no-plots"]
# At the end attention is saturated, so a loss is a sum of 6 logarithms at the tokens selected, right to (n + T + d + 20) u in
# both; a run that selected another token anywhere is off by that token's score gap. Norms: cvxpy's solver stops at a gap of 1e-8.
LOSS_TOLERANCE = 2 * (6 + 8 + 10 + 20) * 2.0 ** -53
NORM_TOLERANCE = 1e-7


def softstep(threads: int, rounds: int) -> tuple[float, dict]:
    folder = OUT / "research"
    seconds = []
    for _ in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        subprocess.run([str(environment.PROGRAM), *COMMAND, "--out", str(folder)], check=True, capture_output=True,
                       env=environment.for_threads(threads))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), json.loads((folder / "summary.json").read_text())


def script(seeds: int, threads: int) -> dict:
    files = []
    for seed in range(seeds):
        files.append(str(OUT / "data" / f"random-unit-{seed}.safetensors"))
        subprocess.run([str(environment.PROGRAM), "generate", *GENERATOR, "--seed", str(seed), "--out", files[-1]], check=True,
                       capture_output=True)
    command = [str(environment.PYTHON), "-B", str(environment.PEERS / "workers" / "research_script.py"), str(STEPS),
               str(STEP_SIZE), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment.for_threads(threads))
    return json.loads(done.stdout.splitlines()[-1])


def worst(distances: Iterable[float]) -> float:
    """The largest; NaN where one of them is, which max() passes over unless it comes first."""
    return max(distances, key=lambda distance: math.inf if math.isnan(distance) else distance)


def run(seeds: int, rounds: int) -> dict:
    (OUT / "data").mkdir(parents=True, exist_ok=True)
    threads = len(environment.cpus(0))
    ours, summary = softstep(threads, rounds)
    theirs = script(seeds, 1)  # on arrays this small more threads make PyTorch slower
    runs = summary["rules"][0]["runs"]
    loss = worst(abs(a - b["loss"]) for a, b in zip(theirs["losses"], runs))
    norm = worst(abs(a - b["norm"]) / b["norm"] for a, b in zip(theirs["norms"], summary["references"]))
    agrees = bool(loss <= LOSS_TOLERANCE and norm <= NORM_TOLERANCE)
    total = statistics.median(theirs["seconds"]) * SEEDS
    say(f"research: softstep {ours:.3f} s, script {total:.1f} s from {seeds} seeds; losses {loss:.1e}, norms {norm:.1e} apart")
    return {"command": "softstep " + " ".join(COMMAND), "softstep_seconds": ours, "threads": threads, "script_seconds": total,
            "script_seeds": seeds, "losses_apart": loss, "norms_apart": norm, "agrees": agrees}
