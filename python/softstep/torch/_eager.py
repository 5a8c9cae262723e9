"""Attention without PyTorch's dispatcher: what is called where nothing but a plain computation goes on.

The operators of _operators.py serve torch.compile, torch.export and modes, _functions.py torch.func and forward mode. Through the dispatcher a call goes three
times between Python and C++, with 13 arguments, which takes longer than a small problem itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _core
from ..errors import NotSupported
from . import _functions, _kernels
from ._state import hold
from ._transforms import call, is_batch_of_autograd, is_transformed, moves_forward

_PLAIN = (Tensor, torch.nn.Parameter)
_c: Any = torch._C


def _can_be_asked() -> bool:
    """Whether this PyTorch says what else may go on; if not, everything goes through its dispatcher."""
    try:
        _c._len_torch_dispatch_stack(), _c._is_tracing(), is_transformed(), moves_forward(), is_batch_of_autograd(torch.empty(0))
    except AttributeError:
        return False
    return True


_askable = _can_be_asked()


def is_plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> bool:
    """Whether these are tensors of the CPU, of one type, and no mode, transform or tracer looks on."""
    # Dynamo knows the first and does not look at the rest.
    return (
        not torch.compiler.is_compiling()
        and _askable
        and type(q) in _PLAIN
        and type(k) in _PLAIN
        and type(v) in _PLAIN
        and (bias is None or (type(bias) in _PLAIN and bias.is_cpu and bias.is_floating_point()))
        and q.is_cpu
        and k.is_cpu
        and v.is_cpu
        and q.dtype == k.dtype == v.dtype
        and q.ndim == k.ndim == v.ndim >= 3
        and not _c._len_torch_dispatch_stack()
        and not is_transformed()
        and not moves_forward()
        and not _c._is_tracing()
    )


def _new_state() -> Tensor:
    """A tensor that carries a state as an attribute: saved for the backward pass, it is let go when that is over.

    A hook for saved tensors may give back another tensor: then the forward pass is computed once more.
    """
    carrier: Any = torch.empty(0)
    carrier.state = _core.HeadsState()
    return carrier  # type: ignore[no-any-return]


def _state_of(
    carrier: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: _core.HeadOptions
) -> _core.HeadsState:
    state: _core.HeadsState | None = getattr(carrier, "state", None)
    if state is None:
        state = _core.HeadsState()
        _kernels.forward(q, k, v, bias, options, state)
    return state


def _is_looked_on(*gradients: Tensor | None) -> bool:
    """Whether a backward pass is transformed, or moves forward, or takes batches, of a forward pass that was plain."""
    return is_transformed() or moves_forward() or is_batch_of_autograd(*gradients)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        options: _core.HeadOptions,
        plain: tuple[Any, ...],
        *masks: Tensor | None,
    ) -> Tensor:
        carrier: Any = _new_state()
        ctx.options, ctx.plain = options, plain
        # The options look at the masks where they lie: saved, a change of one is noticed.
        ctx.save_for_backward(q, k, v, bias, carrier, *masks)
        return _kernels.forward(q, k, v, bias, options, carrier.state)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        q, k, v, bias, carrier, *masks = ctx.saved_tensors
        nothing = (None,) * (len(ctx.needs_input_grad) - 4)
        if _is_looked_on(gradient):
            holder = hold(_state_of(carrier, q, k, v, bias, ctx.options))
            wants_bias = bias is not None and ctx.needs_input_grad[3]
            rest = (*(masks or (None,) * 3), *ctx.plain)
            *found, db = call(_functions.Gradients, q, k, v, bias, gradient, holder, wants_bias, *rest)
            return (*found, db if wants_bias else None, *nothing)
        wanted = "".join(name for name, needed in zip("qkvb", ctx.needs_input_grad) if needed)
        if torch.is_grad_enabled():
            found = call(_Gradients, q, k, v, bias, gradient, carrier, ctx.options, ctx.plain, wanted, *masks)
        else:
            state = _state_of(carrier, q, k, v, bias, ctx.options)
            found = _kernels.backward(q, k, v, bias, gradient, ctx.options, state, wanted)
        return (*found, *nothing)


class _Gradients(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        gradient: Tensor,
        carrier: Tensor,
        options: _core.HeadOptions,
        plain: tuple[Any, ...],
        wanted: str,
        *masks: Tensor | None,
    ) -> Any:
        ctx.options, ctx.plain = options, plain
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(q, k, v, bias, gradient, carrier, *masks)
        state = _state_of(carrier, q, k, v, bias, options)
        return tuple(_kernels.backward(q, k, v, bias, gradient, options, state, wanted))

    @staticmethod
    def backward(ctx: Any, *along: Tensor | None) -> Any:
        q, k, v, bias, gradient, carrier, *masks = ctx.saved_tensors
        if along[3] is not None or ctx.needs_input_grad[3]:
            raise NotSupported("bias: no second derivative by the bias (detach it, or differentiate once)", "bias")
        nothing = (None,) * len(ctx.needs_input_grad)
        if along[0] is None and along[1] is None and along[2] is None:
            return nothing
        state = _state_of(carrier, q, k, v, bias, ctx.options)
        if torch.is_grad_enabled() or _is_looked_on(*along):
            rest = (*(masks or (None,) * 3), *ctx.plain)
            holder = hold(state)
            hq, hk, hv = _functions.product(q, k, v, bias, gradient, holder, *along[:3], None, *rest)
            moved = call(_functions.Tangent, q, k, v, bias, holder, *along[:3], *rest)
        else:
            hq, hk, hv = _kernels.product(q, k, v, bias, gradient, ctx.options, state, along[:3])
            moved = _kernels.tangent(q, k, v, bias, ctx.options, state, along[:3])
        return (hq, hk, hv, None, moved, *nothing[5:])


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    options: _core.HeadOptions,
    plain: tuple[Any, ...],
    masks: tuple[Tensor | None, ...],
) -> Tensor:
    """The masks are those that the options look at, empty where there are none; plain is what these were made of beside masks."""
    if torch.is_grad_enabled() and (
        q.requires_grad or k.requires_grad or v.requires_grad or (bias is not None and bias.requires_grad)
    ):
        found: Tensor = call(_Attention, q, k, v, bias, options, plain, *masks)
        return found
    return _kernels.forward(q, k, v, bias, options, None)
