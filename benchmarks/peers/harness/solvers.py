"""The max-margin problem by softstep and by everybody else, each answer checked by its margin."""
import json
import math
import pathlib
import statistics
import subprocess

from . import environment
from .steps import OUT, Shape, make_data, say

FULL, REDUCED = Shape(50, 20, 200), Shape(50, 20, 40)
TIMEOUT = 20.0  # seconds
WANTED = 1e-8  # relative shortfall of the margin at which a method counts as having solved it
DUAL = ["cvxpy-dual-clarabel", "cvxpy-dual-osqp", "cvxpy-dual-scs", "sklearn-svc-dual", "scipy-nnls-dual"]
PRIMAL = ["cvxpy-primal-clarabel", "cvxpy-primal-osqp", "cvxpy-primal-scs", "sklearn-linear-svc-primal"]
# The primal in full size has 40000 dense columns: who cannot do that in time has a smaller d as well.
PLAN = [(FULL, [*PRIMAL, *DUAL]), (REDUCED, [*PRIMAL, *DUAL])]


def softstep(data: pathlib.Path, threads: int, rounds: int) -> dict:
    out = OUT / "solve.json"
    runs = []
    for _ in range(rounds):
        subprocess.run([environment.PROGRAM, "solve", "--data", data, "--tolerance", str(WANTED), "--threads", str(threads),
                        "--json", out], check=True, capture_output=True, env=environment.for_threads(threads))
        runs.append(json.loads(out.read_text()))
    return {"seconds": statistics.median(r["seconds"] for r in runs), "margin": runs[0]["margin"], "norm": runs[0]["norm"],
            "status": runs[0]["status"], "duality_gap": runs[0]["duality_gap"]}


def peer(method: str, data: pathlib.Path, threads: int) -> dict:
    command = [environment.PYTHON, "-B", environment.PEERS / "workers" / "solver_worker.py", method, data]
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT,
                              env=environment.for_threads(threads))
    except subprocess.TimeoutExpired:
        return {"refused": f"not done in {TIMEOUT:.0f} s", "stopped_after": TIMEOUT}
    if done.returncode != 0:
        return {"refused": (done.stderr.strip().splitlines() or ["failed"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def run(rounds: int) -> list[dict]:
    """All processors for everybody."""
    threads = len(environment.cpus(0))
    results = []
    for shape, methods in PLAN:
        data, _ = make_data(shape, "f64")
        ours = softstep(data, threads, rounds)
        one = softstep(data, 1, rounds)
        entries = []
        for method in methods:
            entry = {"method": method, **peer(method, data, threads)}
            if "margin" in entry:
                entry["shortfall"] = 1 - entry["margin"] / ours["margin"]
                entry["solved"] = bool(abs(entry["shortfall"]) <= WANTED) and math.isfinite(entry["margin"])
            entries.append(entry)
            say(f"solver {shape}: {entry}")
        results.append({"shape": str(shape), "softstep": ours, "softstep_one_thread": one["seconds"], "threads": threads,
                        "entries": entries})
    return results
