"""Attention where something differentiates, maps or moves forward beside the dispatcher's own derivatives.

Four functions, each the derivative of another: attention, its gradients (backward), its tangent (forward), and the product of its
second derivative. torch.func transforms them (grad, jvp, vmap, jacrev, jacfwd, hessian), and so does forward-mode differentiation;
the registered operators (_operators.py), which compute all of them, take their derivatives from here too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import NotSupported
from ._state import stack_states
from ._transforms import call, edge, map_one_by_one

# The arguments from key_lengths on: three masks, then what is no tensor.
_MASKS, _REST = 3, 9


def _no_bias() -> NotSupported:
    return NotSupported("bias: no second or forward derivative by the bias (detach it, or differentiate once)", "bias")


def _keep(ctx: Any, tensors: tuple[Tensor | None, ...], rest: tuple[Any, ...]) -> None:
    saved = (*tensors, *rest[:_MASKS])
    ctx.save_for_backward(*saved)
    ctx.save_for_forward(*saved)
    ctx.plain = rest[_MASKS:]
    ctx.set_materialize_grads(False)


def product(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, gradient: Tensor, *more: Any) -> Any:
    """Product, which has derivatives by its directions alone."""
    q, k, v, gradient = edge("queries: no third derivative of attention", "queries", q, k, v, gradient)
    return call(Product, q, k, v, bias, gradient, *more)


class Attention(torch.autograd.Function):
    """O, and the tensor that holds what the derivatives need."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.softstep.attention(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        q, k, v, bias, *rest = inputs
        _keep(ctx, (q, k, v, bias, output[1]), tuple(rest))
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: Any) -> Any:
        q, k, v, bias, state, *masks = ctx.saved_tensors
        if gradient is None:
            return (None,) * (4 + _REST)
        wants_bias = bias is not None and ctx.needs_input_grad[3]
        dq, dk, dv, db = call(Gradients, q, k, v, bias, gradient, state, wants_bias, *masks, *ctx.plain)
        return (dq, dk, dv, db if wants_bias else None) + (None,) * _REST

    @staticmethod
    def jvp(ctx: Any, along_q: Any, along_k: Any, along_v: Any, along_bias: Any, *_: Any) -> Any:
        if along_bias is not None:
            raise _no_bias()
        q, k, v, bias, state, *masks = ctx.saved_tensors
        return call(Tangent, q, k, v, bias, state, along_q, along_k, along_v, *masks, *ctx.plain), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return map_one_by_one(Attention, info, in_dims, inputs, stacks=(torch.stack, stack_states))


class Gradients(torch.autograd.Function):
    """dQ, dK, dV and dbias, the last without elements where it is not wanted."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.softstep.attention_backward(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        q, k, v, bias, gradient, state, wants_bias, *rest = inputs
        _keep(ctx, (q, k, v, bias, gradient, state), tuple(rest))
        ctx.wants_bias = wants_bias
        if not wants_bias:
            ctx.mark_non_differentiable(output[3])

    @staticmethod
    def backward(ctx: Any, along_q: Any, along_k: Any, along_v: Any, along_bias: Any) -> Any:
        if (ctx.wants_bias and along_bias is not None) or ctx.needs_input_grad[3]:
            raise _no_bias()
        if along_q is None and along_k is None and along_v is None:
            return (None,) * (7 + _REST)
        q, k, v, bias, gradient, state, *masks = ctx.saved_tensors
        along = along_q, along_k, along_v
        hq, hk, hv = product(q, k, v, bias, gradient, state, *along, None, *masks, *ctx.plain)
        moved = call(Tangent, q, k, v, bias, state, *along, *masks, *ctx.plain)
        return (hq, hk, hv, None, moved) + (None,) * (2 + _REST)

    @staticmethod
    def jvp(ctx: Any, along_q: Any, along_k: Any, along_v: Any, along_bias: Any, along_gradient: Any, *_: Any) -> Any:
        if along_bias is not None or ctx.wants_bias:
            raise _no_bias()
        q, k, v, bias, gradient, state, *masks = ctx.saved_tensors
        along = along_q, along_k, along_v, along_gradient
        moved = product(q, k, v, bias, gradient, state, *along, *masks, *ctx.plain)
        return (*moved, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return map_one_by_one(Gradients, info, in_dims, inputs)


class Tangent(torch.autograd.Function):
    """The derivative of O along a direction of Q, K and V; what is None stands still."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.softstep.attention_tangent(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        q, k, v, bias, state, along_q, along_k, along_v, *rest = inputs
        _keep(ctx, (q, k, v, bias, state, along_q, along_k, along_v), tuple(rest))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return (None,) * (8 + _REST)
        if ctx.needs_input_grad[3]:
            raise _no_bias()
        q, k, v, bias, state, *along = ctx.saved_tensors
        along, masks = along[:3], along[3:]
        found: tuple[Any, ...] = (None,) * 3
        if any(ctx.needs_input_grad[:3]):
            found = product(q, k, v, bias, gradient, state, *along, None, *masks, *ctx.plain)
        first: tuple[Any, ...] = (None,) * 3
        if any(ctx.needs_input_grad[5:8]):
            first = call(Gradients, q, k, v, bias, gradient, state, False, *masks, *ctx.plain)[:3]
        moved = tuple(g if needed else None for g, needed in zip(first, ctx.needs_input_grad[5:8]))
        return (*found, None, None, *moved) + (None,) * _REST

    @staticmethod
    def jvp(ctx: Any, *moved: Any) -> Any:
        if any(x is not None for x in moved[:4]):
            raise NotSupported(
                "queries: no forward derivative of a forward derivative (use reverse mode for one of them)", "queries"
            )
        q, k, v, bias, state, *along = ctx.saved_tensors
        return call(Tangent, q, k, v, bias, state, *moved[5:8], *along[3:], *ctx.plain)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return map_one_by_one(Tangent, info, in_dims, inputs)


class Product(torch.autograd.Function):
    """The derivatives of dQ, dK and dV along a direction of Q, K, V and of the gradient by O; what is None stands still."""

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return torch.ops.softstep.attention_product(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        q, k, v, bias, gradient, state, *more = inputs
        _keep(ctx, (q, k, v, bias, gradient, state), tuple(more[4:]))

    @staticmethod
    def backward(ctx: Any, *along: Any) -> Any:
        if along[0] is None and along[1] is None and along[2] is None:
            return (None,) * (10 + _REST)
        if ctx.needs_input_grad[3]:
            raise _no_bias()
        q, k, v, bias, gradient, state, *masks = ctx.saved_tensors
        # What leads to the edge of product() is asked there whether it is wanted.
        beyond = tuple(torch.zeros_like(x) if needed else None for x, needed in zip((q, k, v), ctx.needs_input_grad))
        of_gradient = torch.zeros_like(gradient) if ctx.needs_input_grad[4] else None
        # It is linear in its directions, and symmetric in those of Q, K and V.
        moved = product(q, k, v, bias, gradient, state, *along, None, *masks, *ctx.plain)
        out = call(Tangent, q, k, v, bias, state, *along, *masks, *ctx.plain) if ctx.needs_input_grad[9] else None
        moved = tuple(x if needed else None for x, needed in zip(moved, ctx.needs_input_grad[6:9]))
        return (*beyond, None, of_gradient, None, *moved, out) + (None,) * _REST

    @staticmethod
    def jvp(ctx: Any, *moved: Any) -> Any:
        if moved[3] is not None:
            raise _no_bias()
        q, k, v, bias, gradient, state, *masks = ctx.saved_tensors
        return product(q, k, v, bias, gradient, state, *moved[6:10], *masks, *ctx.plain)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return map_one_by_one(Product, info, in_dims, inputs)
