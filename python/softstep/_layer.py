"""The layer of the theory as attention over heads: what its faces for PyTorch and JAX share. Both kinds of arrays index alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .errors import InvalidArgument


def parts(tokens: Any, weights: Any, decoder: Any, queries: Any) -> Iterator[tuple[str, Any]]:
    """Name and array of W, u and (where it is given) z, each once its shape has been found to fit; X first."""
    if tokens.ndim != 3:
        raise InvalidArgument(f"tokens: shape {tuple(tokens.shape)} (need (samples, tokens, dim))", "tokens")
    n, _, d = tokens.shape
    for name, array, wanted in (("weights", weights, (d, d)), ("decoder", decoder, (d,)), ("queries", queries, (n, d))):
        if array is None:
            continue
        if tuple(array.shape) != wanted:
            raise InvalidArgument(f"{name}: shape {tuple(array.shape)} (need {wanted})", name)
        yield name, array


def mixed(
    attention: Callable[..., Any], tokens: Any, weights: Any, decoder: Any, queries: Any, lengths: Any, n_threads: int
) -> Any:
    """f [n] by `attention`. The decoder goes through the sum: the values are the scores u^T x_t, so rows of one number are mixed."""
    z = tokens[:, 0] if queries is None else queries
    out = attention(
        (z @ weights.T)[:, None, None],
        tokens[:, None],
        (tokens @ decoder)[:, None, :, None],
        scale=1.0,
        key_lengths=lengths,
        n_threads=n_threads,
    )
    return out[:, 0, 0, 0]
