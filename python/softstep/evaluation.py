"""What Problem.evaluate returns."""

from __future__ import annotations

from typing import Any, NamedTuple

from .scaled import Scaled

__all__ = ["Evaluation"]


class Evaluation(NamedTuple):
    """Loss, gap and gradients at one point."""

    #: L, plain
    loss: float
    #: L where a plain number underflows
    loss_scaled: Scaled
    #: L - L*, without cancellation
    loss_gap: Scaled
    #: L* that the gap was measured from
    optimal_loss: float
    #: a Scaled, or a tuple or dict of them for a problem of several blocks
    gradient: Any
    #: min over samples of the attention of the optimal token
    min_optimal_attention: float
    #: log10 max_i (1 - p_i,opt), right far below 1e-16
    log10_one_minus_optimal_attention: float
    #: share of samples with a positive margin
    accuracy: float
