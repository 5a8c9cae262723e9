"""Softmax attention over heads as operators of PyTorch, differentiable twice."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import _core
from ..errors import InvalidArgument, NotSupported
from ._state import new_state, state_of

__all__ = ["attention"]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@lru_cache(maxsize=256)
def _plain_options(
    scale: float | None, soft_cap: float, causal: bool, before: int | None, after: int | None, threads: int
) -> _core.HeadOptions:
    return _core.HeadOptions(scale, soft_cap, causal, before, after, threads=threads)


def _options(
    key_lengths: Tensor | None,
    query_offsets: Tensor | None,
    key_offsets: Tensor | None,
    scale: float | None,
    soft_cap: float,
    causal: bool,
    before: int | None,
    after: int | None,
    threads: int,
) -> _core.HeadOptions:
    if key_lengths is None and query_offsets is None and key_offsets is None:
        return _plain_options(scale, soft_cap, causal, before, after, threads)
    return _core.HeadOptions(
        scale, soft_cap, causal, before, after, key_lengths, query_offsets, key_offsets, threads=threads
    )


def _rows(tensor: Tensor) -> Tensor:
    """The tensor itself, where the elements of a row lie one after the other."""
    return tensor if tensor.shape[-1] <= 1 or tensor.stride(-1) == 1 else tensor.contiguous()


def _bias(bias: Tensor | None, like: Tensor) -> Tensor | None:
    if bias is None:
        return None
    return bias.to(torch.float64 if like.dtype == torch.float64 else torch.float32).contiguous()


# ---- the operators; the arguments from key_lengths on are the same in all of them

_OPTIONS = (
    "Tensor? key_lengths, Tensor? query_offsets, Tensor? key_offsets, float? scale, float soft_cap, bool causal, int? before, "
    "int? after, int threads"
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
    out = q.new_empty((*q.shape[:-1], v.shape[-1]))
    state, holder = new_state()
    _core.attention_forward(
        _rows(q), _rows(k), _rows(v), _options(*rest), bias=_bias(bias, q), out=out, state=state
    )
    return out, holder


def _state(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, holder: Tensor, options: _core.HeadOptions
) -> _core.HeadsState:
    state = state_of(holder)
    if state is None:
        state = _core.HeadsState()
        _core.attention_forward(q, k, v, options, bias=bias, state=state)
    return state


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    output_gradient: Tensor,
    holder: Tensor,
    wants_bias: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = _options(*rest)
    q, k, v = _rows(q), _rows(k), _rows(v)
    added = _bias(bias, q)
    state = _state(q, k, v, added, holder, options)
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    found = _core.attention_backward(
        q,
        k,
        v,
        state,
        _rows(output_gradient),
        options,
        bias=added,
        wanted="qkvb" if wants_bias else "qkv",
        query_gradient=dq,
        key_gradient=dk,
        value_gradient=dv,
    )
    return dq, dk, dv, found[3].to(bias.dtype) if wants_bias and bias is not None else q.new_empty(0)


def _second(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    output_gradient: Tensor,
    holder: Tensor,
    along_q: Tensor,
    along_k: Tensor,
    along_v: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = _options(*rest)
    q, k, v = _rows(q), _rows(k), _rows(v)
    added = _bias(bias, q)
    state = _state(q, k, v, added, holder, options)
    along: dict[str, Any] = {
        "query_direction": _rows(along_q),
        "key_direction": _rows(along_k),
        "value_direction": _rows(along_v),
    }
    hq, hk, hv = (x.new_empty(x.shape) for x in (q, k, v))
    moved = q.new_empty((*q.shape[:-1], v.shape[-1]))
    _core.attention_hessian_product(
        q,
        k,
        v,
        state,
        _rows(output_gradient),
        options,
        bias=added,
        query_gradient=hq,
        key_gradient=hk,
        value_gradient=hv,
        **along,
    )
    _core.attention_tangent(q, k, v, state, options, bias=added, out=moved, **along)
    return hq, hk, hv, moved


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


def _check(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, ragged: bool) -> None:
    for name, tensor in (("queries", queries), ("keys", keys), ("values", values), ("bias", bias)):
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise InvalidArgument(f"{name}: {type(tensor).__name__} (need a torch.Tensor)", name)
        if tensor.device.type != "cpu":
            raise InvalidArgument(f"{name}: on the device {tensor.device} (need memory of the CPU)", name)
        if tensor.dtype not in _FLOATS:
            raise InvalidArgument(
                f"{name}: dtype {tensor.dtype} (need float16, bfloat16, float32 or float64)", name
            )
        if name != "bias" and tensor.dtype != queries.dtype:
            raise InvalidArgument(f"{name}: dtype {tensor.dtype} beside queries of {queries.dtype}", name)
        n_dims = 3 if ragged and name != "bias" else 4
        if tensor.ndim != n_dims:
            wanted = "(rows, heads, dim) with offsets" if n_dims == 3 else "4 axes"
            raise InvalidArgument(f"{name}: shape {tuple(tensor.shape)} (need {wanted})", name)


def attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None = None,
    *,
    scale: float | None = None,
    soft_cap: float = 0.0,
    causal: bool = False,
    before: int | None = None,
    after: int | None = None,
    key_lengths: Tensor | None = None,
    query_offsets: Tensor | None = None,
    key_offsets: Tensor | None = None,
    threads: int = 0,
) -> Tensor:
    """O = softmax(c tanh(scale Q K^T / c) + bias) V, as torch.nn.functional.scaled_dot_product_attention.

    It can be differentiated twice (by the bias once), compiled without a graph break, and is cast by autocast. Gradients keep
    their direction where rows are saturated.

    Parameters
    ----------
    queries, keys, values
        [B, H, Tq, d], [B, Hkv, Tk, d] and [B, Hkv, Tk, dv] on the CPU, Hkv a divisor of H; with offsets [rows, heads, dim].
        float64, float32, float16 or bfloat16. Any strides; a copy is made only where the last axis is not contiguous.
    bias
        [B or 1, H or 1, Tq, Tk], added to the scores; -inf hides a key.
    scale
        1 / sqrt(d) if None.
    soft_cap
        c; 0 means none.
    causal, before, after
        Query i of m stands beside key i + n - m of n; it sees the keys from `before` places ahead to `after` behind. causal
        is after = 0. (PyTorch's is_causal lets both begin together: the same where m = n.)
    key_lengths
        int64 [B]: keys from there on are padding.
    query_offsets, key_offsets
        int64 [B + 1] of ragged batches.
    threads
        0 means all that the process may use. The result has the same bits for any number.

    Returns
    -------
    Tensor
        [B, H, Tq, dv]; ragged [rows, H, dv].

    Raises
    ------
    InvalidArgument
        A ValueError that names the argument.
    NotSupported
        The second derivative is asked for while the bias wants a gradient.

    Source: Vaswani et al. 2017, equation 1; Dao et al. 2022; docs/mathematics.md, section 11.

    >>> import torch, softstep.torch
    >>> q, k, v = (torch.randn(1, 2, 5, 4, requires_grad=True) for _ in range(3))
    >>> softstep.torch.attention(q, k, v, causal=True).sum().backward()
    >>> q.grad.shape
    torch.Size([1, 2, 5, 4])
    """
    _check(queries, keys, values, bias, query_offsets is not None)
    if torch.is_autocast_enabled("cpu") and queries.dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        queries, keys, values = queries.to(dtype), keys.to(dtype), values.to(dtype)
    found: Tensor = torch.ops.softstep.attention(
        queries,
        keys,
        values,
        bias,
        key_lengths,
        query_offsets,
        key_offsets,
        scale,
        soft_cap,
        causal,
        before,
        after,
        threads,
    )[0]
    return found
