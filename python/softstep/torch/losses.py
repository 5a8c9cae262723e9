"""Losses of a softstep.Problem as functions that PyTorch differentiates, and gradients that do not underflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._core import Model
from ..errors import InvalidArgument, NotSupported
from ..evaluation import Evaluation
from ..scaled import Scaled
from ._transforms import call, edge, is_batch_of_autograd, is_transformed, map_one_by_one

__all__ = ["log_gap", "loss", "scaled_backward"]


def _points(problem: Model, weights: Sequence[Tensor]) -> Any:
    """What the methods of a Problem take; parameters as plain tensors."""
    if len(weights) != len(problem.blocks):
        raise InvalidArgument(f"weights: {len(weights)} tensors (need {', '.join(problem.blocks)})", "weights")
    if is_batch_of_autograd(*weights):
        raise NotSupported("weights: a batch of autograd's own (is_grads_batched, vectorize); use torch.func.vmap", "weights")
    plain = tuple(w.detach().contiguous() for w in weights)
    return plain[0] if len(plain) == 1 else plain


def _tuple(value: Any) -> tuple[Any, ...]:
    # A Scaled is a tuple too, but one value.
    return tuple(value) if isinstance(value, (tuple, list)) and not isinstance(value, Scaled) else (value,)


def _scalar(value: float, like: Tensor) -> Tensor:
    # Not new_tensor, which a tensor that is read with its sign turned does not have.
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.problem, *tensors = inputs
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


def _along(directions: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(w) if v is None else v for v, w in zip(directions, like))


def _product(problem: Model, weights: Sequence[Tensor], along: Sequence[Tensor]) -> Any:
    """The Hessian's product with a direction, which has derivatives by the direction alone."""
    return call(_Product, problem, *edge("weights: no third derivative of the loss", "weights", *weights), *along)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(problem: Model, *tensors: Tensor) -> Any:
        half = len(tensors) // 2
        return _tuple(problem.hvp(_points(problem, tensors[:half]), _points(problem, tensors[half:])))

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        weights = ctx.saved_tensors[: len(along)]
        # What leads to the edge is asked there whether it is wanted. The Hessian is symmetric.
        beyond = (torch.zeros_like(w) if needed else None for w, needed in zip(weights, ctx.needs_input_grad[1:]))
        return (None, *beyond, *_product(ctx.problem, weights, along))

    @staticmethod
    def jvp(ctx: Any, *moved: Any) -> Any:
        half = len(ctx.saved_tensors) // 2
        weights = ctx.saved_tensors[:half]
        return _product(ctx.problem, weights, _along(moved[1 + half :], weights))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return map_one_by_one(_Product, info, in_dims, inputs)


class _Gradient(torch.autograd.Function):
    """dL/dW, a tuple with one for each block; its own derivative is the Hessian's product."""

    @staticmethod
    def forward(problem: Model, *weights: Tensor) -> Any:
        return _tuple(problem.value_and_grad(_points(problem, weights))[1])

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        return (None, *_product(ctx.problem, ctx.saved_tensors, along))

    @staticmethod
    def jvp(ctx: Any, _: Any, *along: Tensor | None) -> Any:
        weights = ctx.saved_tensors
        return _product(ctx.problem, weights, _along(along, weights))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return map_one_by_one(_Gradient, info, in_dims, inputs)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(problem: Model, *weights: Tensor) -> Tensor:
        return _scalar(problem.loss(_points(problem, weights)), weights[0])

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        return (None, *(along[0] * g for g in call(_Gradient, ctx.problem, *ctx.saved_tensors)))

    @staticmethod
    def jvp(ctx: Any, _: Any, *along: Tensor | None) -> Any:
        weights = ctx.saved_tensors
        gradients = call(_Gradient, ctx.problem, *weights)
        return sum((g * v).sum() for g, v in zip(gradients, _along(along, weights)))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return map_one_by_one(_Loss, info, in_dims, inputs)


class _Once(torch.autograd.Function):
    """Gradients that were computed already, as functions of the weights."""

    @staticmethod
    def forward(*tensors: Tensor) -> Any:
        return tuple(x.view_as(x) for x in tensors[: len(tensors) // 2])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> Any:
        # They go to the edge, where whoever wants them is refused.
        return (*(None for _ in along), *along)

    @staticmethod
    def jvp(ctx: Any, *along: Any) -> Any:
        return tuple(along[len(along) // 2 :])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return map_one_by_one(_Once, info, in_dims, inputs)


class _LogGap(torch.autograd.Function):
    """log(L - L*), and its gradients, which are outputs so that they need not be computed once more."""

    @staticmethod
    def forward(problem: Model, *weights: Tensor) -> Any:
        value, gradient = problem.log_gap(_points(problem, weights))
        return (_scalar(value, weights[0]), *_tuple(gradient))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, *weights = inputs
        _, *gradients = output
        ctx.mark_non_differentiable(*gradients)
        ctx.save_for_backward(*gradients, *weights)
        ctx.save_for_forward(*gradients, *weights)

    @staticmethod
    def _gradients(ctx: Any) -> Any:
        half = len(ctx.saved_tensors) // 2
        weights = edge("log_gap: no second derivative (loss has one)", "log_gap", *ctx.saved_tensors[half:])
        return call(_Once, *ctx.saved_tensors[:half], *weights)

    @staticmethod
    def backward(ctx: Any, along: Tensor, *_: Any) -> Any:
        return (None, *(along * g for g in _LogGap._gradients(ctx)))

    @staticmethod
    def jvp(ctx: Any, _: Any, *along: Tensor | None) -> Any:
        gradients = _LogGap._gradients(ctx)
        moved = sum((g * v).sum() for g, v in zip(gradients, _along(along, gradients)))
        return (moved, *(None for _ in gradients))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return map_one_by_one(_LogGap, info, in_dims, inputs)


def loss(problem: Model, *weights: Tensor) -> Tensor:
    """L(W), a scalar of W's dtype, differentiable twice.

    weights: the blocks of the problem in their order, [dim, dim] each (`Problem.blocks`). Plain numbers: gradients underflow where
    training has come far. Use `log_gap` or `scaled_backward` there. Raises InvalidArgument; NotSupported where a third derivative
    is asked for, or a second one by forward mode twice.

    It goes through torch.func, vmap one after the other:

    >>> import torch, softstep, softstep.torch
    >>> problem = softstep.Problem(torch.randn(4, 3, 5), labels=[1, -1, 1, -1], decoder=torch.randn(5))
    >>> f = lambda w: softstep.torch.loss(problem, w)
    >>> torch.func.vmap(torch.func.grad(f))(torch.zeros(7, 5, 5)).shape
    torch.Size([7, 5, 5])
    """
    value: Tensor = call(_Loss, problem, *weights)
    return value


def log_gap(problem: Model, *weights: Tensor) -> Tensor:
    """log(L(W) - L*), a scalar, differentiable once: it falls for ever, and its gradient does not underflow.

    weights as in `loss`. Works with any optimizer of PyTorch, and with torch.func. Raises InvalidArgument; NotSupported where a
    second derivative is asked for. Source: softstep/log_gap.h.
    """
    value: Tensor = call(_LogGap, problem, *weights)[0]
    return value


def scaled_backward(problem: Model, *weights: Tensor) -> Scaled:
    """Sets `grad` and `grad_exponent` of each block, dL/dW = grad * exp(grad_exponent), and returns L - L*.

    What `NGD.step` and `Polyak.step` take as their closure, so that they go on where plain gradients underflow:

    >>> import torch, softstep, softstep.torch
    >>> problem = softstep.Problem(torch.randn(4, 3, 5), labels=[1, -1, 1, -1], decoder=torch.randn(5))
    >>> weights = torch.nn.Parameter(torch.zeros(5, 5))
    >>> gap = softstep.torch.Polyak([weights]).step(lambda: softstep.torch.scaled_backward(problem, weights))

    weights as in `loss`. Raises InvalidArgument.
    """
    if is_transformed():
        raise NotSupported("weights: inside a transform of torch.func, which sets no grad (differentiate loss or log_gap)", "weights")
    evaluation: Evaluation = problem.evaluate(_points(problem, weights))
    for w, gradient in zip(weights, _tuple(evaluation.gradient)):
        w.grad = gradient.mantissa
        w.grad_exponent = gradient.exponent  # type: ignore[attr-defined]
        # By this an optimizer knows that the exponent is that of this gradient, and not of one that came before.
        w.grad_exponent_of = w.grad  # type: ignore[attr-defined]
    return evaluation.loss_gap
