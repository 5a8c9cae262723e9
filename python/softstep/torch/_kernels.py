"""The library's calls on tensors, which are looked at where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import _core


@lru_cache(maxsize=256)
def plain_options(
    scale: float | None, soft_cap: float, causal: bool, before: int | None, after: int | None, n_threads: int
) -> _core.HeadOptions:
    return _core.HeadOptions(scale, soft_cap, causal, before, after, n_threads=n_threads)


def make_options(
    key_lengths: Tensor | None,
    query_offsets: Tensor | None,
    key_offsets: Tensor | None,
    scale: float | None,
    soft_cap: float,
    causal: bool,
    before: int | None,
    after: int | None,
    n_threads: int,
) -> _core.HeadOptions:
    if key_lengths is None and query_offsets is None and key_offsets is None:
        return plain_options(scale, soft_cap, causal, before, after, n_threads)
    return _core.HeadOptions(
        scale, soft_cap, causal, before, after, key_lengths, query_offsets, key_offsets, n_threads=n_threads
    )


def rows(tensor: Tensor) -> Tensor:
    """The tensor itself, where the elements of a row lie one after the other."""
    if tensor.is_contiguous() or tensor.shape[-1] <= 1 or tensor.stride(-1) == 1:
        return tensor
    return tensor.contiguous()


def added_bias(bias: Tensor | None, like: Tensor) -> Tensor | None:
    """The bias in the type that is computed with."""
    if bias is None:
        return None
    return bias.to(torch.float64 if like.dtype == torch.float64 else torch.float32).contiguous()


def forward(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: _core.HeadOptions, state: _core.HeadsState | None
) -> Tensor:
    out = q.new_empty((*q.shape[:-1], v.shape[-1]))
    _core.attention_forward(rows(q), rows(k), rows(v), options, bias=added_bias(bias, q), out=out, state=state)
    return out


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    options: _core.HeadOptions,
    state: _core.HeadsState,
    wanted: str,
) -> list[Tensor | None]:
    """Gradients by q, k, v and bias; None for those that are not among the letters of `wanted`."""
    found: list[Any] = [x.new_empty(x.shape) if name in wanted else None for name, x in (("q", q), ("k", k), ("v", v))]
    made = _core.attention_backward(
        rows(q),
        rows(k),
        rows(v),
        state,
        rows(gradient),
        options,
        bias=added_bias(bias, q),
        wanted=wanted,
        query_gradient=found[0],
        key_gradient=found[1],
        value_gradient=found[2],
    )
    return [*found, made[3].to(bias.dtype) if bias is not None and "b" in wanted else None]


def _directions(along: Sequence[Tensor | None]) -> dict[str, Any]:
    return {
        f"{name}_direction": None if x is None else rows(x)
        for name, x in zip(("query", "key", "value", "output_gradient"), along)
    }


def tangent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    options: _core.HeadOptions,
    state: _core.HeadsState,
    along: Sequence[Tensor | None],
) -> Tensor:
    """Derivative of the output along a direction of q, k and v. None stands still."""
    out = q.new_empty((*q.shape[:-1], v.shape[-1]))
    added = added_bias(bias, q)
    _core.attention_tangent(rows(q), rows(k), rows(v), state, options, bias=added, out=out, **_directions(along))
    return out


def product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    gradient: Tensor,
    options: _core.HeadOptions,
    state: _core.HeadsState,
    along: Sequence[Tensor | None],
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the gradients along a direction of q, k, v and of the gradient by the output. None stands still."""
    hq, hk, hv = (x.new_empty(x.shape) for x in (q, k, v))
    _core.attention_hessian_product(
        rows(q),
        rows(k),
        rows(v),
        state,
        rows(gradient),
        options,
        bias=added_bias(bias, q),
        query_gradient=hq,
        key_gradient=hk,
        value_gradient=hv,
        **_directions(along),
    )
    return hq, hk, hv
