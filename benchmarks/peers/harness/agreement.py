"""When two implementations of three steps agree: a bound derived from the data, to first order in the unit roundoff u.

Notation: gamma_it = y_i u^T x_it, s = X W z, p = softmax(s), m = sum p gamma, q_t = p_t (gamma_t - m), g_i = l'(m_i) X_i^T q_i,
G = (1/n) sum_i g_i z_i^T. In any order of summation a sum of k products is within k u of the exact one, relative to the sum of
the absolute values, and within 6 sqrt(k) u unless its roundings conspire (N. Higham and T. Mary, 2019: probability 1 - 2 e^-18;
an accumulator that stagnates is such a conspiracy, and is to be refused). The roundings on the way to G, with S the largest
|x|^T |W| |z|: 2 d to s, times S and felt twice by p; T + 4 more to p; d to gamma, relative to Gamma_t = |u|^T |x_t|; T to m and
T to X^T q, q relative to p_t (Gamma_t + M), M = sum p Gamma; n to the sum over samples; d to the norm (by rows or pairwise). So
the direction G / ||G|| is off by at most
    delta = 2 c u (1 + S) kappa,   c = 6 sqrt(n + 10 d + 4 T + 20),
    kappa = ||(1/n) sum |l'| (|X|^T p (Gamma + M)) |z|^T|| / ||G||.
A deviation e of W moves the direction by at most Lambda e, Lambda = (1/n) sum_i C_i |z_i|^2 / ||G|| with
    C_i = |X^T q|^2 / 4 + |l'| (sum_t |q_t| |x_t|^2 + 2 |X^T q| |X^T p|).
With every token a query, g_i z_i^T and what bounds it are means over the T queries, and so are |X^T q| |z| and the rest of C_i |z|^2;
G is a sum of n T terms.
The step size of the check is 1 / Lambda at most, so e doubles in a step: after 3 steps e <= (1 + 2 + 4) eta delta, plus the
roundings of W itself, 3 u ||W||. Two implementations differ by twice that; their losses by ||G|| times it, and rounding.
"""
import dataclasses
import math
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

ROUNDOFF = {"f32": 2.0 ** -24, "f64": 2.0 ** -53}
STEPS = 3
START = 4.0  # ||W_0||, a normalised step from 0: attention is neither uniform nor saturated
CHUNK = 2 ** 22  # tokens' elements looked at at once


@dataclasses.dataclass
class Agreement:
    """Of one data set: where to start, how to step, and how far apart loss and weights may be."""
    step_size: float
    polyak_cap: float
    roundoff_weights: float  # times u: bound on ||W - W'||_F
    roundoff_loss: float  # times u
    step_of_weights: float  # length of the three steps, to see that the bound says something

    def bounds(self, number_type: str) -> tuple[float, float]:
        u = ROUNDOFF[number_type]
        return u * self.roundoff_weights, u * self.roundoff_loss


class Problem:
    """`all_tokens`: every token of a sample is a query of it, and its prediction their mean; else token 0 alone."""

    def __init__(self, data_file: pathlib.Path, all_tokens: bool = False):
        tensors = load_file(data_file)
        self.x, self.u = tensors["tokens"], tensors["decoder"].astype(np.float64)
        self.y = tensors["labels"].astype(np.float64)
        self.n, self.n_tokens, self.d = self.x.shape
        self.queries = self.n_tokens if all_tokens else 1

    def chunks(self):
        step = max(1, CHUNK // (self.n_tokens * self.d))
        for first in range(0, self.n, step):
            x = self.x[first:first + step].astype(np.float64)
            yield x, x[:, :self.queries, :], self.y[first:first + step, None]

    def at(self, w: np.ndarray) -> dict:
        """Loss, gradient and the quantities of the bound. Arrays over queries are [n, m, .]."""
        d, m = self.d, self.queries
        gradient, magnitude = np.zeros((d, d)), np.zeros((d, d))
        sums = dict.fromkeys(("curvature", "moment", "loss"), 0.0)
        largest = 0.0
        for x, z, y in self.chunks():
            ax, az = np.abs(x), np.abs(z)
            xt, axt = x.transpose(0, 2, 1), ax.transpose(0, 2, 1)
            gamma, big = (y * (x @ self.u))[:, None], (ax @ np.abs(self.u))[:, None]
            s = (z @ w.T) @ xt
            largest = max(largest, float(((az @ np.abs(w).T) @ axt).max()))
            p = np.exp(s - s.max(axis=2, keepdims=True))
            p /= p.sum(axis=2, keepdims=True)
            output = (p * gamma).sum(axis=2, keepdims=True)
            margin = output.mean(axis=1, keepdims=True)
            slope = 1 / (1 + np.exp(margin)) / m
            q, bound = p * (gamma - output), p * (big + (p * big).sum(axis=2, keepdims=True))
            xq, xp = q @ x, p @ x
            gradient -= (slope * xq).reshape(-1, d).T @ z.reshape(-1, d)
            magnitude += (slope * (bound @ ax)).reshape(-1, d).T @ az.reshape(-1, d)
            length_q, length_p, length_z = (np.linalg.norm(a, axis=2) for a in (xq, xp, z))
            spread = (np.abs(q) @ (x * x).sum(axis=2)[:, :, None])[:, :, 0] + 2 * length_q * length_p
            loss = np.logaddexp(0, -margin)
            sums["curvature"] += float(((length_q * length_z).mean(axis=1) ** 2 / 4).sum())
            sums["curvature"] += float((slope[:, :, 0] * spread * length_z ** 2).sum())
            sums["moment"] += float((slope * bound).sum())
            sums["loss"] += float(loss.sum())
        out = {name: value / self.n for name, value in sums.items()}
        return {**out, "gradient": gradient / self.n, "magnitude": np.linalg.norm(magnitude) / self.n, "largest": largest}


def write_truth(problem: Problem, weights_file: pathlib.Path, step_size: float, out: pathlib.Path) -> float:
    """The steps of the check in float64; their loss."""
    w = load_file(weights_file)["weights"]
    for _ in range(STEPS):
        gradient = problem.at(w)["gradient"]
        w = w - step_size / np.linalg.norm(gradient) * gradient
    save_file({"weights": w}, out)
    return problem.at(w)["loss"]


def prepare(problem: Problem, weights_file: pathlib.Path, most: float = 0.1) -> Agreement:
    """Writes W_0 beside the data and derives the bound there; the step size is at most `most`."""
    first = problem.at(np.zeros((problem.d, problem.d)))["gradient"]
    start = (-START / np.linalg.norm(first) * first).astype(np.float32).astype(np.float64)
    save_file({"weights": start}, weights_file)
    at = problem.at(start)
    norm = float(np.linalg.norm(at["gradient"]))
    step_size = min(most, norm / at["curvature"])
    c = 6 * math.sqrt(problem.n * problem.queries + 10 * problem.d + 4 * problem.n_tokens + 20) * (1 + at["largest"])
    delta = 2 * c * at["magnitude"] / norm
    weights = 2 * (7 * step_size * delta + STEPS * (START + STEPS * step_size))
    loss = norm * weights + 2 * c * at["moment"] + 2 * 6 * math.sqrt(problem.n + 4) * at["loss"]
    # A Polyak step held to this coefficient of G has the same length.
    return Agreement(step_size, step_size / norm, weights, loss, STEPS * step_size)


def difference(ours: pathlib.Path, theirs: pathlib.Path) -> float:
    a, b = (load_file(f)["weights"].astype(np.float64) for f in (ours, theirs))
    return float(np.linalg.norm(a - b)) if a.shape == b.shape else math.nan
