"""Losses of a softstep.Problem as functions that PyTorch differentiates, and gradients that do not underflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._core import Model
from ..errors import InvalidArgument
from ..evaluation import Evaluation
from ..scaled import Scaled

__all__ = ["log_gap", "loss", "scaled_backward"]


def _points(problem: Model, weights: Sequence[Tensor]) -> Any:
    """What the methods of a Problem take; parameters as plain tensors."""
    if len(weights) != len(problem.blocks):
        raise InvalidArgument(f"weights: {len(weights)} tensors (need {', '.join(problem.blocks)})", "weights")
    plain = tuple(w.detach().contiguous() for w in weights)
    return plain[0] if len(plain) == 1 else plain


def _tuple(value: Any) -> tuple[Any, ...]:
    # A Scaled is a tuple too, but one value.
    return tuple(value) if isinstance(value, (tuple, list)) and not isinstance(value, Scaled) else (value,)


class _Gradient(torch.autograd.Function):
    """dL/dW; its own derivative is the Hessian's product."""

    @staticmethod
    def forward(ctx: Any, problem: Model, *weights: Tensor) -> Any:
        ctx.problem = problem
        ctx.save_for_backward(*weights)
        return _tuple(problem.value_and_grad(_points(problem, weights))[1])

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        found = ctx.problem.hvp(_points(ctx.problem, ctx.saved_tensors), _points(ctx.problem, along))
        return (None, *_tuple(found))


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: Model, *weights: Tensor) -> Tensor:
        ctx.problem = problem
        ctx.save_for_backward(*weights)
        return weights[0].new_tensor(problem.loss(_points(problem, weights)))

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        gradients = _Gradient.apply(ctx.problem, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return (None, *(along[0] * g for g in _tuple(gradients)))


class _LogGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: Model, *weights: Tensor) -> Tensor:
        value, gradient = problem.log_gap(_points(problem, weights))
        ctx.save_for_backward(*_tuple(gradient))
        return weights[0].new_tensor(value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, along: Tensor) -> Any:
        return (None, *(along * g for g in ctx.saved_tensors))


def loss(problem: Model, *weights: Tensor) -> Tensor:
    """L(W), a scalar of W's dtype, differentiable twice.

    weights: the blocks of the problem in their order, [dim, dim] each (`Problem.blocks`). Plain numbers: gradients underflow where
    training has come far. Use `log_gap` or `scaled_backward` there. Raises InvalidArgument.
    """
    return _Loss.apply(problem, *weights)  # type: ignore[no-any-return,no-untyped-call]


def log_gap(problem: Model, *weights: Tensor) -> Tensor:
    """log(L(W) - L*), a scalar, differentiable once: it falls for ever, and its gradient does not underflow.

    weights as in `loss`. Works with any optimizer of PyTorch. Raises InvalidArgument. Source: softstep/log_gap.h.
    """
    return _LogGap.apply(problem, *weights)  # type: ignore[no-any-return,no-untyped-call]


def scaled_backward(problem: Model, *weights: Tensor) -> Scaled:
    """Sets `grad` and `grad_exponent` of each block, dL/dW = grad * exp(grad_exponent), and returns L - L*.

    What `NGD.step` and `Polyak.step` take as their closure, so that they go on where plain gradients underflow:

    >>> import torch, softstep, softstep.torch
    >>> problem = softstep.Problem(torch.randn(4, 3, 5), labels=[1, -1, 1, -1], decoder=torch.randn(5))
    >>> weights = torch.nn.Parameter(torch.zeros(5, 5))
    >>> gap = softstep.torch.Polyak([weights]).step(lambda: softstep.torch.scaled_backward(problem, weights))

    weights as in `loss`. Raises InvalidArgument.
    """
    evaluation: Evaluation = problem.evaluate(_points(problem, weights))
    for w, gradient in zip(weights, _tuple(evaluation.gradient)):
        w.grad = gradient.mantissa
        w.grad_exponent = gradient.exponent  # type: ignore[attr-defined]
        # By this an optimizer knows that the exponent is that of this gradient, and not of one that came before.
        w.grad_exponent_of = w.grad  # type: ignore[attr-defined]
    return evaluation.loss_gap
