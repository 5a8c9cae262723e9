"""Networks with one hidden layer, and models of whole populations: gradients in closed form, without samples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from . import _core
from ._arguments import counts, integer, number
from .errors import InvalidArgument
from .losses import Loss
from .models import _text
from .problem import _as_integers, _computed_in, _copied_numbers

__all__ = ["GatedRegression", "InContextRegression", "ReluNetwork", "ReluPopulation"]


class ReluNetwork(_core.ReluNetwork):
    """One hidden layer, f(x) = sum_k a_k relu(w_k^T x), on points: L = (1/n) sum_i l(y_i f(x_i)).

    Blocks "weights" [m, dim], row k is w_k; then "outer" [m, 1] where a is trained. At a kink the derivative of relu is 1. Copies
    the points.

    Parameters
    ----------
    points
        x: [n, dim] of float64 or float32, which is the precision of the blocks.
    labels
        [n], each -1 or +1.
    n_neurons
        m.
    outer
        a: [m], which stays as it is. None: a is trained.
    targets
        [n] real targets in place of labels, for the squared loss.
    loss
        "logistic", "exponential", "squared", "correlation" (-m, unbounded below: rules that need L* are refused) or a `Loss`.
    optimal_loss
        L*: a number; None for 0.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2505.24022; softstep/relu_network.h.

    >>> import numpy as np, softstep
    >>> x = np.array([[2.0, 0.5], [1.0, -1.0], [-2.0, 0.0]])
    >>> model = softstep.ReluNetwork(x, [1, 1, -1], n_neurons=4, outer=[1, 1, -1, -1])
    >>> softstep.train(model, "ngd", steps=1000, init_std=0.01).last["accuracy"]
    1.0
    """

    def __init__(
        self,
        points: Any,
        labels: Any = None,
        *,
        n_neurons: int,
        outer: Any = None,
        targets: Any = None,
        loss: str | Loss = "logistic",
        optimal_loss: float | None = None,
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
            n_neurons=integer(n_neurons, "n_neurons", 0),
            outer=_copied_numbers(outer, "outer", "float64"),
            loss=loss,
            optimal_loss="zero" if optimal_loss is None else "value",
            optimal_loss_value=0.0 if optimal_loss is None else number(optimal_loss, "optimal_loss"),
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "ReluNetwork")


class ReluPopulation(_core.ReluPopulation):
    """The expected correlation loss -E y f(x) of the same network over labelled Gaussian clusters, in closed form.

    With probability pi_c a point is from N(mu_c, sigma^2 I) and has the label y_c. Blocks as of `ReluNetwork`; a sample is a cluster.
    The loss is unbounded below: rules that need L* are refused.

    Parameters
    ----------
    means
        mu: [n_clusters, dim].
    labels
        y: [n_clusters], each -1 or +1.
    probabilities
        pi: [n_clusters], each above 0, adding up to 1. None: all the same.
    sigma
        Standard deviation; 0: every point lies at its mean.
    n_neurons
        m.
    outer
        a: [m], which stays as it is. None: a is trained.
    dtype
        "float64" or "float32", of the blocks.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2505.24022; softstep/relu_network.h.

    >>> import softstep
    >>> model = softstep.ReluPopulation([[0.2, 0.3], [0.2, -0.3], [-0.4, 0.0]], [1, 1, -1], [0.25, 0.25, 0.5],
    ...                                 sigma=0.1, n_neurons=2, outer=[1, -1])
    >>> W = softstep.train(model, "gd:step-size=0.1", steps=3000, init_std=1e-4).blocks["weights"]
    >>> bool(abs(W[0, 1]) < 0.1 * W[0, 0])  # turned to (1, 0)
    True
    """

    def __init__(
        self,
        means: Any,
        labels: Any,
        probabilities: Any = None,
        *,
        sigma: float,
        n_neurons: int,
        outer: Any = None,
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        labels = _as_integers(labels, "labels", np.int8)
        if probabilities is None:
            probabilities = np.full(np.size(labels), 1.0 / max(np.size(labels), 1))
        super().__init__(
            _copied_numbers(means, "means", "float64"),
            _copied_numbers(probabilities, "probabilities", "float64"),
            labels,
            sigma=number(sigma, "sigma"),
            n_neurons=integer(n_neurons, "n_neurons", 0),
            outer=_copied_numbers(outer, "outer", "float64"),
            dtype=dtype,
            isa=isa,
        )

    def __repr__(self) -> str:
        return _text(self, "ReluPopulation")


class InContextRegression(_core.InContextRegression):
    """Linear attention on in-context linear regression, by the expected squared loss in closed form.

    In every prompt y = w^T x with a w ~ N(0, I) of its own, N examples and a query, all x ~ N(0, diag(spectrum)). The prediction is
    b^T M x_query, b the mean of y x over the examples. Blocks of "merged" heads "values" [H, 1] and "matrices" [H dim, dim], M =
    sum_i v_i U_i; of "separate" ones "values" [H, 1], "keys" and "queries" [H R, dim], M = sum_i v_i sum_r k_ir q_ir^T. The gap L - L*
    has no cancellation. `TrainResult.weights` is M.

    Parameters
    ----------
    spectrum
        [dim] eigenvalues of the covariance of x, each above 0.
    n_examples
        N.
    form
        "merged" or "separate".
    n_heads, rank
        H, and R of separate heads. H R is dim or more, or L* is not reached.
    dtype
        "float64" or "float32", of the blocks.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2501.16265; softstep/in_context.h.

    >>> import numpy as np, softstep
    >>> model = softstep.InContextRegression([0.4, 0.3], 31, form="merged", n_heads=2)
    >>> M = softstep.train(model, "gd:step-size=0.5", steps=2000, init_std=0.1).weights
    >>> bool(np.allclose(M, model.optimum, atol=1e-6))
    True
    """

    def __init__(
        self,
        spectrum: Any,
        n_examples: int,
        *,
        form: Literal["merged", "separate"] = "separate",
        n_heads: int = 1,
        rank: int = 1,
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        spectrum = _copied_numbers(spectrum, "spectrum", "float64")
        n_examples = integer(n_examples, "n_examples", 0)
        super().__init__(spectrum, n_examples, form=form, **counts(n_heads=n_heads, rank=rank), dtype=dtype, isa=isa)
        #: M*, the M with the smallest loss, [dim, dim]
        self.optimum: Any = _core.in_context_optimum(spectrum, n_examples)

    def __repr__(self) -> str:
        return _text(self, "InContextRegression")


class GatedRegression(_core.GatedRegression):
    """Gated linear attention on in-context regression from several tasks, by the expected squared loss in closed form.

    A prompt has examples of K tasks, one task after the other, and a query. The state Z_i = g_i Z_{i-1} + y_i x_i makes the
    prediction x^T P sum_i w_i y_i x_i: an example is weighted by the product of the gates behind it. Blocks "matrix" P [dim, dim];
    then "weights" [n, 1] of free weights, or "gates" [K - 1, 1], the log-odds of gates. L* is the least loss of free weights.

    Parameters
    ----------
    spectrum
        [dim] eigenvalues of the covariance of x, each above 0.
    n_examples
        [K] examples of each task.
    correlations
        [K] of each task with that of the query, from -1 to 1, not all of them 0.
    noise
        Variance of the noise.
    weights
        "gated", "free", or "constant": by `gates` that stay.
    gates
        [K - 1] of constant weights, each above 0 and at most 1.
    dtype
        "float64" or "float32", of the blocks.
    isa
        Instruction set; "" is the one in force.

    Raises InvalidArgument. Source: arXiv 2504.04308; softstep/gated.h.

    >>> import numpy as np, softstep
    >>> model = softstep.GatedRegression([1.0, 0.5], [4, 4], [0.2, 0.8], noise=0.1)
    >>> start = {"matrix": 0.1 * np.eye(2), "gates": np.zeros((1, 1))}
    >>> result = softstep.train(model, "gd:step-size=0.02", steps=20000, start=start)
    >>> bool(result.last["log10_gap"] < -6)
    True
    """

    def __init__(
        self,
        spectrum: Any,
        n_examples: Any,
        correlations: Any,
        noise: float = 0.0,
        *,
        weights: Literal["gated", "free", "constant"] = "gated",
        gates: Any = None,
        dtype: Literal["float64", "float32"] = "float64",
        isa: str = "",
    ) -> None:
        self._prompt = (
            _copied_numbers(spectrum, "spectrum", "float64"),
            _as_integers(n_examples, "n_examples", np.int64),
            _copied_numbers(correlations, "correlations", "float64"),
            number(noise, "noise"),
        )
        super().__init__(*self._prompt, weights=weights, gates=_copied_numbers(gates, "gates", "float64"), dtype=dtype, isa=isa)

    def best_weights(self) -> Any:
        """The best weight of an example of each task, [K], over that of the last example whose task has one."""
        return _core.multitask_weights(*self._prompt)

    def loss_of_weights(self, weights: Any) -> float:
        """The least loss of all P for given weights of the tasks, [K]. Raises InvalidArgument."""
        return _core.multitask_loss(*self._prompt, _copied_numbers(weights, "weights", "float64"))

    def __repr__(self) -> str:
        return _text(self, "GatedRegression")
