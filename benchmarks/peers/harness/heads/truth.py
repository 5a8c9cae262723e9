"""O, dQ, dK, dV in float64, and how far a right answer may be from them: to first order in the unit roundoff u.

Notation: s_ij = scale q_i . k_j, p_i = softmax(s_i), o_i = sum_j p_ij v_j, A_ij = dO_i . v_j, D_i = sum_j p_ij A_ij,
dS_ij = p_ij (A_ij - D_i), dQ = scale dS K, dK = scale dS^T Q, dV = p^T dO. In any order of summation a sum of k products is within
6 sqrt(k) u of the exact one, relative to the sum of the absolute values, unless its roundings conspire (harness/agreement.py). With
S the largest scale |q_i| . |k_j|, m = Tq H / Hkv terms of a sum over queries, |.| by elements:
    p_ij is off by c_p u relative:      c_p = 12 sqrt(d + 2) S + 12 sqrt(Tk + 16), its own score and the sum of its row;
    O by (c_p + 6 sqrt(Tk)) u           of p |V|;
    dV by (c_p + 6 sqrt(m)) u           of p^T |dO|;
    dS_ij by c_s u                      of M_ij = p_ij (|A_ij| + sum_k p_ik |A_ik|), c_s = 2 c_p + 6 sqrt(Tk), D_i with it,
       and by 6 sqrt(d) u               of N_ij = p_ij (|dO_i| . |v_j| + sum_k p_ik |dO_i| . |v_k|), the products in A and D;
    dQ by (c_s + 6 sqrt(Tk)) u          of scale M |K|, and 6 sqrt(d) u of scale N |K|;
    dK by (c_s + 6 sqrt(m)) u           of scale M^T |Q|, and 6 sqrt(d) u of scale N^T |Q|.
Both sides are compared by Frobenius norms. In float64 the truth is as far off: twice the bound.
Types of 16 bits, of unit roundoff u', may also round what they store: inputs of products (p, dS) and results. These roundings are
one to a term and not one to a sum, so the root of the sum of their squares counts, within 6 of it but for conspiracies, and 2 for
what is stored itself: 8 u' times the norms of the terms p_ij v_j, p_ij dO_i, scale m_ij k_j and scale m_ij q_i. Here
m_ij^2 = dS_ij^2 + p_ij^2 sum_l (dO_il o_il)^2, because D_i may be made of an O that was rounded.
"""
import dataclasses
import math
import os
import pathlib

import numpy as np

from .cells import OUT, Shape, make_data, read_data

WORKERS = "heads "  # before a peer's name in the table of workers
ROUNDOFF = {"f32": 2.0 ** -24, "f64": 2.0 ** -53, "f16": 2.0 ** -24, "bf16": 2.0 ** -24}
STORED = {"f32": 0.0, "f64": 0.0, "f16": 8 * 2.0 ** -11, "bf16": 8 * 2.0 ** -8}
ROWS = 512  # of scores at a time
NAMES = ("o", "dq", "dk", "dv")
# A bound that is more than this part of the answer would not see a wrong one.
TELLING = 0.25


@dataclasses.dataclass
class Truth:
    """The four arrays, norms of the sums of absolute values and of single terms, and the largest score magnitude."""
    shape: Shape
    arrays: dict[str, np.ndarray]
    magnitudes: dict[str, float]
    inner: dict[str, float]
    terms: dict[str, float]
    largest_score: float

    def bounds(self, number_type: str) -> dict[str, float]:
        shape, sqrt = self.shape, math.sqrt
        terms = shape.queries * shape.heads // shape.key_heads
        c_p = 12 * sqrt(shape.dim + 2) * self.largest_score + 12 * sqrt(shape.keys + 16)
        c_s = 2 * c_p + 6 * sqrt(shape.keys)
        inner = 6 * sqrt(shape.dim)
        factors = {"o": c_p + 6 * sqrt(shape.keys), "dv": c_p + 6 * sqrt(terms),
                   "dq": c_s + 6 * sqrt(shape.keys), "dk": c_s + 6 * sqrt(terms)}
        sides = 2 if number_type == "f64" else 1
        u = sides * ROUNDOFF[number_type]
        return {name: u * (factors[name] * self.magnitudes[name] + inner * self.inner.get(name, 0.0))
                + STORED[number_type] * self.terms[name] for name in NAMES}

    def names(self, case: str) -> list[str]:
        return list(NAMES[:4 if case.startswith("both") else 1])

    def norm(self, name: str) -> float:
        return float(np.linalg.norm(self.arrays[name]))

    def telling(self, number_type: str) -> dict[str, float]:
        return {name: bound / self.norm(name) for name, bound in self.bounds(number_type).items()}


def masks(shape: Shape) -> tuple[bool, ...]:
    """Causal or not. With unequal lengths libraries differ in what causal means."""
    return (False, True) if shape.square else (False,)


def load_words(shape: Shape, scale: float) -> list[object]:
    return [*dataclasses.astuple(shape), f"{scale:.17g}"]


def reads_memory(shape: Shape) -> bool:
    """Whether the read bandwidth is the limit, not the multiply-adds."""
    return not shape.square


def compute(shape: Shape, causal: bool) -> Truth:
    data = {name: array.astype(np.float64) for name, array in read_data(shape).items()}
    q, k, v, do = (data[name] for name in ("q", "k", "v", "do"))
    out = {"o": np.empty_like(q), "dq": np.empty_like(q), "dk": np.zeros_like(k), "dv": np.zeros_like(v)}
    squares, inner, terms = (dict.fromkeys(NAMES, 0.0) for _ in range(3))
    largest, group = 0.0, shape.heads // shape.key_heads
    for b in range(shape.batch):
        for g in range(shape.key_heads):
            keys, values = k[b, g], v[b, g]
            abs_keys, abs_values = np.abs(keys), np.abs(values)
            squared_keys, squared_values = np.square(keys).sum(axis=1), np.square(values).sum(axis=1)
            size_dk, size_dv, inner_dk = np.zeros_like(keys), np.zeros_like(values), np.zeros_like(keys)
            for h in range(g * group, (g + 1) * group):
                for first in range(0, shape.queries, ROWS):
                    rows = slice(first, min(first + ROWS, shape.queries))
                    n = rows.stop if causal else shape.keys
                    query, slope = q[b, h, rows], do[b, h, rows]
                    s = shape.scale * query @ keys[:n].T
                    largest = max(largest, float((shape.scale * np.abs(query) @ abs_keys[:n].T).max()))
                    if causal:
                        s[:, first:][np.triu(np.ones((len(s), n - first), bool), 1)] = -np.inf
                    s -= s.max(axis=1, keepdims=True)
                    p = np.exp(s, out=s)
                    p /= p.sum(axis=1, keepdims=True)
                    out["o"][b, h, rows] = p @ values[:n]
                    out["dv"][b, g, :n] += p.T @ slope
                    squares["o"] += float(np.square(p @ abs_values[:n]).sum())
                    size_dv[:n] += p.T @ np.abs(slope)
                    a = slope @ values[:n].T
                    ds = p * (a - np.einsum("ij,ij->i", p, a)[:, None])
                    out["dq"][b, h, rows] = shape.scale * ds @ keys[:n]
                    out["dk"][b, g, :n] += shape.scale * ds.T @ query
                    rounded = np.square(ds) + np.square(p) * np.square(slope * out["o"][b, h, rows]).sum(axis=1)[:, None]
                    terms["dq"] += shape.scale ** 2 * float((rounded @ squared_keys[:n]).sum())
                    terms["dk"] += shape.scale ** 2 * float((rounded.sum(axis=1) * np.square(query).sum(axis=1)).sum())
                    np.square(p, out=rounded)
                    terms["o"] += float((rounded @ squared_values[:n]).sum())
                    terms["dv"] += float((rounded.sum(axis=1) * np.square(slope).sum(axis=1)).sum())
                    np.abs(a, out=a)
                    inside = np.abs(slope) @ abs_values[:n].T
                    for products, sums, of_keys in ((a, squares, size_dk), (inside, inner, inner_dk)):
                        m = p * (products + np.einsum("ij,ij->i", p, products)[:, None])
                        sums["dq"] += float(np.square(shape.scale * m @ abs_keys[:n]).sum())
                        of_keys[:n] += shape.scale * m.T @ np.abs(query)
            squares["dk"] += float(np.square(size_dk).sum())
            inner["dk"] += float(np.square(inner_dk).sum())
            squares["dv"] += float(np.square(size_dv).sum())
    return Truth(shape, out, *({name: math.sqrt(square) for name, square in s.items()} for s in (squares, inner, terms)), largest)


def truth_of(shape: Shape, causal: bool) -> Truth:
    """Kept beside the data: it is the same for every type and number of threads."""
    file = make_data(shape) / ("causal.npz" if causal else "full.npz")
    if file.exists():
        kept = np.load(file)
        return Truth(shape, {name: kept[name] for name in NAMES},
                     *({name: float(kept[of + name]) for name in NAMES} for of in ("size_", "inner_", "terms_")), float(kept["largest"]))
    made = compute(shape, causal)
    part = file.with_suffix(".part.npz")
    np.savez(part, **made.arrays, **{"size_" + name: value for name, value in made.magnitudes.items()},
             **{"inner_" + name: value for name, value in made.inner.items()},
             **{"terms_" + name: value for name, value in made.terms.items()}, largest=made.largest_score)
    part.replace(file)
    return made


def errors_over_bounds(truth: Truth, number_type: str, names: list[str], folder: pathlib.Path) -> dict[str, float]:
    """NaN and answers of another size are NaN, which no comparison lets pass."""
    dtype = np.float64 if number_type == "f64" else np.float32
    bounds, out = truth.bounds(number_type), {}
    for name in names:
        theirs = np.fromfile(folder / name, dtype)
        exact = truth.arrays[name].reshape(-1)
        out[name] = float(np.linalg.norm(theirs - exact)) / bounds[name] if theirs.size == exact.size else math.nan
    return out


ANSWERS = OUT / "answers" / str(os.getpid())
