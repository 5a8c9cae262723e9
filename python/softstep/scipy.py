"""A Problem, or another model, as an objective for scipy.optimize.minimize. SciPy itself is not imported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._core import Model
from .errors import InvalidArgument
from .scaled import Scaled

__all__ = ["Objective", "objective"]


class Objective:
    """fun, jac and hessp of a Problem on one flat vector of float64; what `objective` returns."""

    def __init__(self, problem: Model, log_gap: bool) -> None:
        #: whose loss it is
        self.problem = problem
        #: whether log(L - L*) takes the place of L
        self.log_gap = log_gap
        self._names = list(problem.blocks)
        self._shapes = list(problem.blocks.values())
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        #: number of unknowns
        self.size = sum(self._sizes)
        self._at: Any = None
        self._value = math.nan
        self._gradient: Any = None

    def blocks(self, x: Any) -> Any:
        """What the methods of the problem take: an array, or a tuple of arrays for several blocks."""
        x = np.asarray(x)
        if x.shape != (self.size,):
            raise InvalidArgument(f"x: shape {x.shape} (need {(self.size,)})", "x")
        parts = np.split(x.astype(self.problem.dtype), np.cumsum(self._sizes)[:-1])
        made = tuple(np.ascontiguousarray(part.reshape(shape)) for part, shape in zip(parts, self._shapes))
        return made[0] if len(made) == 1 else made

    def flat(self, blocks: Any) -> Any:
        """Blocks (an array, or a tuple or dict of them) as one vector of float64."""
        if isinstance(blocks, dict):
            blocks = [blocks[name] for name in self._names]
        parts = blocks if isinstance(blocks, (tuple, list)) else (blocks,)
        return np.concatenate([np.ravel(part).astype(np.float64) for part in parts])

    def zeros(self) -> Any:
        """The start of training, W = 0."""
        return np.zeros(self.size)

    def _evaluate(self, x: Any) -> None:
        # Solvers ask for value and gradient at the same place one after the other.
        if self._at is not None and np.array_equal(self._at, x):
            return
        point = self.blocks(x)
        method = self.problem.log_gap if self.log_gap else self.problem.value_and_grad
        value, gradient = method(point)
        self._value, self._gradient, self._at = value, self.flat(gradient), np.array(x, copy=True)

    def fun(self, x: Any) -> float:
        """L, or log(L - L*)."""
        self._evaluate(x)
        return self._value

    def jac(self, x: Any) -> Any:
        """Gradient of `fun`, [size]."""
        self._evaluate(x)
        return self._gradient.copy()

    def fun_and_jac(self, x: Any) -> tuple[float, Any]:
        """Both, for jac=True."""
        self._evaluate(x)
        return self._value, self._gradient.copy()

    def hessp(self, x: Any, p: Any) -> Any:
        """Product of the Hessian of `fun` at x with p, [size]. Raises NotSupported for a loss without second derivative."""
        point, along = self.blocks(x), self.blocks(p)
        if not self.log_gap:
            return self.flat(self.problem.hvp(point, along))
        # With f = log g: f'' p = g'' p / g - f' (f' . p), where g'' p has its exponents apart, as g has.
        self._evaluate(x)
        gap = self.problem.loss_gap(point).log()
        products = self.problem.scaled_hvp(point, along)
        parts = [products] if isinstance(products, Scaled) else list(products)
        curvature = self.flat(
            [Scaled(np.asarray(part.mantissa, dtype=np.float64), part.exponent - gap).plain() for part in parts]
        )
        return curvature - self._gradient * float(self._gradient @ np.asarray(p, dtype=np.float64))


def objective(problem: Model, *, log_gap: bool = False) -> Objective:
    """The loss of a problem, or log(L - L*), with gradient and Hessian products for scipy.optimize.minimize.

    Parameters
    ----------
    problem
        All its blocks are the unknowns, one after the other.
    log_gap
        False: L itself, on which a solver stops when L no longer changes in its 16th digit. True: log(L - L*), which falls
        on, with gradients of a moderate size however small those of L are. It has no minimum: give the solver a maxiter.

    Returns
    -------
    Objective
        `fun`, `jac`, `fun_and_jac`, `hessp`, `zeros()`, and `blocks(x)` to get the matrices back.

    Source: softstep/log_gap.h.

    >>> import numpy as np, softstep, softstep.scipy
    >>> rng = np.random.default_rng(0)
    >>> problem = softstep.Problem(rng.normal(size=(4, 3, 5)), labels=[1, -1, 1, -1], decoder=rng.normal(size=5))
    >>> o = softstep.scipy.objective(problem)
    >>> o.jac(o.zeros()).shape
    (25,)
    """
    return Objective(problem, log_gap)
