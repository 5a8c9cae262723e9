"""A training problem: token sequences, labels, and what of the attention layer is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from . import _core
from ._arguments import integer, number, text, unmasked
from .errors import InvalidArgument
from .losses import Loss

__all__ = ["Problem"]


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _as_integers(value: Any, name: str, dtype: Any) -> Any:
    """Integers of `dtype`; the array itself where it is such. Whatever would change a value is refused."""
    if value is None:
        return None
    array = np.asarray(unmasked(value, name))
    if array.dtype == dtype and array.flags.c_contiguous:
        return array
    if array.dtype.kind not in "iufb" or array.size == 0:
        raise InvalidArgument(f"{name}: dtype {array.dtype}, shape {array.shape} (need integers)", name)
    with np.errstate(invalid="ignore"):
        converted = array.astype(dtype, order="C")  # not ascontiguousarray, which makes a scalar an array of one
    if not np.array_equal(converted, array):
        wrong = int(np.flatnonzero(np.ravel(converted != array))[0])
        raise InvalidArgument(f"{name}: entry {wrong} is {array.flat[wrong]} (need integers of {np.dtype(dtype)})", name)
    return converted


def _as_numbers(value: Any, name: str, dtype: str) -> Any:
    """Real numbers of `dtype`: the array itself where it is such, else rounded to nearest."""
    if value is None or str(getattr(value, "dtype", "")).removeprefix("torch.") == dtype:
        return unmasked(value, name)
    array = np.asarray(unmasked(value, name))
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise InvalidArgument(f"{name}: dtype {array.dtype} (need real numbers)", name)
    if not array.dtype.isnative:
        raise InvalidArgument(f"{name}: bytes in swapped order (dtype {array.dtype}; need native order)", name)
    return array.astype(dtype, order="C")


def _computed_in(array: Any) -> str:
    """What data of this array are computed with in: "float32" for float32 and 16 bits, else "float64"."""
    dtype = str(getattr(array, "dtype", "float64")).removeprefix("torch.")
    return "float32" if dtype in ("float32", "float16", "bfloat16") else "float64"


def _copied_numbers(value: Any, name: str, dtype: str) -> Any:
    """The same as a copy in C order, for a model that keeps a copy anyway; None stays."""
    return None if value is None else np.array(_as_numbers(value, name, dtype), order="C")


def _optimum(loss: Any, optimal_loss: str | float | None, infimum: bool) -> tuple[str, float]:
    """What L* is, by the names of the library: by default the infimum where there is one, else zero."""
    if optimal_loss is None:
        falls = loss != "squared" if isinstance(loss, str) else bool(getattr(loss, "is_decreasing", False))
        optimal_loss = "optimal" if infimum and falls else "zero"
    return (optimal_loss, 0.0) if isinstance(optimal_loss, str) else ("value", number(optimal_loss, "optimal_loss"))


def _concatenate(tokens: Sequence[Any]) -> tuple[Any, Any]:
    """A list of samples [T_i, dim] as one array of rows, and where each begins."""
    if not tokens:
        raise InvalidArgument("tokens: an empty list (need at least 1 sample)", "tokens")
    samples = [np.asarray(unmasked(sample, "tokens")) for sample in tokens]
    for i, sample in enumerate(samples):
        if sample.ndim != 2 or sample.shape[1] != samples[0].shape[-1] or sample.dtype != samples[0].dtype:
            raise InvalidArgument(
                f"tokens: sample {i} has shape {sample.shape}, dtype {sample.dtype} (need [n_tokens, dim], with the dim and "
                f"dtype of sample 0: {samples[0].shape[-1:]}, {samples[0].dtype})",
                "tokens",
            )
    offsets = np.cumsum([0] + [len(sample) for sample in samples], dtype=np.int64)
    return np.concatenate(samples), offsets


class Problem(_core.Problem):
    """The softmax attention layer on a batch, L(W) = (1/n) sum_i l(y_i f_i), f_i = u^T X_i^T softmax(X_i W z_i).

    Tokens are looked at where they lie: NumPy, PyTorch (CPU) and JAX (CPU) arrays are not copied, and must not be changed while
    the problem is in use. Tokens in float64 are computed with in float64, all others in float32.

    Parameters
    ----------
    tokens
        X: [n_samples, n_tokens, dim] of float64, float32, float16 or bfloat16; or [rows, dim] with `offsets`; or a list of
        arrays [n_tokens_i, dim], which are copied into one. The last axis must be contiguous; the others may have strides, so
        that windows of one sequence may overlap.
    labels
        [n_samples], each -1 or +1.
    decoder
        u, [dim]. None where it is trained.
    offsets
        [n_samples + 1]: sample i has the rows offsets[i] .. offsets[i + 1] - 1 of `tokens`.
    targets
        [n_samples] real targets in place of labels, for the squared loss.
    queries
        z: None for the first token of each sample; integers [n_samples] for a token by index; real numbers [n_samples, dim] for
        vectors. Of m queries a sample [n_samples, m] or [n_samples, m, dim], or with `query_offsets` all in one, [sum of m] or
        [sum of m, dim]. "all" makes each token a query.
    query_offsets
        [n_samples + 1]: sample i has the queries query_offsets[i] .. query_offsets[i + 1] - 1.
    query_weights
        By which outputs of several queries are pooled: [m], or one for each query of each sample. None: the mean.
    key_query
        "combined" (W), "factored" (W = K Q^T, K and Q [dim, rank]) or "prompt" (one vector p in place of W z).
    rank
        Of "factored": 1 to dim.
    train_decoder
        Trains u too; the gap is measured from 0 then.
    loss
        "logistic", "exponential", "squared", or a `Loss` of your own.
    optimal_loss
        What L* is: "optimal" (the infimum over W), "selected", "zero", or a number. By default the first, and zero where
        there is none: with a trained decoder, and a loss that does not fall, such as the squared one.
    n_threads
        0 means all that the process may use. Results have the same bits for any number.
    token_storage
        How kernels read float32 tokens: "working", as they are; "f16" or "bf16", from a copy of half the size that is computed
        with in float32.
    isa
        Instruction set; "" is the one in force.

    Raises
    ------
    InvalidArgument
        Names the argument, and says what is wrong with it.

    Source: arXiv 2402.05738, equation 1.

    >>> import numpy as np, softstep
    >>> rng = np.random.default_rng(0)
    >>> problem = softstep.Problem(rng.normal(size=(4, 3, 5)), labels=[1, -1, 1, -1], decoder=rng.normal(size=5))
    >>> loss, gradient = problem.value_and_grad(np.zeros((5, 5)))
    >>> gradient.shape
    (5, 5)
    """

    def __init__(
        self,
        tokens: Any,
        labels: Any = None,
        decoder: Any = None,
        *,
        offsets: Any = None,
        targets: Any = None,
        queries: Any = None,
        query_offsets: Any = None,
        query_weights: Any = None,
        key_query: Literal["combined", "factored", "prompt"] = "combined",
        rank: int = 0,
        train_decoder: bool = False,
        loss: str | Loss = "logistic",
        optimal_loss: str | float | None = None,
        n_threads: int = 1,
        token_storage: Literal["working", "f16", "bf16"] = "working",
        isa: str = "",
    ) -> None:
        if rank and key_query != "factored":
            raise InvalidArgument(f'rank: {rank} (only goes with key_query="factored")', "rank")
        if _is_list(tokens):
            if offsets is not None:
                raise InvalidArgument("offsets: given beside a list of samples (these have their own lengths)", "offsets")
            tokens, offsets = _concatenate(tokens)
        unmasked(tokens, "tokens")
        shape = getattr(tokens, "shape", ())
        if isinstance(shape, tuple) and 0 in shape:
            raise InvalidArgument(f"tokens: shape {tuple(shape)} (need a sample, a token and a dimension at least)", "tokens")
        dtype = str(getattr(tokens, "dtype", "")).removeprefix("torch.")
        computed = "float64" if dtype.endswith(("float64", "f8")) else "float32"

        indices, all_tokens = None, False
        if isinstance(queries, str):
            if queries != "all":
                raise InvalidArgument(f'queries: "{queries}" (known: "all", or an array)', "queries")
            queries, all_tokens = None, True
        elif queries is not None:
            if _is_list(queries):
                queries = np.asarray(queries)
            kind = str(getattr(queries, "dtype", "")).removeprefix("torch.")
            if kind.startswith(("int", "uint")):
                queries, indices = None, _as_integers(queries, "queries", np.int64)

        measured_from, value = _optimum(loss, optimal_loss, infimum=not train_decoder)
        super().__init__(
            tokens,
            _as_integers(labels, "labels", np.int8),
            _as_numbers(decoder, "decoder", computed),
            offsets=_as_integers(offsets, "offsets", np.int64),
            targets=_as_numbers(targets, "targets", computed),
            query_index=indices,
            queries=_as_numbers(queries, "queries", computed),
            all_tokens_are_queries=all_tokens,
            query_offsets=_as_integers(query_offsets, "query_offsets", np.int64),
            query_weights=_as_numbers(query_weights, "query_weights", computed),
            key_query=key_query,
            rank=integer(rank, "rank", 0),
            train_decoder=train_decoder,
            loss=loss,
            optimal_loss=measured_from,
            optimal_loss_value=value,
            n_threads=integer(n_threads, "n_threads", 0, 31),
            token_storage=token_storage,
            isa=isa,
        )

    def zeros(self) -> Any:
        """W = 0: an array, or a dict of arrays for a problem of several blocks."""
        made = {name: np.zeros(shape, dtype=self.dtype) for name, shape in self.blocks.items()}
        return made["weights"] if list(made) == ["weights"] else next(iter(made.values())) if len(made) == 1 else made

    def margin(self, W: Any, norm: str = "frobenius", p: float = 2.0) -> float:
        """min over i and t of (x_i,opt - x_it)^T W z_i / |W|, in any norm of `matrix_norm`; NaN at W = 0.

        W: [dim, dim]. Raises InvalidArgument.
        """
        return _core.margin_in_norm(self, unmasked(W, "W"), text(norm, "norm"), number(p, "p"))

    def certified_share(self, W: Any, norm: str = "frobenius", p: float = 2.0) -> float:
        """What share of the largest margin in a norm W [dim, dim] has at least, by the gradient at W and without a solver.

        At most 1 but for rounding; NaN at W = 0. Rules whose last gradient swings need an average: `MarginCertificate`. Raises
        InvalidArgument. Source: softstep/margin_certificate.h.
        """
        return _core.certified_share(self, unmasked(W, "W"), text(norm, "norm"), number(p, "p"))

    def __repr__(self) -> str:
        blocks = ", ".join(f"{name} {list(shape)}" for name, shape in self.blocks.items())
        return f"Problem({self.n_samples} samples, dim {self.dim}, {self.dtype}; trains {blocks})"
