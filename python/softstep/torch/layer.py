"""The layer of the theory, f(X) = u^T X^T softmax(X W z), as a function and as a module."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _layer
from ..errors import InvalidArgument
from .attention import attention

__all__ = ["AttentionLayer", "attention_layer"]


def attention_layer(
    tokens: Tensor,
    weights: Tensor,
    decoder: Tensor,
    queries: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    n_threads: int = 0,
) -> Tensor:
    """f_i = u^T X_i^T softmax(X_i W z_i), differentiable by all of X, W, u and z, twice.

    Parameters
    ----------
    tokens
        X [n, T, d].
    weights
        W [d, d].
    decoder
        u [d].
    queries
        z [n, d]; None: the first token of each sample.
    lengths
        int64 [n]: how many tokens of each sample count. None: all.
    n_threads
        0 means all that the process may use. The result has the same bits for any number.

    Returns
    -------
    Tensor
        f [n].

    Raises InvalidArgument (a ValueError) that names the argument. Source: arXiv 2402.05738, equation 1.

    >>> import torch, softstep.torch
    >>> x, u = torch.randn(3, 4, 5), torch.randn(5)
    >>> softstep.torch.attention_layer(x, torch.zeros(5, 5), u).shape
    torch.Size([3])
    """
    for name, tensor in _layer.parts(tokens, weights, decoder, queries):
        if tensor.dtype != tokens.dtype:
            raise InvalidArgument(f"{name}: dtype {tensor.dtype} beside tokens of {tokens.dtype}", name)
    out: Tensor = _layer.mixed(attention, tokens, weights, decoder, queries, lengths, n_threads)
    return out


class AttentionLayer(torch.nn.Module):
    """`attention_layer` with its weights W [dim, dim], zero at first, and decoder u [dim].

    The decoder is trained unless one is given. dtype: that of the decoder, or PyTorch's default, if None.
    """

    def __init__(self, dim: int, decoder: Tensor | None = None, *, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        if decoder is not None and tuple(decoder.shape) != (dim,):
            raise InvalidArgument(f"decoder: shape {tuple(decoder.shape)} (need {(dim,)})", "decoder")
        if dtype is None and decoder is not None:
            dtype = decoder.dtype
        #: W [dim, dim]
        self.weights = torch.nn.Parameter(torch.zeros(dim, dim, dtype=dtype))
        if decoder is None:
            #: u [dim], a parameter where it is trained, else a buffer
            self.decoder = torch.nn.Parameter(torch.zeros(dim, dtype=dtype))
        else:
            self.register_buffer("decoder", decoder.detach().to(dtype).clone())

    def forward(self, tokens: Tensor, queries: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """f [n] of tokens [n, T, dim]; see `attention_layer`."""
        return attention_layer(tokens, self.weights, self.decoder, queries, lengths=lengths)
