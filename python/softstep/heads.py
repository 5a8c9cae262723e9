"""Attention over heads on arrays: softmax and linear."""

from __future__ import annotations

from typing import Any

from . import _core
from ._arguments import integer, number, unmasked
from ._core import HeadOptions

__all__ = ["attention", "linear_attention"]


def _options(
    scale: float | None,
    soft_cap: float,
    causal: bool,
    before: int | None,
    after: int | None,
    key_lengths: Any,
    query_offsets: Any,
    key_offsets: Any,
    n_threads: int,
) -> HeadOptions:
    try:
        return HeadOptions(scale, soft_cap, causal, before, after, key_lengths, query_offsets, key_offsets, n_threads)
    except TypeError:
        # Asked only now, as a call that is right should not pay for it.
        for value, name in ((scale, "scale"), (soft_cap, "soft_cap")):
            if value is not None:
                number(value, name)
        for value, name, bits in ((before, "before", 64), (after, "after", 64), (n_threads, "n_threads", 31)):
            if value is not None:
                integer(value, name, 0, bits)
        raise


def _unmasked(**arrays: Any) -> None:
    for name, array in arrays.items():
        unmasked(array, name)


def attention(
    queries: Any,
    keys: Any,
    values: Any,
    *,
    bias: Any = None,
    scale: float | None = None,
    soft_cap: float = 0.0,
    causal: bool = False,
    before: int | None = None,
    after: int | None = None,
    key_lengths: Any = None,
    query_offsets: Any = None,
    key_offsets: Any = None,
    out: Any = None,
    n_threads: int = 0,
) -> Any:
    """O = softmax(scale Q K^T + bias) V.

    queries [B, H, Tq, d], keys [B, Hkv, Tk, d], values [B, Hkv, Tk, dv], Hkv a divisor of H; with query_offsets and key_offsets
    (int64 [B + 1]) ragged, [rows, heads, dim]. NumPy, PyTorch (CPU) or JAX (CPU), not copied. scale: 1/sqrt(d) if None. soft_cap:
    c of c tanh(s/c). causal, before, after: which keys a query sees. key_lengths: int64 [B]. Gradients:
    `softstep.attention_backward`. Raises InvalidArgument. Source: Vaswani et al. 2017, equation 1.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = (rng.normal(size=(1, 2, 5, 4)) for _ in range(3))
    >>> attention(q, k, v, causal=True).shape
    (1, 2, 5, 4)
    """
    _unmasked(queries=queries, keys=keys, values=values, bias=bias)
    options = _options(scale, soft_cap, causal, before, after, key_lengths, query_offsets, key_offsets, n_threads)
    return _core.attention_forward(queries, keys, values, options, bias=bias, out=out)[0]


def linear_attention(
    queries: Any,
    keys: Any,
    values: Any,
    *,
    log_gates: Any = None,
    scale: float = 1.0,
    causal: bool = False,
    key_lengths: Any = None,
    query_offsets: Any = None,
    key_offsets: Any = None,
    out: Any = None,
    n_threads: int = 0,
) -> Any:
    """Attention without the softmax, o_i = scale sum_j (q_i . k_j) v_j, in O(T d dv); with gates it must be causal.

    Arrays as in `attention`; log_gates [B, Hkv, Tk, 1] or [B, Hkv, Tk, d], at most 0. Raises InvalidArgument. Sources:
    Katharopoulos et al. 2020; Sun et al. 2023; Dao, Gu 2024; Yang et al. 2024.

    >>> import numpy as np
    >>> q = np.ones((1, 1, 3, 2))
    >>> linear_attention(q, q, q, causal=True)[0, 0, :, 0].tolist()
    [2.0, 4.0, 6.0]
    """
    _unmasked(queries=queries, keys=keys, values=values, log_gates=log_gates)
    options = _options(scale, 0.0, causal, None, None, key_lengths, query_offsets, key_offsets, n_threads)
    return _core.linear_attention_forward(queries, keys, values, options, log_gates=log_gates, out=out)
