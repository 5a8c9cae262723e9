"""The models beside attention: linear, next-token prediction, softmax classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Literal, NamedTuple

import numpy as np

from . import _core
from ._arguments import counts, integer, number, text
from .errors import InvalidArgument
from .losses import Loss
from .problem import _as_integers, _as_numbers, _computed_in, _copied_numbers

__all__ = [
    "LinearModel",
    "MulticlassData",
    "MulticlassModel",
    "NextTokenData",
    "NextTokenModel",
    "class_clouds",
    "load_multiclass_data",
    "next_token_example",
]


def _text(model: _core.Model, kind: str) -> str:
    blocks = ", ".join(f"{name} {list(shape)}" for name, shape in model.blocks.items())
    return f"{kind}({model.n_samples} samples, {model.dtype}; trains {blocks})"


class LinearModel(_core.LinearModel):
    """f = w^T x on points, L(w) = (1/n) sum_i l(y_i f_i): the system that the paper draws its analogy from.

    Has all that `Problem` has for evaluations, and `train` takes it.

    Parameters
    ----------
    points
        x: [n, dim] of float64 or float32, not copied; or tokens [n, T, dim], of which the first counts.
    labels
        [n], each -1 or +1.
    targets
        [n] real targets in place of labels, for the squared loss.
    loss
        "logistic", "exponential", "squared" or a `Loss`.
    optimal_loss
        L*: a number; None for 0, the infimum where labels can be separated.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: softstep/linear_model.h.

    >>> import numpy as np, softstep
    >>> model = softstep.LinearModel(np.array([[2.0, 0.0], [0.0, -4.0]]), [1, -1])
    >>> result = softstep.train(model, "ngd", steps=1000, reference=softstep.solve_linear_max_margin([[2, 0], [0, -4]], [1, -1]))
    >>> bool(result.last["one_minus_cos"] < 0.1)
    True
    """

    def __init__(
        self,
        points: Any,
        labels: Any = None,
        *,
        targets: Any = None,
        loss: str | Loss = "logistic",
        optimal_loss: float | None = None,
        isa: str = "",
    ) -> None:
        computed = _computed_in(points)
        points = _as_numbers(points, "points", computed)
        if points.ndim not in (2, 3):
            raise InvalidArgument(f"points: shape {tuple(points.shape)} (need (n, dim) or (n, tokens, dim))", "points")
        super().__init__(
            points[:, None] if points.ndim == 2 else points,
            _as_integers(labels, "labels", np.int8),
            targets=_as_numbers(targets, "targets", computed),
            loss=loss,
            optimal_loss="zero" if optimal_loss is None else "value",
            optimal_loss_value=0.0 if optimal_loss is None else float(optimal_loss),
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "LinearModel")


@dataclass(frozen=True)
class NextTokenData:
    """Contexts h_j that occur with probability pi_j, each followed by tokens of its support with probabilities p_jv."""

    #: tokens that there are
    vocabulary: int
    #: h [n, dim]
    contexts: Any
    #: pi [n], positive, up to a common factor
    probabilities: Any
    #: [n + 1]: context j owns entries first[j] .. first[j + 1] - 1 of the next two
    first: Any
    #: distinct numbers below vocabulary
    tokens: Any
    #: p, positive, up to a factor common to the context
    labels: Any

    def _arrays(self) -> tuple[int, Any, Any, Any, Any, Any]:
        contexts, probabilities, labels = (
            _as_numbers(getattr(self, name), name, "float64") for name in ("contexts", "probabilities", "labels")
        )
        first, tokens = (_as_integers(getattr(self, name), name, np.int64) for name in ("first", "tokens"))
        return integer(self.vocabulary, "vocabulary", 0), contexts, probabilities, first, tokens, labels

    @classmethod
    def of_supports(
        cls, vocabulary: int, contexts: Any, supports: Sequence[dict[int, float]], probabilities: Any = None
    ) -> NextTokenData:
        """From a dict of token and probability for each context; contexts are equally likely if `probabilities` is None."""
        sizes = [len(support) for support in supports]
        return cls(
            vocabulary,
            _as_numbers(contexts, "contexts", "float64"),
            np.ones(len(sizes)) if probabilities is None else _as_numbers(probabilities, "probabilities", "float64"),
            np.cumsum([0, *sizes], dtype=np.int64),
            np.array([token for support in supports for token in support], dtype=np.int64),
            np.array([p for support in supports for p in support.values()], dtype=np.float64),
        )

    def entropy(self) -> float:
        """H = -sum_j pi_j sum_v p_jv log p_jv, the infimum of the cross entropy. Raises InvalidArgument."""
        return _core.next_token_entropy(*self._arrays())

    def blocks_at(self, weights: Any = None) -> tuple[Any, ...]:
        """The blocks of a `NextTokenModel` at W [vocabulary, dim], as `train` takes them for `start`; W = 0 if None."""
        return _core.next_token_blocks(*self._arrays(), _as_numbers(weights, "weights", "float64"))


class NextTokenModel(_core.NextTokenModel):
    """Next-token prediction with logits W h_j, in two blocks of which one stays finite and one diverges.

    W = W_F + sum_k theta_k U_k + B: the block "finite" is theta, "margin" is B [vocabulary, dim]. `train` watches B, then the
    finite part. Copies the data. dtype: "float64" or "float32", of the blocks.

    Raises InvalidArgument for bad data, and where no W has the log-odds of every support. Source: Thrampoulidis 2024;
    softstep/next_token.h.

    >>> import softstep
    >>> model = softstep.NextTokenModel(softstep.next_token_example(n_contexts=4, vocabulary=6, dim=5, support_size=2))
    >>> softstep.train(model, "ngd", steps=100).last["log10_gap"] < 0
    True
    """

    def __init__(
        self, data: NextTokenData, *, dtype: Literal["float64", "float32"] = "float64", isa: str = ""
    ) -> None:
        super().__init__(*data._arrays(), dtype=dtype, isa=isa)

    def __repr__(self) -> str:
        return _text(self, "NextTokenModel")


def next_token_example(
    *, n_contexts: int, vocabulary: int, dim: int, support_size: int, seed: int = 0
) -> NextTokenData:
    """At most `dim` random contexts of unit norm, so that every labelling of them is compatible and separable.

    The same seed gives the same bytes on every platform. Raises InvalidArgument.
    """
    return NextTokenData(
        **_core.next_token_example(
            **counts(n_contexts=n_contexts, vocabulary=vocabulary, dim=dim, support_size=support_size, seed=seed)
        )
    )


class MulticlassData(NamedTuple):
    """Points, each of one class; `MulticlassModel(*data)` is their model."""

    #: h [n, dim], float64
    features: Any
    #: y [n], whole numbers below n_classes
    classes: Any
    #: k
    n_classes: int


class MulticlassModel(_core.MulticlassModel):
    """Linear classification with softmax cross entropy, without intercept: one block "weights", W [k, dim], logits W h.

    L = (1/n) sum_i log(1 + sum_{c != y_i} exp((w_c - w_{y_i})^T h_i)). L* is 0, the infimum where the classes can be separated. Loss
    and gradient keep exponents of their own. Copies the data.

    Parameters
    ----------
    features
        h: [n, dim], computed with in float64.
    classes
        y: [n], whole numbers from 0.
    n_classes
        k; None: one more than the largest of `classes`.
    dtype
        "float64" or "float32", of W.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2502.04664; softstep/multiclass.h.

    >>> import softstep
    >>> model = softstep.MulticlassModel(*softstep.class_clouds(n_classes=3, dim=5, points_per_class=4, seed=0))
    >>> result = softstep.train(model, "ngd:schedule-power=0.5", steps=2000)
    >>> W = result.blocks["weights"]
    >>> certificate = softstep.MarginCertificate(*W.shape)
    >>> model.certify(certificate, W)
    >>> bool(0.95 < certificate.share(model.margin(W)) <= 1)
    True
    """

    def __init__(
        self,
        features: Any,
        classes: Any,
        n_classes: int | None = None,
        *,
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        features = _copied_numbers(features, "features", "float64")
        classes = np.array(_as_integers(classes, "classes", np.int64))
        if features.ndim == 2 and classes.shape != (len(features),):
            raise InvalidArgument(f"classes: shape {classes.shape} (need ({len(features)},), one for each point)", "classes")
        if n_classes is None:
            n_classes = int(classes.max()) + 1 if classes.size else 0
        self._data = MulticlassData(features, classes, integer(n_classes, "n_classes", 0))
        super().__init__(*self._data, dtype=dtype, isa=isa)

    def margin(self, W: Any, norm: str = "frobenius", p: float = 2.0) -> float:
        """min over i and c != y_i of (w_{y_i} - w_c)^T h_i / |W|; NaN at W = 0.

        norm, p: as of `matrix_norm`. Raises InvalidArgument for W of another shape than [k, dim].
        """
        return _core.multiclass_margin(*self._data, self._weights(W), text(norm, "norm"), number(p, "p"))

    def certify(self, certificate: _core.MarginCertificate, W: Any) -> None:
        """Adds -dL/dW at W with its weight to a certificate for [k, dim]: a bound on the margin above, in any norm.

        Raises InvalidArgument for W of another shape or not finite.
        """
        certificate.add_multiclass(*self._data, self._weights(W))

    def _weights(self, W: Any) -> Any:
        W = _as_numbers(W, "W", "float64")
        shape = (self._data.n_classes, self._data.features.shape[1])
        if tuple(W.shape) != shape:
            raise InvalidArgument(f"W: shape {tuple(W.shape)} (need {shape})", "W")
        return W

    def __repr__(self) -> str:
        return _text(self, "MulticlassModel")


def class_clouds(
    *, n_classes: int = 10, dim: int = 25, points_per_class: int = 50, noise: float = 0.1, seed: int = 0
) -> MulticlassData:
    """Clouds of points about random centres N(0, I); the defaults are the setting of arXiv 2502.04664.

    The same seed gives the same bytes on every platform. Raises InvalidArgument.
    """
    return MulticlassData(
        *_core.class_clouds(
            **counts(n_classes=n_classes, dim=dim, points_per_class=points_per_class, seed=seed), noise=number(noise, "noise")
        )
    )


def load_multiclass_data(path: str | PathLike[str]) -> MulticlassData:
    """Reads tensors `features` [n, dim] and `classes` [n] of a safetensors file, as `softstep train --model multiclass` does.

    Raises BadFile, IoError.
    """
    return MulticlassData(*_core.load_multiclass_data(fspath(path)))
