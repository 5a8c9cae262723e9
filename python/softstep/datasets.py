"""Data sets: generated, and read from safetensors files."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from typing import Any

import numpy as np

from . import _core
from ._arguments import counts, integer, number, text
from .problem import Problem

__all__ = ["Dataset", "generate", "generators", "load_dataset", "save_dataset"]


@dataclass(frozen=True)
class Dataset:
    """Arrays that a Problem is made of, under its names; None for what there is not.

    >>> data = generate("signal_noise", n_samples=3, n_tokens=2, dim=8, seed=1)
    >>> data.tokens.shape, data.decoder.shape, data.labels.dtype.name
    ((3, 2, 8), (8,), 'int8')
    """

    #: X: [n_samples, n_tokens, dim], or [rows, dim] with `offsets`
    tokens: Any
    #: [n_samples], each -1 or +1
    labels: Any = None
    #: u, [dim]
    decoder: Any = None
    #: [n_samples + 1], of samples of different lengths
    offsets: Any = None
    #: [n_samples], in place of labels
    targets: Any = None
    #: vectors or token indices, as in `Problem`
    queries: Any = None
    #: [n_samples + 1], of different numbers of queries
    query_offsets: Any = None
    #: by which the outputs of several queries are pooled
    query_weights: Any = None

    def problem(self, **options: Any) -> Problem:
        """A Problem of these arrays, which are not copied; `options` are those of Problem, or arrays in place of these."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        if options.get("train_decoder"):
            arrays["decoder"] = None
        return Problem(**{**arrays, **options})

    def astype(self, dtype: Any) -> Dataset:
        """The same with real numbers in another type, rounded to nearest."""

        def convert(value: Any) -> Any:
            real = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            return value.astype(dtype) if real else value

        return replace(self, **{field.name: convert(getattr(self, field.name)) for field in fields(self)})


def generate(
    generator: str = "signal_noise",
    *,
    n_samples: int = 10,
    n_tokens: int = 6,
    dim: int = 60,
    seed: int = 0,
    signal: float = 1.0,
    noise: float = 0.0,
    equal_scores: bool = False,
) -> Dataset:
    """Makes a data set in float64. The same seed gives the same bytes on every platform.

    generator: one of `generators`. signal: norm of the signal tokens (signal_noise), token norm (orthogonal), margin
    (separable). noise: standard deviation, 0 for 1/sqrt(dim). equal_scores: project the noise orthogonal to the decoder.
    Raises InvalidArgument naming the argument. Source: arXiv 2402.05738.

    >>> generate(seed=0).tokens.shape
    (10, 6, 60)
    """
    return Dataset(
        **_core.generate(
            text(generator, "generator"),
            **counts(n_samples=n_samples, n_tokens=n_tokens, dim=dim, seed=seed),
            signal=number(signal, "signal"),
            noise=number(noise, "noise"),
            equal_scores=bool(equal_scores),
        )
    )


def generators() -> dict[str, str]:
    """Name and summary of each generator."""
    return dict(_core.generators())


def load_dataset(path: str | PathLike[str], dtype: str | None = None, *, memory: int | None = None) -> Dataset:
    """Reads a safetensors file, or the index of its shards, with tokens, labels and what else there is (docs/command-line.md).

    dtype: "float32" or "float64"; None: float64 where tokens are stored so, else float32. memory: bytes of the file that may be
    resident in this process at a time, 4 MiB or more, for data larger than memory. The tokens are then a read-only array on the mapped
    file, which must store them in `dtype`; attention models pass through it in order and give back what lies behind, with the same
    numbers to the bit. What NumPy or another library reads of it is not bounded, nor is what a model allocates. None: the tokens are
    copied into memory. Raises BadFile, IoError, or InvalidArgument naming the argument.
    """
    bound = 0 if memory is None else min(integer(memory, "memory", 4 << 20, None), 1 << 62)
    return Dataset(**_core.load_dataset(fspath(path), dtype or "", bound))


def save_dataset(path: str | PathLike[str], data: Dataset | Problem, stored: str = "working") -> None:
    """Writes a safetensors file, tokens and queries as "working", "f64", "f32", "f16" or "bf16". Raises IoError."""
    problem = data if isinstance(data, Problem) else data.problem()
    _core.save_dataset(fspath(path), problem, stored)
