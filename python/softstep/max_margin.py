"""Max-margin solutions, which trained weights tend to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._arguments import integer, number, require_model, text, unmasked
from .errors import InvalidArgument
from .models import NextTokenData
from .problem import Problem, _as_integers

__all__ = [
    "MaxMarginResult",
    "TiedMaxMarginResult",
    "solve_linear_max_margin",
    "solve_max_margin",
    "solve_max_margin_with_ties",
    "solve_next_token_max_margin",
]


@dataclass(frozen=True)
class MaxMarginResult:
    """W_mm and its certificate: what a reader needs to check the answer without trusting the solver."""

    #: optimal, not_separable, max_sweeps, interrupted, no_constraints, inconsistent_equalities, at_rounding or undecided
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
    #: how many there are
    n_constraints: int
    #: multipliers above 1e-9 of the largest; in other norms than the Frobenius one, above 1e-6
    n_support: int
    #: passes over the constraints, or steps of the same cost
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


@dataclass(frozen=True, repr=False)
class TiedMaxMarginResult(MaxMarginResult):
    """W_mm under equalities, and their part of the certificate."""

    #: mu of each token, against the first that it is tied with; 0 elsewhere
    equality_multipliers: Any
    #: worst violation of an equality
    equality_residual: float
    #: |W - sum lambda A - sum mu E| / |W|
    stationarity_residual: float
    #: how many there are
    n_equalities: int
    #: linearly independent ones
    equality_rank: int


def _bounds(max_sweeps: Any, n_threads: Any) -> dict[str, int]:
    """What bounds the work of a solver."""
    return {"max_sweeps": integer(max_sweeps, "max_sweeps", 0), "n_threads": integer(n_threads, "n_threads", 0, 31)}


def solve_max_margin(
    problem: Problem,
    *,
    norm: str = "frobenius",
    p: float = 2.0,
    selected: Any = None,
    tolerance: float | None = None,
    max_sweeps: int = 100000,
    n_threads: int = 1,
    stop: _core.StopSource | None = None,
    progress: Callable[[int, float, float], object] | None = None,
) -> MaxMarginResult:
    """W_mm = argmin |W| subject to (x_i,opt - x_it)^T W z_i >= 1 for all samples i and tokens t other than opt_i.

    norm: "frobenius", "nuclear" or "lp" (with p above 1). selected: [n_samples] tokens that are to win in place of the optimal
    ones. tolerance: relative duality gap, 1e-10, in other norms 1e-8. stop: a `StopSource`, by which another thread ends it.
    progress: called between sweeps with their number, duality gap and KKT residual; False from it ends it. Data that cannot be separated are a status, not an error.
    Raises InvalidArgument. Source: arXiv 2402.05738, W-SVM.

    >>> import softstep
    >>> solve_max_margin(softstep.generate(seed=0).problem()).status
    'optimal'
    """
    require_model(problem, kind=_core.Problem)
    chosen = _as_integers(selected, "selected", np.int64)
    if norm == "frobenius":
        found = _core.solve_max_margin(
            problem,
            selected=chosen,
            tolerance=1e-10 if tolerance is None else number(tolerance, "tolerance"),
            **_bounds(max_sweeps, n_threads),
            stop=stop,
            progress=progress,
        )
    else:
        found = _core.solve_max_margin_in_norm(
            problem,
            text(norm, "norm"),
            p=number(p, "p"),
            selected=chosen,
            tolerance=1e-8 if tolerance is None else number(tolerance, "tolerance"),
            **_bounds(max_sweeps, n_threads),
            stop=stop,
            progress=progress,
        )
    return MaxMarginResult(**found)


def solve_max_margin_with_ties(
    problem: Problem,
    tied: Sequence[Sequence[int]],
    *,
    tolerance: float = 1e-10,
    max_sweeps: int = 100000,
    n_threads: int = 1,
    stop: _core.StopSource | None = None,
    progress: Callable[[int, float, float], object] | None = None,
) -> TiedMaxMarginResult:
    """W_mm where the tokens tied[i] of sample i share the best score: their margins are 0 among each other, 1 to the rest.

    For small problems: memory grows with the number of tokens times dim squared. Other arguments as in `solve_max_margin`. Raises
    InvalidArgument. Source: softstep/max_margin.h.

    >>> import softstep
    >>> problem = softstep.generate(seed=0).problem()
    >>> best = [[int(token)] for token in problem.optimal_tokens]
    >>> bool(abs(solve_max_margin_with_ties(problem, best).norm / solve_max_margin(problem).norm - 1) < 1e-9)
    True
    """
    require_model(problem, kind=_core.Problem)
    found = _core.solve_max_margin_with_ties(
        problem,
        [list(tokens) for tokens in tied],
        tolerance=number(tolerance, "tolerance"),
        **_bounds(max_sweeps, n_threads),
        stop=stop,
        progress=progress,
    )
    return TiedMaxMarginResult(**found)


def solve_next_token_max_margin(
    data: NextTokenData,
    *,
    tolerance: float = 1e-10,
    max_sweeps: int = 100000,
    n_threads: int = 1,
    stop: _core.StopSource | None = None,
    progress: Callable[[int, float, float], object] | None = None,
) -> TiedMaxMarginResult:
    """The NTP-SVM, W [vocabulary, dim]: margins 0 within the support of each context, 1 to the tokens outside.

    What the block "margin" of a `NextTokenModel` tends to in direction. Other arguments as in `solve_max_margin`. Raises
    InvalidArgument. Source: Thrampoulidis 2024; softstep/max_margin.h.

    >>> import softstep
    >>> data = softstep.next_token_example(n_contexts=3, vocabulary=5, dim=4, support_size=2)
    >>> limit = solve_next_token_max_margin(data)
    >>> result = softstep.train(softstep.NextTokenModel(data), "ngd", steps=3000, reference=limit)
    >>> limit.status, bool(result.last["one_minus_cos"] < 1e-2)
    ('optimal', True)
    """
    vocabulary, contexts, _, first, tokens, _ = data._arrays()
    found = _core.solve_next_token_max_margin(
        contexts,
        vocabulary,
        [tokens[a:b].tolist() for a, b in zip(first[:-1], first[1:])],
        tolerance=number(tolerance, "tolerance"),
        **_bounds(max_sweeps, n_threads),
        stop=stop,
        progress=progress,
    )
    return TiedMaxMarginResult(**found)


def solve_linear_max_margin(
    points: Any,
    labels: Any,
    *,
    tolerance: float = 1e-10,
    max_sweeps: int = 100000,
    n_threads: int = 1,
    stop: _core.StopSource | None = None,
    progress: Callable[[int, float, float], object] | None = None,
) -> MaxMarginResult:
    """u_mm = argmin |u| subject to y_i x_i^T u >= 1: points [n, dim] and labels [n] of -1 or +1, without intercept.

    >>> result = solve_linear_max_margin([[2.0, 0.0], [0.0, -4.0]], [1, -1])
    >>> result.weights[:, 0].tolist()
    [0.5, 0.25]
    """
    array = np.asarray(unmasked(points, "points"), order="C")
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InvalidArgument(f"points: shape {array.shape}, dtype {array.dtype} (need real numbers [n, dim])", "points")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    return MaxMarginResult(
        **_core.solve_linear_max_margin(
            array,
            _as_integers(labels, "labels", np.int8),
            tolerance=number(tolerance, "tolerance"),
            **_bounds(max_sweeps, n_threads),
            stop=stop,
            progress=progress,
        )
    )
