"""Max-margin solutions, which trained weights tend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from .errors import InvalidArgument
from .problem import Problem, _as_integers

__all__ = ["MaxMarginResult", "solve_linear_max_margin", "solve_max_margin"]


@dataclass(frozen=True)
class MaxMarginResult:
    """W_mm and its certificate: what a reader needs to check the answer without trusting the solver."""

    #: optimal, not_separable, max_sweeps, no_constraints, inconsistent_equalities, at_rounding or undecided
    status: str
    #: W_mm [dim, dim] float64, scaled so that the smallest margin is 1; u_mm [dim, 1] of points
    weights: Any
    #: lambda >= 0 of each token in batch order
    multipliers: Any
    #: of W_mm, in the norm that was asked for
    norm: float
    #: smallest constraint over the norm
    margin: float
    #: (primal - dual) / primal
    duality_gap: float
    #: worst violation of complementarity
    kkt_residual: float
    n_constraints: int
    n_support: int
    sweeps: int
    #: False where some sample has two tokens of the same best score
    unique_optimal_tokens: bool
    #: of data that are not separable: bounds the margin that a W may have
    certificate: float

    def __repr__(self) -> str:
        return (
            f"MaxMarginResult({self.status}, norm {self.norm:.6g}, margin {self.margin:.6g}, duality gap {self.duality_gap:.1e}, "
            f"{self.n_support} of {self.n_constraints} constraints support)"
        )


def solve_max_margin(
    problem: Problem,
    *,
    norm: str = "frobenius",
    p: float = 2.0,
    selected: Any = None,
    tolerance: float | None = None,
    max_sweeps: int = 100000,
    n_threads: int = 1,
) -> MaxMarginResult:
    """W_mm = argmin |W| subject to (x_i,opt - x_it)^T W z_i >= 1 for all samples i and tokens t other than opt_i.

    norm: "frobenius", "nuclear" or "lp" (with p above 1). selected: [n_samples] tokens that are to win in place of the optimal
    ones. tolerance: relative duality gap, 1e-10, in other norms 1e-8. Data that cannot be separated are a status, not an error.
    Raises InvalidArgument. Source: arXiv 2402.05738, W-SVM.

    >>> import softstep
    >>> solve_max_margin(softstep.generate(seed=0).problem()).status
    'optimal'
    """
    chosen = _as_integers(selected, "selected", np.int64)
    if norm == "frobenius":
        found = _core.solve_max_margin(
            problem,
            selected=chosen,
            tolerance=1e-10 if tolerance is None else tolerance,
            max_sweeps=max_sweeps,
            n_threads=n_threads,
        )
    else:
        found = _core.solve_max_margin_in_norm(
            problem,
            norm,
            p=p,
            selected=chosen,
            tolerance=1e-8 if tolerance is None else tolerance,
            max_sweeps=max_sweeps,
            n_threads=n_threads,
        )
    return MaxMarginResult(**found)


def solve_linear_max_margin(
    points: Any, labels: Any, *, tolerance: float = 1e-10, max_sweeps: int = 100000, n_threads: int = 1
) -> MaxMarginResult:
    """u_mm = argmin |u| subject to y_i x_i^T u >= 1: points [n, dim] and labels [n] of -1 or +1, without intercept.

    >>> result = solve_linear_max_margin([[2.0, 0.0], [0.0, -4.0]], [1, -1])
    >>> result.weights[:, 0].tolist()
    [0.5, 0.25]
    """
    array = np.ascontiguousarray(points)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InvalidArgument(f"points: shape {array.shape}, dtype {array.dtype} (need real numbers [n, dim])", "points")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    return MaxMarginResult(
        **_core.solve_linear_max_margin(
            array, _as_integers(labels, "labels", np.int8), tolerance=tolerance, max_sweeps=max_sweeps, n_threads=n_threads
        )
    )
