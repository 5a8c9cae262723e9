"""The attention layer as a classifier for scikit-learn. `import softstep` does not import scikit-learn; this module does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _core
from .errors import InvalidArgument
from .problem import Problem

__all__ = ["AttentionClassifier"]


class AttentionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two classes by the sign of f(X) = u^T X^T softmax(X W z), z the first token.

    Parameters
    ----------
    n_tokens
        T: a row of a two-dimensional X has the T tokens of a sample, one after the other. Not used for X [n, T, d].
    rule
        "ngd", or "polyak", whose steps take L* for attained and so are for data that the layer separates.
    steps
        How many steps are taken at most.
    step_size
        Of "ngd": eta, with eta_t = eta (t+1)^-1/2. Of "polyak": 1/c.
    decoder
        u [d] (with fit_intercept [d + 1]); None: trained with W.
    fit_intercept
        Gives each token a coordinate of 1 at its end.
    loss
        "logistic" or "exponential".
    tolerance
        Training ends once L - L* is below it; 0: it goes on.
    random_state
        None or a seed. W and u begin at zero if None, else at normal numbers of size 1e-3.
    n_threads
        0 means all.

    Attributes
    ----------
    classes_, n_features_in_
        As of every classifier of scikit-learn.
    n_tokens_
        T of the samples that were seen.
    n_iter_
        Steps taken.
    weights_
        W [d, d].
    decoder_
        u [d].
    loss_
        The smallest loss that was met, at `weights_` and `decoder_`.

    Raises InvalidArgument (a ValueError) for sizes that do not fit. Source: arXiv 2402.05738.

    >>> import numpy as np
    >>> from softstep.sklearn import AttentionClassifier
    >>> x = np.random.default_rng(0).normal(size=(20, 3, 4))
    >>> AttentionClassifier(steps=50).fit(x, x[:, 0, 0] > 0).predict(x).shape
    (20,)
    """

    def __init__(
        self,
        n_tokens: int = 1,
        *,
        rule: str = "ngd",
        steps: int = 500,
        step_size: float = 0.5,
        decoder: Any = None,
        fit_intercept: bool = True,
        loss: str = "logistic",
        tolerance: float = 1e-12,
        random_state: Any = None,
        n_threads: int = 1,
    ) -> None:
        self.n_tokens = n_tokens
        self.rule = rule
        self.steps = steps
        self.step_size = step_size
        self.decoder = decoder
        self.fit_intercept = fit_intercept
        self.loss = loss
        self.tolerance = tolerance
        self.random_state = random_state
        self.n_threads = n_threads

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _tokens(self, x: Any, n_tokens: int) -> Any:
        n, width = x.shape
        if n_tokens < 1 or width % n_tokens != 0:
            raise InvalidArgument(f"n_tokens: {n_tokens} (need a divisor of the {width} features)", "n_tokens")
        tokens = x.reshape(n, n_tokens, width // n_tokens)
        if self.fit_intercept:
            tokens = np.concatenate([tokens, np.ones((n, n_tokens, 1), dtype=x.dtype)], axis=2)
        return np.ascontiguousarray(tokens)

    def fit(self, X: Any, y: Any) -> AttentionClassifier:
        """Trains on X [n, T d] or [n, T, d] with labels y [n] of two classes."""
        three = getattr(X, "ndim", 2) == 3
        n_tokens = int(X.shape[1]) if three else int(self.n_tokens)
        if three:
            X = np.asarray(X).reshape(len(X), -1)
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is multiclass: y has {len(self.classes_)} "
                "classes."
            )
        if len(self.classes_) < 2:
            raise ValueError(f"y: {len(self.classes_)} class (this classifier needs 2 classes)")
        if self.rule not in ("ngd", "polyak"):
            raise InvalidArgument(f'rule: "{self.rule}" (known: ngd, polyak)', "rule")
        if not (self.step_size > 0 and math.isfinite(self.step_size)):
            raise InvalidArgument(f"step_size: {self.step_size} (need a number > 0)", "step_size")
        if self.steps < 1:
            raise InvalidArgument(f"steps: {self.steps} (need 1 or more)", "steps")
        if not self.tolerance >= 0:
            raise InvalidArgument(f"tolerance: {self.tolerance} (need 0 or more)", "tolerance")
        tokens = self._tokens(X, n_tokens)
        problem = Problem(
            tokens,
            np.where(index == 1, 1, -1).astype(np.int8),
            self.decoder,
            train_decoder=self.decoder is None,
            loss=self.loss,
            n_threads=self.n_threads,
        )
        self.n_tokens_ = n_tokens
        self._train(problem)
        return self

    def _train(self, problem: Problem) -> None:
        random = None if self.random_state is None else check_random_state(self.random_state)
        at = [
            np.zeros(shape, dtype=problem.dtype)
            if random is None
            else (1e-3 * random.normal(size=shape)).astype(problem.dtype)
            for shape in problem.blocks.values()
        ]
        # The best weights are kept: Polyak's steps lead up again where L* is not attained.
        best, best_log = at, math.inf
        self.n_iter_ = 0
        for t in range(self.steps + 1):
            found = problem.evaluate(tuple(at) if len(at) > 1 else at[0])
            gap = found.loss_gap
            gap_log = gap.log() if gap.mantissa > 0 else -math.inf if gap.mantissa <= 0 else math.inf
            if gap_log < best_log:
                best, best_log = [w.copy() for w in at], gap_log
            gradients = [found.gradient] if len(at) == 1 else list(found.gradient)
            logs = [g.log() for g in gradients]
            top = max(logs)
            ended = t == self.steps or (self.tolerance > 0 and gap_log < math.log(self.tolerance))
            if ended or top == -math.inf or not math.isfinite(top + gap_log):
                break
            log_norm = top + 0.5 * math.log(sum(math.exp(2 * (x - top)) for x in logs))
            if self.rule == "ngd":
                length = self.step_size / math.sqrt(t + 1)
            elif math.log(self.step_size) + gap_log - log_norm < math.log(float(np.finfo(problem.dtype).max)):
                length = self.step_size * math.exp(gap_log - log_norm)
            else:
                # Where rows are saturated, a gap is left and hardly a gradient: no number can hold the step.
                break
            for w, g in zip(at, gradients):
                half = math.exp(0.5 * (g.exponent - log_norm))
                w -= (length * half * half) * g.mantissa
            self.n_iter_ = t + 1
        self.n_iter_ = max(self.n_iter_, 1)
        self.loss_ = problem.loss(tuple(best) if len(best) > 1 else best[0])
        self.weights_ = best[0]
        self.decoder_ = best[1][:, 0] if len(best) > 1 else np.asarray(self.decoder, dtype=problem.dtype)

    def decision_function(self, X: Any) -> Any:
        """f [n]: positive for the second of `classes_`."""
        check_is_fitted(self)
        if getattr(X, "ndim", 2) == 3:
            if X.shape[1] != self.n_tokens_:
                raise InvalidArgument(f"X: shape {X.shape} (need {self.n_tokens_} tokens, as in fit)", "X")
            X = np.asarray(X).reshape(len(X), -1)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        tokens = self._tokens(X, self.n_tokens_)
        w, u = self.weights_.astype(tokens.dtype), self.decoder_.astype(tokens.dtype)
        out, _ = _core.attention_forward(
            np.ascontiguousarray((tokens[:, 0] @ w.T)[:, None, None]),
            tokens[:, None],
            np.ascontiguousarray((tokens @ u)[:, None, :, None]),
            _core.HeadOptions(1.0, n_threads=self.n_threads),
        )
        return np.asarray(out)[:, 0, 0, 0]

    def predict(self, X: Any) -> Any:
        """Classes [n]."""
        check_is_fitted(self)
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def predict_proba(self, X: Any) -> Any:
        """[n, 2]: 1 / (1 + e^-f) for the second class, the model of the logistic loss."""
        f = np.asarray(self.decision_function(X), dtype=np.float64)
        p = np.exp(-np.logaddexp(0.0, -f))
        return np.stack([np.exp(-np.logaddexp(0.0, f)), p], axis=1)
