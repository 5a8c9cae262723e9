"""Attention without PyTorch's dispatcher: what is called where nothing but a plain computation goes on.

The operators of _operators.py serve torch.compile, torch.export, torch.func and modes. Through the dispatcher a call goes three
times between Python and C++, with 13 arguments, which takes longer than a small problem itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _core
from ..errors import NotSupported
from . import _kernels

_PLAIN = (Tensor, torch.nn.Parameter)
_c: Any = torch._C


def _can_be_asked() -> bool:
    """Whether this PyTorch says what else may go on; if not, everything goes through its dispatcher."""
    try:
        _c._len_torch_dispatch_stack(), _c._is_tracing(), _c._functorch.peek_interpreter_stack()
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
        and _c._functorch.peek_interpreter_stack() is None
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


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: _core.HeadOptions, *masks: Tensor | None
    ) -> Tensor:
        carrier: Any = _new_state()
        ctx.options = options
        # The options look at the masks where they lie: saved, a change of one is noticed.
        ctx.save_for_backward(q, k, v, bias, carrier, *masks)
        return _kernels.forward(q, k, v, bias, options, carrier.state)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        q, k, v, bias, carrier, *masks = ctx.saved_tensors
        wanted = "".join(name for name, needed in zip("qkvb", ctx.needs_input_grad) if needed)
        if torch.is_grad_enabled():
            found = _Gradients.apply(q, k, v, bias, gradient, carrier, ctx.options, wanted, *masks)  # type: ignore[no-untyped-call]
        else:
            state = _state_of(carrier, q, k, v, bias, ctx.options)
            found = _kernels.backward(q, k, v, bias, gradient, ctx.options, state, wanted)
        return (*found, *(None,) * (len(ctx.needs_input_grad) - 4))


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
        wanted: str,
        *masks: Tensor | None,
    ) -> Any:
        ctx.options = options
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(q, k, v, bias, gradient, carrier, *masks)
        state = _state_of(carrier, q, k, v, bias, options)
        return tuple(_kernels.backward(q, k, v, bias, gradient, options, state, wanted))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *along: Tensor | None) -> Any:
        q, k, v, bias, gradient, carrier, *_ = ctx.saved_tensors
        if along[3] is not None or ctx.needs_input_grad[3]:
            raise NotSupported("bias: no second derivative by the bias (detach it, or differentiate once)", "bias")
        nothing = (None,) * len(ctx.needs_input_grad)
        if along[0] is None and along[1] is None and along[2] is None:
            return nothing
        state = _state_of(carrier, q, k, v, bias, ctx.options)
        hq, hk, hv, moved = _kernels.second(q, k, v, bias, gradient, ctx.options, state, along[:3])
        return (hq, hk, hv, None, moved, *nothing[5:])


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: _core.HeadOptions, masks: tuple[Tensor | None, ...]
) -> Tensor:
    """The masks are those that the options look at; empty where there are none."""
    if torch.is_grad_enabled() and (
        q.requires_grad or k.requires_grad or v.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return _Attention.apply(q, k, v, bias, options, *masks)  # type: ignore[no-any-return,no-untyped-call]
    return _kernels.forward(q, k, v, bias, options, None)
