"""Linear attention: its shapes, data, and O and gradients in float64 with how far a right answer may be from them.

The truth is the recurrence itself (docs/mathematics.md, section 12): with gates g_t = exp(log_gates_t), q with the scale in it,
    S_t = diag(g_t) S_(t-1) + k_t v_t^T     o_t = S_t^T q_t
    D_t = q_t dO_t^T + diag(g_(t+1)) D_(t+1)     dq_t = S_t dO_t   dk_t = D_t v_t   dv_t = D_t^T k_t
    gradient of log g_tl: sum over columns of g_tl S_(t-1) * D_t
and without a mask S_t and D_t are those of all positions. Run on absolute values it gives the sum of all terms' magnitudes.

Bounds, to first order in the unit roundoff u: in any order of summation a sum of k products is within 6 sqrt(k) u of the exact one,
relative to the sum of the magnitudes, unless its roundings conspire (harness/agreement.py). A term is part of a dot product over d,
of a sum over at most T positions, and has a decay: at most T gates with four roundings each, which are 6 sqrt(4 T) u. So results are
within 6 (sqrt(d) + 3 sqrt(T)) u. The gradient of a gate has a second dot product and a second sum: 6 (2 sqrt(d) + 4 sqrt(T)) u. Who
differentiates through sums of log gates in chunks makes it of differences of sums of q dq - k dk over up to CHUNK later positions: each
of these has an error of its own, and the root of the sum of their squares counts too. Both sides are compared by Frobenius norms. In float64 the truth is as far off: twice the bound.
"""
import dataclasses
import math
import pathlib

import numpy as np

from . import truth
from .cells import made_once, rounded

WORKERS = "linear "  # before a peer's name in the table of workers
CHUNK = 128
NAMES = ("o", "dq", "dk", "dv", "dlog_gates")


@dataclasses.dataclass(frozen=True)
class Shape:
    heads: int
    tokens: int
    dim: int
    gates: str  # none, scalar, vector

    def __str__(self) -> str:
        gates = "" if self.gates == "none" else f" {self.gates} gates"
        return f"H{self.heads} T{self.tokens} d{self.dim}{gates}"

    @property
    def folder(self) -> str:
        return "linear-" + str(self).replace(" ", "-")

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.dim)

    @property
    def columns(self) -> int:
        return {"none": 0, "scalar": 1, "vector": self.dim}[self.gates]

    def flops(self, case: str) -> float:
        """Of the recurrence, which is what any algorithm is measured by: 4 T d^2 forward, 10 T d^2 backward."""
        return self.heads * (14.0 if case.startswith("both") else 4.0) * self.tokens * self.dim ** 2


GATES = ("none", "scalar", "vector")
SHORT = [Shape(8, 1024, 64, gates) for gates in GATES]
SHAPES = [*SHORT, Shape(8, 1024, 128, "none"), *(Shape(1, 8192, 64, gates) for gates in GATES)]
PARTS = {"linear": (SHAPES, ["f32"]), "linear-f64": (SHORT, ["f64"])}


def masks(shape: Shape) -> tuple[bool, ...]:
    """Causal or not; gates have an order."""
    return (False, True) if shape.gates == "none" else (True,)


def load_words(shape: Shape, scale: float) -> list[object]:
    return [shape.heads, shape.tokens, shape.dim, shape.columns, f"{scale:.17g}"]


def reads_memory(shape: Shape) -> bool:
    """Whether the read bandwidth is the limit, not the multiply-adds."""
    return False


def make_data(shape: Shape) -> pathlib.Path:
    """Standard normal numbers; log gates between -0.1 and 0: some twenty positions are remembered."""
    def write(folder: pathlib.Path, random: np.random.Generator) -> None:
        for name in ("q", "k", "v", "do"):
            rounded(random.standard_normal((shape.heads, shape.tokens, shape.dim), np.float32)).tofile(folder / name)
        rounded(-0.1 * random.random((shape.heads, shape.tokens, shape.columns), np.float32)).tofile(folder / "log_gates")

    return made_once(shape.folder, write)


def recurrence(q: np.ndarray, k: np.ndarray, v: np.ndarray, do: np.ndarray, log_gates: np.ndarray, causal: bool) -> list[np.ndarray]:
    """O and the gradients [H, T, .]; q with the scale in it, so that dq is to be multiplied by it."""
    heads, n, d = q.shape
    if not causal:
        state, later = k.swapaxes(1, 2) @ v, q.swapaxes(1, 2) @ do
        return [q @ state, do @ state.swapaxes(1, 2), v @ later.swapaxes(1, 2), k @ later]
    gates = np.exp(log_gates) if log_gates.shape[2] else np.ones((heads, n, 1))
    states = np.empty((n + 1, heads, d, d))
    states[0] = 0
    for t in range(n):
        states[t + 1] = gates[:, t, :, None] * states[t] + k[:, t, :, None] * v[:, t, None, :]
    o, dq = np.einsum("thij,hti->htj", states[1:], q), np.einsum("thij,htj->hti", states[1:], do)
    dk, dv, dlog = np.empty_like(k), np.empty_like(v), np.empty((heads, n, d))
    later = np.zeros((heads, d, d))
    for t in reversed(range(n)):
        later += q[:, t, :, None] * do[:, t, None, :]
        dk[:, t], dv[:, t] = np.einsum("hij,hj->hi", later, v[:, t]), np.einsum("hij,hi->hj", later, k[:, t])
        later *= gates[:, t, :, None]
        dlog[:, t] = np.einsum("hij,hij->hi", states[t], later)
    columns = log_gates.shape[2]
    return [o, dq, dk, dv, *([dlog.sum(axis=2, keepdims=True) if columns == 1 else dlog] if columns else [])]


@dataclasses.dataclass
class Truth:
    shape: Shape
    arrays: dict[str, np.ndarray]
    magnitudes: dict[str, float]

    def names(self, case: str) -> list[str]:
        return list(self.arrays) if case.startswith("both") else ["o"]

    def bounds(self, number_type: str) -> dict[str, float]:
        d, n = math.sqrt(self.shape.dim), math.sqrt(self.shape.tokens)
        u = (2 if number_type == "f64" else 1) * truth.ROUNDOFF[number_type]
        return {name: 6 * u * (2 * d + 4 * n if name == "dlog_gates" else d + 3 * n) * size for name, size in self.magnitudes.items()}

    def telling(self, number_type: str) -> dict[str, float]:
        return {name: bound / float(np.linalg.norm(self.arrays[name])) for name, bound in self.bounds(number_type).items()}


def truth_of(shape: Shape, causal: bool) -> Truth:
    folder = make_data(shape)
    size = (shape.heads, shape.tokens, -1)
    q, k, v, do, log_gates = (np.fromfile(folder / name, np.float32).astype(np.float64).reshape(size if name != "log_gates" else
                              (shape.heads, shape.tokens, shape.columns)) for name in ("q", "k", "v", "do", "log_gates"))
    made = dict(zip(NAMES, recurrence(shape.scale * q, k, v, do, log_gates, causal)))
    sizes = dict(zip(NAMES, recurrence(*(np.abs(x) for x in (shape.scale * q, k, v, do)), log_gates, causal)))
    for arrays in (made, sizes):
        arrays["dq"] = shape.scale * arrays["dq"]
    if shape.columns:
        # Squared magnitudes of q dq and k dk at t and the CHUNK - 1 positions after it: errors of their own each.
        squares = np.square(q * sizes["dq"]) + np.square(k * sizes["dk"])
        sums = np.concatenate([np.cumsum(squares[:, ::-1], axis=1)[:, ::-1], np.zeros((shape.heads, CHUNK, shape.dim))], axis=1)
        near = np.maximum(sums[:, :shape.tokens] - sums[:, CHUNK:], 0)
        sizes["dlog_gates"] = sizes["dlog_gates"] + np.sqrt(near.sum(axis=2, keepdims=True) if shape.columns == 1 else near)
    return Truth(shape, made, {name: float(np.linalg.norm(array)) for name, array in sizes.items()})
