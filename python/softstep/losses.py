"""Losses of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Loss"]


@dataclass(frozen=True)
class Loss:
    """A loss l(m, y) of one sample, for `Problem` and `LinearModel`.

    Where there are labels m is the margin label * f and y is 1; where there are targets m is f itself and y the target. Each
    function takes m and y and returns a number, or a pair (mantissa, exponent) that stands for mantissa * exp(exponent): so a loss
    that falls like e^-m keeps its digits where plain numbers underflow. They are called once for each sample and evaluation, by
    whatever thread evaluates it. What they raise leaves the evaluation, or the run.

    >>> import math, numpy as np, softstep
    >>> exponential = softstep.Loss(
    ...     lambda m, y: (1.0, -m), lambda m, y: (-1.0, -m), lambda m, y: (1.0, -m), name="own_exponential", is_decreasing=True)
    >>> data = softstep.generate(seed=0)
    >>> own, named = data.problem(loss=exponential), data.problem(loss="exponential")
    >>> w = np.eye(60)
    >>> bool(abs(own.loss(w) - named.loss(w)) <= 1e-14)
    True
    """

    #: l
    value: Callable[[float, float], Any]
    #: dl/dm
    derivative: Callable[[float, float], Any]
    #: d^2 l/dm^2, for Hessian products; None: these raise NotSupported
    second_derivative: Callable[[float, float], Any] | None = None
    #: l(m - delta) - l(m) without cancellation, of m, delta as (mantissa, exponent), and y; None: right to about 1e-8 of itself
    difference: Callable[[float, tuple[float, float], float], Any] | None = None
    #: one word, for messages and saved states
    name: str = "own"
    #: whether l falls as m grows: only then are the optimal tokens those of the largest score, and L* can be theirs
    is_decreasing: bool = False
