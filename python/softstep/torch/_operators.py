"""Attention as registered operators, differentiable twice: for torch.compile, torch.export, torch.func and modes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _core
from ..errors import NotSupported
from . import _kernels
from ._state import new_state, state_of

# ---- the operators; the arguments from key_lengths on are the same in all of them

_OPTIONS = (
    "Tensor? key_lengths, Tensor? query_offsets, Tensor? key_offsets, float? scale, float soft_cap, bool causal, int? before, "
    "int? after, int n_threads"
)
_ARRAYS = "Tensor queries, Tensor keys, Tensor values, Tensor? bias"
_registry: Any = torch.library  # its functions have no types
_library = _registry.Library("softstep", "FRAGMENT")
_library.define(f"attention({_ARRAYS}, {_OPTIONS}) -> (Tensor, Tensor)")
# The fourth output has no elements where the bias has no gradient.
_library.define(
    f"attention_backward({_ARRAYS}, Tensor output_gradient, Tensor state, bool wants_bias, {_OPTIONS}) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)
_library.define(
    f"attention_second({_ARRAYS}, Tensor output_gradient, Tensor state, Tensor along_queries, Tensor along_keys, "
    f"Tensor along_values, {_OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor)"
)


def _forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
    state, holder = new_state()
    return _kernels.forward(q, k, v, bias, _kernels.make_options(*rest), state), holder


def _state(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, holder: Tensor, options: _core.HeadOptions
) -> _core.HeadsState:
    state = state_of(holder)
    if state is None:
        state = _core.HeadsState()
        _kernels.forward(q, k, v, bias, options, state)
    return state


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    holder: Tensor,
    wants_bias: bool,
    *rest: Any,
) -> tuple[Tensor | None, ...]:
    options = _kernels.make_options(*rest)
    state = _state(q, k, v, bias, holder, options)
    *found, db = _kernels.backward(q, k, v, bias, gradient, options, state, "qkvb" if wants_bias else "qkv")
    return *found, q.new_empty(0) if db is None else db


def _second(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    holder: Tensor,
    along_q: Tensor,
    along_k: Tensor,
    along_v: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = _kernels.make_options(*rest)
    state = _state(q, k, v, bias, holder, options)
    return _kernels.second(q, k, v, bias, gradient, options, state, (along_q, along_k, along_v))


_library.impl("attention", _forward, "CPU")
_library.impl("attention_backward", _backward, "CPU")
_library.impl("attention_second", _second, "CPU")


# ---- shapes alone, for torch.compile and torch.export


def _forward_shapes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty((*q.shape[:-1], v.shape[-1])), q.new_empty(1, dtype=torch.uint8)


def _backward_shapes(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, gradient: Tensor, state: Tensor, wants_bias: bool, *rest: Any
) -> tuple[Tensor, ...]:
    db = bias.new_empty(bias.shape) if wants_bias and bias is not None else q.new_empty(0)
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), db


def _second_shapes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, gradient: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), gradient.new_empty(gradient.shape)


_registry.register_fake("softstep::attention", _forward_shapes, lib=_library)
_registry.register_fake("softstep::attention_backward", _backward_shapes, lib=_library)
_registry.register_fake("softstep::attention_second", _second_shapes, lib=_library)


# ---- derivatives


def _keep_forward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, bias, lengths, query_offsets, key_offsets, *plain = inputs
    ctx.save_for_backward(q, k, v, bias, output[1], lengths, query_offsets, key_offsets)
    ctx.plain = plain
    ctx.mark_non_differentiable(output[1])


def _forward_derivative(ctx: Any, gradient: Tensor, _: Any) -> tuple[Any, ...]:
    q, k, v, bias, state, *rest = ctx.saved_tensors
    wants_bias = bias is not None and ctx.needs_input_grad[3]
    dq, dk, dv, db = torch.ops.softstep.attention_backward(
        q, k, v, bias, gradient, state, wants_bias, *rest, *ctx.plain
    )
    return (dq, dk, dv, db if wants_bias else None) + (None,) * 9


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, bias, gradient, state, wants_bias, lengths, query_offsets, key_offsets, *plain = inputs
    ctx.save_for_backward(q, k, v, bias, gradient, state, lengths, query_offsets, key_offsets)
    ctx.plain = plain
    ctx.wants_bias = wants_bias


def _backward_derivative(ctx: Any, along_q: Tensor, along_k: Tensor, along_v: Tensor, along_b: Tensor) -> tuple[Any, ...]:
    if ctx.wants_bias:
        raise NotSupported("bias: no second derivative by the bias (detach it, or differentiate once)", "bias")
    q, k, v, bias, gradient, state, *rest = ctx.saved_tensors
    hq, hk, hv, moved = torch.ops.softstep.attention_second(
        q, k, v, bias, gradient, state, along_q, along_k, along_v, *rest, *ctx.plain
    )
    return (hq, hk, hv, None, moved) + (None,) * 11


_registry.register_autograd(
    "softstep::attention", _forward_derivative, setup_context=_keep_forward, lib=_library
)
_registry.register_autograd(
    "softstep::attention_backward", _backward_derivative, setup_context=_keep_backward, lib=_library
)
