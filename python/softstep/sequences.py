"""Attention with a vocabulary head, with diagonal keys and queries, and an induction head; a linear model with drawn weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from . import _core
from ._arguments import counts, integer, number, unmasked
from .errors import InvalidArgument
from .models import _text
from .problem import _as_integers, _as_numbers, _computed_in, _copied_numbers, _optimum

__all__ = [
    "DiagonalAttention",
    "InductionData",
    "InductionHead",
    "SentenceData",
    "VariationalLinearModel",
    "VocabularyAttention",
    "induction_data",
]


class DiagonalAttention(_core.DiagonalAttention):
    """The attention layer of a `Problem` with diagonal keys and queries, W = diag(k q), and a fixed decoder.

    Blocks of "factored": "keys" and "queries" [dim, 1]; of "combined": "weights" [dim, 1]. `TrainResult.weights` is the diagonal of W.
    Copies the data.

    Parameters
    ----------
    tokens
        X: [n_samples, n_tokens, dim] of float64 or float32, which is the precision of the blocks.
    labels
        [n_samples], each -1 or +1.
    decoder
        u, [dim].
    targets
        [n_samples] real targets in place of labels, for the squared loss.
    queries
        z: None for the first token of each sample; integers [n_samples] for a token by index; real numbers [n_samples, dim].
    form
        "factored" or "combined".
    loss
        "logistic", "exponential" or "squared".
    optimal_loss
        What L* is, as of `Problem`.
    n_threads
        0 means all that the process may use.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2403.08699, the diagonal case; softstep/diagonal_attention.h.

    >>> import softstep
    >>> data = softstep.generate(n_samples=4, n_tokens=3, dim=32, seed=0)
    >>> model = softstep.DiagonalAttention(data.tokens, data.labels, data.decoder)
    >>> result = softstep.train(model, "ngd:step-size=0.1", steps=500, init_std=1.0)
    >>> bool(result.last["min_optimal_attention"] > 0.99)
    True
    """

    def __init__(
        self,
        tokens: Any,
        labels: Any = None,
        decoder: Any = None,
        *,
        targets: Any = None,
        queries: Any = None,
        form: Literal["factored", "combined"] = "factored",
        loss: Literal["logistic", "exponential", "squared"] = "logistic",
        optimal_loss: str | float | None = None,
        n_threads: int = 1,
        isa: str = "",
    ) -> None:
        computed = _computed_in(tokens)
        queries = None if queries is None else np.asarray(unmasked(queries, "queries"))
        by_index = queries is not None and queries.dtype.kind in "iu"
        measured_from, value = _optimum(loss, optimal_loss, infimum=True)
        super().__init__(
            _as_numbers(tokens, "tokens", computed),
            _as_integers(labels, "labels", np.int8),
            _copied_numbers(decoder, "decoder", computed),
            targets=_copied_numbers(targets, "targets", computed),
            query_index=_as_integers(queries, "queries", np.int64) if by_index else None,
            queries=None if by_index else _copied_numbers(queries, "queries", computed),
            form=form,
            loss=loss,
            optimal_loss=measured_from,
            optimal_loss_value=value,
            n_threads=integer(n_threads, "n_threads", 0, 31),
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "DiagonalAttention")


@dataclass(frozen=True)
class SentenceData:
    """Sentences of token vectors, each followed by tokens of a vocabulary with probabilities."""

    #: tokens that may follow
    vocabulary: int
    #: x [total tokens, dim]
    tokens: Any
    #: [n + 1]: sentence i owns the tokens first[i] .. first[i + 1] - 1; its last one is its query
    first: Any
    #: pi [n], positive, up to a common factor
    probabilities: Any
    #: [n + 1]: sentence i owns entries first_next[i] .. first_next[i + 1] - 1 of the next two
    first_next: Any
    #: distinct numbers below vocabulary
    next: Any
    #: p, positive, up to a factor common to the sentence
    labels: Any

    @classmethod
    def of_sentences(
        cls, vocabulary: int, sentences: Sequence[Any], following: Sequence[dict[int, float] | int], probabilities: Any = None
    ) -> SentenceData:
        """From a list of arrays [n_tokens_i, dim], and what follows each: a token, or a dict of token and probability.

        Sentences are equally likely if `probabilities` is None.
        """
        supports = [after if isinstance(after, dict) else {int(after): 1.0} for after in following]
        arrays = [np.asarray(_as_numbers(sentence, "sentences", "float64")) for sentence in sentences]
        if len(arrays) != len(supports) or not arrays:
            raise InvalidArgument(f"following: {len(supports)} entries (need one for each of {len(arrays)} sentences)", "following")
        return cls(
            vocabulary,
            np.concatenate(arrays),
            np.cumsum([0, *map(len, arrays)], dtype=np.int64),
            np.ones(len(arrays)) if probabilities is None else probabilities,
            np.cumsum([0, *map(len, supports)], dtype=np.int64),
            np.array([token for support in supports for token in support], dtype=np.int64),
            np.array([p for support in supports for p in support.values()], dtype=np.float64),
        )

    def entropy(self) -> float:
        """H = -sum_i pi_i sum_v p_iv log p_iv: no cross entropy is below it. Raises InvalidArgument."""
        return _core.sentence_entropy(*self._arrays())

    def _arrays(self) -> tuple[int, Any, Any, Any, Any, Any, Any]:
        tokens, probabilities, labels = (
            _copied_numbers(getattr(self, name), name, "float64") for name in ("tokens", "probabilities", "labels")
        )
        first, first_next, following = (
            _as_integers(getattr(self, name), name, np.int64) for name in ("first", "first_next", "next")
        )
        return integer(self.vocabulary, "vocabulary", 0), tokens, first, probabilities, first_next, following, labels


def _shaped(value: Any, name: str, n_dims: int, shape: tuple[int, ...]) -> Any:
    """A copy as float64, whose last axes have these sizes: as many numbers in another order would be other weights."""
    made = _copied_numbers(value, name, "float64")
    if made is not None and (made.ndim != n_dims or made.shape[-len(shape) :] != shape):
        wanted = ", ".join(["K"] * (n_dims - len(shape)) + [str(n) for n in shape])
        raise InvalidArgument(f"{name}: shape {made.shape} (need ({wanted}))", name)
    return made


class VocabularyAttention(_core.VocabularyAttention):
    """Attention of the last token with a vocabulary head, by cross entropy: logits = W_ov h + F (z + h), h = sum_t a_t x_t.

    a is softmax(x^T W z) or the scores themselves. Blocks "weights" [dim, dim], or "scales" [K, 1] of given directions of W; then
    "values" (W_ov) and "feed_forward" (F) [vocabulary, dim] as far as they are trained. A sample is a sentence. Copies the data.

    Parameters
    ----------
    data
        A `SentenceData`.
    mixing
        "softmax" or "linear".
    directions
        [K, dim, dim] B_k: W = sum_k lambda_k B_k, and lambda is trained. None: W is.
    values
        [vocabulary, dim] W_ov, which stays. None: it is trained.
    has_feed_forward
        Whether there is an F.
    feed_forward
        [vocabulary, dim] F, which stays. None: it is trained, if there is one.
    infimum
        L*: "entropy", that of the data; "best_token", with all attention at each sentence's best token, where W alone is trained.
    dtype
        "float64" or "float32", of the blocks.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2409.17335, 2505.15009; softstep/vocabulary_attention.h.

    >>> import numpy as np, softstep
    >>> x = np.eye(4)
    >>> data = softstep.SentenceData.of_sentences(3, [x[[0, 3]], x[[1, 3]], x[[2, 3]]], [0, 1, 2])
    >>> result = softstep.train(softstep.VocabularyAttention(data), "gd:step-size=1", steps=2000, init_std=0.01)
    >>> result.last["accuracy"]
    1.0
    """

    def __init__(
        self,
        data: SentenceData,
        *,
        mixing: Literal["softmax", "linear"] = "softmax",
        directions: Any = None,
        values: Any = None,
        has_feed_forward: bool = False,
        feed_forward: Any = None,
        infimum: Literal["entropy", "best_token"] = "entropy",
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        arrays = data._arrays()
        dim = arrays[1].shape[-1]
        super().__init__(
            *arrays,
            mixing=mixing,
            directions=_shaped(directions, "directions", 3, (dim, dim)),
            values=_shaped(values, "values", 2, (data.vocabulary, dim)),
            has_feed_forward=has_feed_forward,
            feed_forward=_shaped(feed_forward, "feed_forward", 2, (data.vocabulary, dim)),
            infimum=infimum.replace("_", " "),
            dtype=dtype,
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "VocabularyAttention")


class InductionData(NamedTuple):
    """Sequences of numbers, each with a number to be predicted; `InductionHead(*data)` is their model."""

    #: [n, L]
    sequences: Any
    #: [n]
    targets: Any


class InductionHead(_core.InductionHead):
    """The second layer of a transformer with two, in four numbers: a head of relative positions, and an induction head.

    f = v_1 sum_s softmax_s(-p (L - 1 - s)) x_{s-1} + v_2 sum_s softmax_s(w^2 x_L x_{s-1}) x_s, by half the mean square error. Blocks
    of one number each: "position_value" v_1, "position" p, "match_value" v_2, "match" w. Copies the data.

    Parameters
    ----------
    sequences
        [n, L], L 3 or more.
    targets
        [n].
    scores
        "product" (w^2) or "single" (w).
    dtype
        "float64" or "float32", of the blocks.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2410.11474; softstep/induction.h.

    >>> import softstep
    >>> model = softstep.InductionHead(*softstep.induction_data(n_samples=200, length=20, a=1.0, w_star=1.0, seed=0))
    >>> softstep.train(model, "gd:step-size=0.1", steps=50, init_std=0.1).last["loss"] < 1
    True
    """

    def __init__(
        self,
        sequences: Any,
        targets: Any,
        *,
        scores: Literal["product", "single"] = "product",
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        self._data = _copied_numbers(sequences, "sequences", "float64"), _copied_numbers(targets, "targets", "float64")
        self._scores = scores
        super().__init__(*self._data, scores=scores, dtype=dtype, isa=isa)

    def parts(self, blocks: Any, *, a: float, w_star: float) -> tuple[float, float]:
        """Half the mean square of what each head misses of its part of the target: of the 4-gram, of the induction head.

        blocks: the four numbers, as `train` returns them or in order. a, w_star: those of `induction_data`. Raises InvalidArgument.
        """
        if isinstance(blocks, dict):
            blocks = [np.asarray(blocks[name]).item() for name in self.blocks]
        blocks = _copied_numbers(blocks, "blocks", "float64")
        return _core.induction_parts(*self._data, number(a, "a"), number(w_star, "w_star"), blocks, self._scores)

    def __repr__(self) -> str:
        return _text(self, "InductionHead")


def induction_data(*, n_samples: int, length: int, a: float = 1.0, w_star: float = 1.0, seed: int = 0) -> InductionData:
    """Numbers N(0, 1), and a 4-gram mixed with an in-context 2-gram as the target (arXiv 2410.11474).

    The same seed gives the same bytes on every platform. Raises InvalidArgument.
    """
    return InductionData(
        *_core.induction_data(
            **counts(n_samples=n_samples, length=length, seed=seed), a=number(a, "a"), w_star=number(w_star, "w_star")
        )
    )


class VariationalLinearModel(_core.VariationalLinearModel):
    """f(x) = x^T w with drawn weights, w ~ N(mu, S S^T), trained by the expected loss alone.

    Blocks "mean" mu [dim, 1] and "factor" S [dim, rank]. L* is 0. Copies the points.

    Parameters
    ----------
    points
        x: [n, dim] of float64 or float32, which is the precision of the blocks.
    labels
        [n], each -1 or +1, for the exponential loss.
    targets
        [n] real targets, for the squared loss.
    rank
        Columns of S; 0: dim.
    loss
        "squared" or "exponential".
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2505.20235; softstep/variational.h.

    >>> import numpy as np, softstep
    >>> model = softstep.VariationalLinearModel(np.array([[1.0, 0.0]]), targets=[2.0])
    >>> blocks = softstep.train(model, "gd:step-size=0.1", steps=500, start=(np.zeros((2, 1)), np.eye(2))).blocks
    >>> bool(abs(blocks["mean"][0, 0] - 2) < 1e-9), bool(blocks["factor"][1, 1] == 1)
    (True, True)
    """

    def __init__(
        self,
        points: Any,
        labels: Any = None,
        *,
        targets: Any = None,
        rank: int = 0,
        loss: Literal["squared", "exponential"] = "squared",
        isa: str = "",
    ) -> None:
        computed = _computed_in(points)
        points = _copied_numbers(points, "points", computed)
        if points.ndim != 2:
            raise InvalidArgument(f"points: shape {tuple(points.shape)} (need (n, dim))", "points")
        super().__init__(
            points[:, None],
            _as_integers(labels, "labels", np.int8),
            targets=_copied_numbers(targets, "targets", computed),
            rank=integer(rank, "rank", 0),
            loss=loss,
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "VariationalLinearModel")
