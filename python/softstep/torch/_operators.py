"""Attention as registered operators, differentiable twice: for torch.compile, torch.export, torch.func and modes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _core
from . import _kernels
from ._functions import Attention, Gradients, Product, Tangent
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
_ALONG = "Tensor? along_queries, Tensor? along_keys, Tensor? along_values"
_library.define(f"attention_tangent({_ARRAYS}, Tensor state, {_ALONG}, {_OPTIONS}) -> Tensor")
_library.define(
    f"attention_product({_ARRAYS}, Tensor output_gradient, Tensor state, {_ALONG}, Tensor? along_gradient, {_OPTIONS}) "
    "-> (Tensor, Tensor, Tensor)"
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


def _tangent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    holder: Tensor,
    along_q: Tensor | None,
    along_k: Tensor | None,
    along_v: Tensor | None,
    *rest: Any,
) -> Tensor:
    options = _kernels.make_options(*rest)
    state = _state(q, k, v, bias, holder, options)
    return _kernels.tangent(q, k, v, bias, options, state, (along_q, along_k, along_v))


def _product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    holder: Tensor,
    along_q: Tensor | None,
    along_k: Tensor | None,
    along_v: Tensor | None,
    along_gradient: Tensor | None,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    options = _kernels.make_options(*rest)
    state = _state(q, k, v, bias, holder, options)
    return _kernels.product(q, k, v, bias, gradient, options, state, (along_q, along_k, along_v, along_gradient))


_library.impl("attention", _forward, "CPU")
_library.impl("attention_backward", _backward, "CPU")
_library.impl("attention_tangent", _tangent, "CPU")
_library.impl("attention_product", _product, "CPU")


# ---- shapes alone, for torch.compile and torch.export


def _forward_shapes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty((*q.shape[:-1], v.shape[-1])), q.new_empty(1, dtype=torch.uint8)


def _backward_shapes(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, gradient: Tensor, state: Tensor, wants_bias: bool, *rest: Any
) -> tuple[Tensor, ...]:
    db = bias.new_empty(bias.shape) if wants_bias and bias is not None else q.new_empty(0)
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), db


def _tangent_shapes(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def _product_shapes(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


for _name, _shapes, _function in (
    ("attention", _forward_shapes, Attention),
    ("attention_backward", _backward_shapes, Gradients),
    ("attention_tangent", _tangent_shapes, Tangent),
    ("attention_product", _product_shapes, Product),
):
    _registry.register_fake(f"softstep::{_name}", _shapes, lib=_library)
    _registry.register_autograd(
        f"softstep::{_name}", _function.backward, setup_context=_function.setup_context, lib=_library
    )
