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
        is_array = hasattr(self.mantissa, "shape")
        if not is_array and self.mantissa == 0:
            return 0.0
        # In several factors, so that a mantissa far from 1 is not lost to an exponent that makes up for it. Beyond e^1460 even the
        # smallest number of float64 is infinity.
        exponent = min(self.exponent, 1460.0)
        factors = 4 if abs(exponent) > 700 else 2 if is_array else 1
        factor = math.exp(exponent / factors)
        # NumPy's arrays in float64, whose numbers hold each factor: infinity times zero is NaN.
        dtype = self.mantissa.dtype if isinstance(self.mantissa, (np.ndarray, np.generic)) else None
        found = self.mantissa if dtype is None else self.mantissa.astype(np.float64)
        with np.errstate(over="ignore"):
            for _ in range(factors):
                found = found * factor
            return found if dtype is None else found.astype(dtype)

    def log(self) -> float:
        """Natural logarithm of the absolute value, of an array that of its Frobenius norm; -inf for zero."""
        mantissa = np.asarray(self.mantissa, dtype=np.float64)
        largest = float(np.abs(mantissa).max(initial=0.0))
        if largest == 0:
            return -math.inf
        # Over the largest: squares of small numbers underflow, those of large ones overflow.
        size = float(np.linalg.norm(mantissa / largest)) if math.isfinite(largest) else 1.0
        return math.log(largest) + math.log(size) + self.exponent

    def log10(self) -> float:
        """Decimal logarithm of the absolute value, of an array that of its Frobenius norm; -inf for zero."""
        return self.log() / math.log(10.0)
