"""Softmax attention over heads in PyTorch, differentiable twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgument
from . import _eager, _functions, _kernels, _operators, _transforms  # noqa: F401 (operators are registered)

__all__ = ["attention"]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


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


def _check_masks(*masks: Tensor | None) -> None:
    for name, mask in zip(("key_lengths", "query_offsets", "key_offsets"), masks):
        if mask is not None and not isinstance(mask, Tensor):
            raise InvalidArgument(f"{name}: {type(mask).__name__} (need a torch.Tensor)", name)


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """As autocast has it: float64 stays."""
    dtype = torch.get_autocast_dtype("cpu")
    return tuple(
        x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64 else x for x in tensors
    )


@_transforms.uncompiled
def _transformed(*inputs: Any) -> Any:
    return _transforms.call(_functions.Attention, *inputs)


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
    n_threads: int = 0,
) -> Tensor:
    """O = softmax(c tanh(scale Q K^T / c) + bias) V, as torch.nn.functional.scaled_dot_product_attention.

    It can be differentiated twice (by the bias once) in reverse and in forward mode, goes through torch.func (grad, jvp, vmap one
    after the other, jacrev, jacfwd, hessian), is compiled without a graph break, and cast by autocast. Gradients keep their
    direction where rows are saturated.

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
    n_threads
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
        A second or a forward derivative by the bias, a third derivative, or forward mode twice is asked for.

    Source: Vaswani et al. 2017, equation 1; Dao et al. 2022; docs/mathematics.md, section 11.

    >>> import torch, softstep.torch
    >>> q, k, v = (torch.randn(1, 2, 5, 4, requires_grad=True) for _ in range(3))
    >>> softstep.torch.attention(q, k, v, causal=True).sum().backward()
    >>> q.grad.shape
    torch.Size([1, 2, 5, 4])
    """
    masks = key_lengths, query_offsets, key_offsets
    masked = key_lengths is not None or query_offsets is not None or key_offsets is not None
    if masked:
        _check_masks(*masks)
    if torch.is_autocast_enabled("cpu"):
        queries, keys, values = _cast(queries, keys, values)
    if _eager.is_plain(queries, keys, values, bias):
        plain: tuple[Any, ...] = scale, soft_cap, causal, before, after, n_threads
        if not masked:
            return _eager.attention(queries, keys, values, bias, _kernels.plain_options(*plain), plain, ())
        return _eager.attention(queries, keys, values, bias, _kernels.make_options(*masks, *plain), plain, masks)
    _check(queries, keys, values, bias, query_offsets is not None)
    # Where torch.func or forward mode looks on, functions that know how; else a compiler or tracer is to see the operator.
    looked_on = _transforms.is_transformed() or _transforms.moves_forward()
    called: Any = _transformed if looked_on else torch.ops.softstep.attention
    found: Tensor = called(
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
        n_threads,
    )[0]
    return found
