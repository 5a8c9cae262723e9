"""Numbers and arrays whose exponent is kept apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Scaled"]


class Scaled(NamedTuple):
    """mantissa * exp(exponent): it keeps all its digits where the plain number underflows.

    >>> gap = Scaled(2.5, -1000.0)
    >>> gap.plain()
    0.0
    >>> round(gap.log10(), 3)
    -433.897
    """

    #: a number, or an array of numbers that share the exponent
    mantissa: Any
    #: natural logarithm; -inf beside a mantissa of exact zeros
    exponent: float

    def plain(self) -> Any:
        """The plain number or array; 0 or infinity where the type cannot hold it."""
        if not hasattr(self.mantissa, "shape"):
            return 0.0 if self.mantissa == 0 else self.mantissa * math.exp(self.exponent)
        # In two factors, so that a mantissa far from 1 is not lost to an exponent that makes up for it.
        half = math.exp(0.5 * self.exponent)
        return self.mantissa * half * half

    def log(self) -> float:
        """Natural logarithm of the absolute value, of an array that of its Frobenius norm; -inf for zero."""
        size = float(np.linalg.norm(np.asarray(self.mantissa, dtype=np.float64)))
        return -math.inf if size == 0 else math.log(size) + self.exponent

    def log10(self) -> float:
        """Decimal logarithm of the absolute value, of an array that of its Frobenius norm; -inf for zero."""
        return self.log() / math.log(10.0)
