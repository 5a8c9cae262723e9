"""Where rows of attention saturate: direction and norm of dQ and dK in float32, of softstep and others, beside the truth.

The truth is computed in 500 digits from the very numbers in float32. At a score spread of g scores have the standard deviation g,
so that the attention of the second key of a row is e^-(some g / 2). q and k have so few bits that scores are free of rounding in
float32 in any order of summation: what is seen is the formula, and not the scores. The error of a direction is sin of the angle
to the true one, taken as |a/|a| - b/|b||; 1 or more is another direction.
"""
import math
import shutil

import mpmath
import numpy as np

from ..worker_process import Worker, WorkerFailed
from . import cells
from .cells import Shape

N, DIM = 16, 16  # the scale 1 / sqrt(d) is exact
SHAPE = Shape(1, 1, 1, N, N, DIM)
SPREADS = (1.0, 50.0, 1e4)
DIGITS = 500
WRONG = 0.01  # a direction that is further off counts as wrong
PEERS = {"softstep": ["softstep"], "torch": ["default", "math"], "jax": ["jit"]}


def make_data(spread: float):
    folder = cells.OUT / "breaking" / f"{spread:g}"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    arrays = {name: random.standard_normal((N, DIM)).astype(np.float32) for name in ("q", "k", "v", "do")}
    for name in ("q", "k"):
        arrays[name] = np.round(8 * arrays[name]) / np.float32(8)
    arrays["q"] *= np.float32(spread)
    # Products are whole numbers of this unit, and so is every partial sum; below 2^24 units it is exact.
    unit = (int(spread) & -int(spread)) / 64
    largest = float((np.abs(arrays["q"].astype(float)) @ np.abs(arrays["k"].astype(float)).T).max())
    if not largest < 2 ** 24 * unit:
        raise ValueError(f"scores of spread {spread:g} would be rounded")
    for name, array in arrays.items():
        array.tofile(folder / name)
    return folder, arrays


def truth(arrays: dict[str, np.ndarray]) -> dict[str, list[list]]:
    mpmath.mp.dps = DIGITS
    q, k, v, do = (mpmath.matrix(arrays[name].astype(float).tolist()) for name in ("q", "k", "v", "do"))
    scale = mpmath.mpf(SHAPE.scale)
    s, a = scale * (q * k.T), do * v.T
    ds = mpmath.matrix(N, N)
    for i in range(N):
        top = max(s[i, j] for j in range(N))
        p = [mpmath.exp(s[i, j] - top) for j in range(N)]
        total = mpmath.fsum(p)
        for j in range(N):
            # Pair by pair, since a sum over all would lose what is less than these digits.
            ds[i, j] = p[j] * mpmath.fsum(p[n] * (a[i, j] - a[i, n]) for n in range(N)) / total ** 2
    return {name: [[m[i, j] for j in range(DIM)] for i in range(N)]
            for name, m in (("dq", scale * (ds * k)), ("dk", scale * (ds.T * q)))}


def norm(numbers) -> mpmath.mpf:
    return mpmath.sqrt(mpmath.fsum(x * x for x in numbers))


def against(right: list, theirs: list) -> tuple[str, float, float]:
    """("", error of the direction, norm over the true one less 1), or what is the matter."""
    if any(mpmath.isnan(x) or mpmath.isinf(x) for x in theirs):
        return "NaN", math.nan, math.nan
    a, b = norm(right), norm(theirs)
    if b == 0:
        return "zero", math.nan, math.nan
    return "", float(norm([x / a - y / b for x, y in zip(right, theirs)])), float(b / a - 1)


def read(folder, name: str, exponents: np.ndarray) -> list[list]:
    numbers = np.fromfile(folder / name, np.float32).reshape(N, DIM)
    return [[mpmath.mpf(float(x)) * mpmath.exp(mpmath.mpf(float(e))) for x in row] for row, e in zip(numbers, exponents)]


def judged(right: dict[str, list[list]], theirs: dict[str, list[list]]) -> dict:
    """dQ row by row, since each has an exponent of its own; dK as a whole, as a step would take it."""
    rows = [against(a, b) for a, b in zip(right["dq"], theirs["dq"])]
    whole = against(sum(right["dk"], []), sum(theirs["dk"], []))
    told = [row for row in rows if not row[0]]
    return {"rows": len(rows), "wrong": sum(not r[1] <= WRONG for r in told),
            "zero": sum(r[0] == "zero" for r in rows), "nan": sum(r[0] == "NaN" for r in rows),
            "dq_direction": max((r[1] for r in told), default=math.nan),
            "dq_norm": max((abs(r[2]) for r in told), default=math.nan),
            "dk": whole[0], "dk_direction": whole[1], "dk_norm": whole[2]}


def answer(worker: Worker, peer: str, variant: str, folder) -> dict[str, list[list]]:
    out = folder / "answer"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    worker.ask("load", folder, SHAPE.batch, SHAPE.heads, SHAPE.key_heads, N, N, DIM, f"{SHAPE.scale:.17g}", timeout=300)
    if peer == "softstep":
        worker.ask("exponents", variant, "both", out)
        exponents = {"dq": np.fromfile(out / "dq_exponents"), "dk": np.repeat(np.fromfile(out / "dk_exponents"), N)}
    else:
        worker.ask("prepare", variant, "both", timeout=300)
        worker.ask("check", variant, "both", out, timeout=300)
        exponents = {"dq": np.zeros(N), "dk": np.zeros(N)}
    return {name: read(out, name, exponents[name]) for name in ("dq", "dk")}


def run(peers: list[str], say) -> list[dict]:
    results = []
    data = {spread: make_data(spread) for spread in SPREADS}
    right = {spread: truth(arrays) for spread, (_, arrays) in data.items()}
    for peer in (p for p in PEERS if p in peers):
        worker = Worker("heads " + peer, "f32", 1)
        for variant in PEERS[peer]:
            for spread, (folder, _) in data.items():
                row = {"peer": peer, "variant": variant, "spread": spread}
                try:
                    row |= judged(right[spread], answer(worker, peer, variant, folder))
                except WorkerFailed as error:
                    row["refused"] = str(error)
                results.append(row)
                say(f"saturated rows: {row}")
        worker.close()
    return results
