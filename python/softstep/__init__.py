"""Softmax-attention kernels and a trainer that stay true to the end.

Trains a softmax self-attention layer f(X) = u^T X^T softmax(X W z), after "Implicit Bias and Fast Convergence Rates for
Self-attention" (arXiv 2402.05738). Loss gap and gradient keep mantissa and exponent apart, so that they keep their digits
however large the norm of W becomes.
"""

from ._core import __version__, active_isa, available_threads, force_isa, isas
from .errors import BadFile, Error, InvalidArgument, IoError, NotSupported
from .evaluation import Evaluation
from .problem import Problem
from .scaled import Scaled

__all__ = [
    "BadFile",
    "Error",
    "Evaluation",
    "InvalidArgument",
    "IoError",
    "NotSupported",
    "Problem",
    "Scaled",
    "__version__",
    "active_isa",
    "available_threads",
    "force_isa",
    "isas",
]
