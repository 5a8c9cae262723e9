"""softstep.sklearn: scikit-learn's own checks, and what the classifier learns."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from softstep.sklearn import AttentionClassifier  # noqa: E402


# Each rule with each loss that it offers.
@parametrize_with_checks(
    [AttentionClassifier(rule=rule, loss=loss) for rule in ("ngd", "polyak") for loss in ("logistic", "exponential")]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def data(n=60):
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], size=n)
    x = rng.normal(size=(n, 4, 6)) * 0.3
    # One token carries the label; which one is random, so that the mean of all must be left behind.
    x[np.arange(n), rng.integers(4, size=n), 0] += 2.0 * y
    return x, np.where(y == 1, "yes", "no")


def test_three_dimensions_are_the_same_as_two():
    x, y = data()
    a = AttentionClassifier(4, steps=50).fit(x.reshape(len(x), -1), y)
    b = AttentionClassifier(steps=50).fit(x, y)
    assert np.array_equal(a.decision_function(x), b.decision_function(x.reshape(len(x), -1)))
    assert a.n_tokens_ == b.n_tokens_ == 4 and a.weights_.shape == (7, 7)


@pytest.mark.parametrize("rule", ["ngd", "polyak"])
def test_it_learns(rule):
    x, y = data(120)
    score = cross_val_score(AttentionClassifier(4, rule=rule), x.reshape(len(x), -1), y, cv=3)
    assert score.min() >= 0.9


def test_a_given_decoder_and_seeds():
    x, y = data()
    u = np.eye(6)[0]
    made = AttentionClassifier(decoder=u, fit_intercept=False, random_state=3).fit(x, y)
    assert np.array_equal(made.decoder_, u)
    # At W = 0 all tokens count the same.
    margins = np.where(y == "yes", 1, -1) * (x.mean(1) @ u)
    assert made.loss_ < 0.8 * np.log1p(np.exp(-margins)).mean()
    again = AttentionClassifier(decoder=u, fit_intercept=False, random_state=3).fit(x, y)
    assert np.array_equal(made.weights_, again.weights_)
    assert np.abs(made.predict_proba(x).sum(1) - 1).max() <= 4e-16


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_step_that_no_number_can_hold_ends_training(dtype):
    # Labels that no weights fit: L* is not attained, and Polyak's steps run into saturated rows with a gap and no gradient.
    rng = np.random.default_rng(0)
    x, y, u = rng.normal(size=(40, 3, 4)).astype(dtype), rng.integers(0, 2, 40), rng.normal(size=4)
    made = AttentionClassifier(rule="polyak", decoder=u, fit_intercept=False).fit(x, y)
    margins = np.where(y == 1, 1, -1) * (x.mean(1) @ u)  # at W = 0, where it began
    # The loss is a mean of 40 numbers, each right to some roundings.
    assert made.loss_ <= np.log1p(np.exp(-margins)).mean() * (1 + 64 * np.finfo(dtype).eps)
    assert np.isfinite(made.weights_).all() and made.n_iter_ < made.steps


@pytest.mark.parametrize(
    "options, name",
    [
        ({"n_tokens": 5}, "n_tokens"),
        ({"rule": "x"}, "rule"),
        ({"steps": 0}, "steps"),
        ({"step_size": 0}, "step_size"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
    ],
)
def test_wrong_parameters_are_named(options, name):
    x, y = data()
    with pytest.raises(ValueError, match=name):
        AttentionClassifier(**options).fit(x.reshape(len(x), -1), y)


def test_no_tolerance_takes_all_steps():
    x, y = data()
    assert AttentionClassifier(steps=20, tolerance=0.0).fit(x, y).n_iter_ == 20
