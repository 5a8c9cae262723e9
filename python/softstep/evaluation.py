"""What evaluations of a model return."""

from __future__ import annotations

from typing import Any, NamedTuple

from .scaled import Scaled

__all__ = ["BlockCheck", "Evaluation", "GradientCheck"]


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


class BlockCheck(NamedTuple):
    """The gradient of one block beside central differences; norms are over the entries that were looked at."""

    #: of the block, as in `Model.blocks`
    name: str
    #: looked at
    n_entries: int
    #: of what the model gives
    gradient_norm: Scaled
    #: of the central differences
    difference_norm: Scaled
    #: |gradient - differences| / max(|gradient|, |differences|)
    relative_error: float
    #: how far the differences can be trusted, in the same unit
    difference_error: float
    #: of that, the rounding of the loss, which is forgiven
    rounding_error: float
    #: relative error of the norm that the model gives
    norm_error: float
    #: row and column of the entry with the largest difference
    worst: tuple[int, int]
    #: what the model gives there
    worst_gradient: Scaled
    #: the central difference there
    worst_difference: Scaled
    #: relative_error <= tolerance + rounding_error, and norm_error <= tolerance
    passed: bool


class GradientCheck(NamedTuple):
    """What `check_gradient` of a model found."""

    #: every block did
    passed: bool
    #: that was asked for
    tolerance: float
    #: "loss_gap", or "loss" where there is no gap to difference
    compared_with: str
    #: one for each block, in order
    blocks: list[BlockCheck]
    #: all of it in words
    report: str
