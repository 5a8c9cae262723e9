"""Diagonal keys and queries, the vocabulary head, gated regression, the induction head and drawn weights, beside NumPy."""

import math

import numpy as np
import pytest

import softstep

RNG = np.random.default_rng(11)
# Sums of at most some dozen terms near 1 whose parts are right to about 8 units of rounding.
CLOSE = 1000 * 2**-53


def softmax(s):
    p = np.exp(s - s.max())
    return p / p.sum()


@pytest.mark.parametrize("form", ["factored", "combined"])
def test_diagonal_attention_is_a_problem_with_a_diagonal_w(form):
    data = softstep.generate(n_samples=5, n_tokens=4, dim=6, seed=3)
    model = softstep.DiagonalAttention(data.tokens, data.labels, data.decoder, form=form)
    k, q = RNG.normal(size=(2, 6, 1))
    point = {"keys": k, "queries": q} if form == "factored" else k * q
    problem = data.problem()
    loss, gradient = model.value_and_grad(point)
    full, by_w = problem.value_and_grad(np.diag((k * q)[:, 0]))
    assert abs(loss - full) <= CLOSE and abs(model.optimal_loss - problem.optimal_loss) <= CLOSE
    w = np.diag(by_w)[:, None]
    if form == "factored":
        assert np.abs(gradient["keys"] - q * w).max() <= CLOSE and np.abs(gradient["queries"] - k * w).max() <= CLOSE
    else:
        assert np.abs(gradient - w).max() <= CLOSE
    assert model.check_gradient(point).passed


@pytest.mark.parametrize("mixing", ["softmax", "linear"])
def test_the_vocabulary_head_is_its_formula(mixing):
    sentences = [RNG.normal(size=(n, 4)) for n in (2, 3, 5)]
    after = [1, {0: 0.25, 2: 0.75}, {0: 1.0, 1: 2.0, 2: 1.0}]
    data = softstep.SentenceData.of_sentences(3, sentences, after)
    model = softstep.VocabularyAttention(data, mixing=mixing, has_feed_forward=True)
    point = {name: RNG.normal(size=shape) for name, shape in model.blocks.items()}
    assert list(point) == ["weights", "values", "feed_forward"]
    loss = entropy = 0.0
    for x, follow in zip(sentences, after):
        p = np.zeros(3)
        for token, share in (follow if isinstance(follow, dict) else {follow: 1.0}).items():
            p[token] = share
        p /= p.sum()
        s = x @ point["weights"] @ x[-1]
        h = (softmax(s) if mixing == "softmax" else s) @ x
        logits = point["values"] @ h + point["feed_forward"] @ (x[-1] + h)
        loss -= p @ np.log(softmax(logits)) / 3
        entropy -= p[p > 0] @ np.log(p[p > 0]) / 3
    assert model.loss(point) == pytest.approx(loss, rel=1e-12)
    assert data.entropy() == pytest.approx(entropy, rel=1e-14) and model.optimal_loss == pytest.approx(entropy, rel=1e-14)
    assert model.check_gradient(point).passed


def test_parts_of_the_vocabulary_head_stay_where_they_are_given():
    x = np.eye(3)
    data = softstep.SentenceData.of_sentences(2, [x[[0, 2]], x[[1, 2]]], [0, 1], probabilities=[1.0, 3.0])
    values = RNG.normal(size=(2, 3))
    scaled = softstep.VocabularyAttention(data, directions=RNG.normal(size=(2, 3, 3)), values=values, infimum="best_token")
    assert scaled.blocks == {"scales": (2, 1)} and scaled.check_gradient(np.array([[0.3], [-0.2]])).passed
    assert softstep.VocabularyAttention(data, values=values, dtype="float32").dtype == "float32"
    assert list(softstep.VocabularyAttention(data, has_feed_forward=True, feed_forward=values).blocks) == ["weights", "values"]


def test_gated_regression_is_its_closed_form():
    spectrum, n, rho, noise = np.array([0.6, 0.3]), np.array([2, 3]), np.array([0.5, 0.8]), 0.2
    model = softstep.GatedRegression(spectrum, n, rho, noise)
    P, gate = RNG.normal(size=(2, 2)), np.array([[0.4]])
    w = np.repeat([1 / (1 + math.exp(-0.4)), 1.0], n)
    S, task = np.diag(spectrum), np.repeat([0, 1], n)
    r = rho[task]
    R = np.where(task[:, None] == task, 1.0, r[:, None] * r)
    B = S @ S + (spectrum.sum() + noise) * S
    loss = (
        spectrum.sum()
        + noise
        - 2 * (r @ w) * np.trace(S @ P @ S)
        + (w @ R @ w) * np.trace(S @ P @ S @ S @ P.T)
        + w @ w * np.trace(S @ P @ B @ P.T)
    )
    point = {"matrix": P, "gates": gate}
    assert model.blocks == {"matrix": (2, 2), "gates": (1, 1)} and model.loss(point) == pytest.approx(loss, rel=1e-12)
    assert model.check_gradient(point).passed
    best = model.best_weights()
    assert best[1] == 1.0 and model.loss_of_weights(best) == pytest.approx(model.optimal_loss, rel=1e-12)
    assert model.loss_of_weights([1.0, 1.0]) >= model.optimal_loss
    free = softstep.GatedRegression(spectrum, n, rho, noise, weights="free")
    assert free.blocks["weights"] == (5, 1)
    constant = softstep.GatedRegression(spectrum, n, rho, noise, weights="constant", gates=[0.5])
    assert constant.loss(P) == pytest.approx(model.loss({"matrix": P, "gates": np.zeros((1, 1))}), rel=1e-13)


@pytest.mark.parametrize("scores", ["product", "single"])
def test_the_induction_head_is_its_formula(scores):
    data = softstep.induction_data(n_samples=6, length=7, a=2.0, w_star=0.8, seed=5)
    model = softstep.InductionHead(*data, scores=scores)
    v1, p, v2, w = 0.7, 1.3, -0.4, 0.6
    L = 7

    def heads(x, p, square):
        s = np.arange(1, L - 1)  # s = 2 .. L-1, from 0
        position = softmax(-p * (L - 2 - s)) @ x[s - 1]
        return position, softmax(square * x[-1] * x[s - 1]) @ x[s]

    error = 0.0
    for x, y in zip(*data):
        target = (2.0 * x[L - 3] + heads(x, 0.0, 0.8**2)[1]) / 3.0
        assert y == pytest.approx(target, abs=1e-14)
        position, match = heads(x, p, w * w if scores == "product" else w)
        error += (v1 * position + v2 * match - y) ** 2 / 12
    point = {name: np.array([[value]]) for name, value in zip(model.blocks, (v1, p, v2, w))}
    assert list(point) == ["position_value", "position", "match_value", "match"]
    assert model.loss(point) == pytest.approx(error, rel=1e-12) and model.check_gradient(point).passed
    parts = model.parts(point, a=2.0, w_star=0.8)
    assert parts == model.parts([v1, p, v2, w], a=2.0, w_star=0.8) and min(parts) > 0


def test_drawn_weights_are_their_formula():
    x, y, mu, S = RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3), RNG.normal(size=(3, 2))
    model = softstep.VariationalLinearModel(x, targets=y, rank=2)
    loss, gradient = model.value_and_grad((mu[:, None], S))
    off = y - x @ mu
    assert loss == pytest.approx((off @ off + ((x @ S) ** 2).sum()) / 8, rel=1e-13)
    assert np.abs(gradient[0][:, 0] + x.T @ off / 4).max() <= CLOSE and np.abs(gradient[1] - x.T @ x @ S / 4).max() <= CLOSE
    labelled = softstep.VariationalLinearModel(x, [1, -1, 1, -1], loss="exponential")
    assert labelled.blocks["factor"] == (3, 3) and labelled.check_gradient((mu[:, None], np.eye(3))).passed


@pytest.mark.parametrize(
    "argument, word, call",
    [
        ("form", "known: factored, combined", lambda: softstep.DiagonalAttention(np.ones((1, 2, 2)), [1], [1, 1], form="full")),
        ("labels", "labels", lambda: softstep.DiagonalAttention(np.ones((1, 2, 2)), [2], [1, 1])),
        ("following", "2 entries", lambda: softstep.SentenceData.of_sentences(2, [np.ones((1, 2))], [0, 1])),
        ("next", "next", lambda: softstep.VocabularyAttention(softstep.SentenceData.of_sentences(2, [np.ones((1, 2))], [2]))),
        ("mixing", "hard", lambda: softstep.VocabularyAttention(softstep.SentenceData.of_sentences(2, [np.ones((1, 2))], [1]), mixing="hard")),
        ("values", "values", lambda: softstep.VocabularyAttention(softstep.SentenceData.of_sentences(2, [np.ones((1, 2))], [1]), values=[1.0])),
        ("gates", "gates", lambda: softstep.GatedRegression([1.0], [2, 2], [0.5, 0.5], weights="constant", gates=[1.5])),
        ("correlations", "correlations", lambda: softstep.GatedRegression([1.0], [2], [2.0])),
        ("n_examples", "need 0 or more", lambda: softstep.GatedRegression([1.0], [-2], [0.5])),
        ("length", "length", lambda: softstep.induction_data(n_samples=3, length=2)),
        ("scores", "known: product, single", lambda: softstep.InductionHead(np.ones((2, 4)), np.ones(2), scores="both")),
        ("sequences", "length", lambda: softstep.InductionHead(np.ones(4), np.ones(1))),
        ("points", r"\(3,\)", lambda: softstep.VariationalLinearModel(np.ones(3), targets=[1.0])),
        ("loss", "logistic", lambda: softstep.VariationalLinearModel(np.ones((1, 2)), [1], loss="logistic")),
    ],
)
def test_what_does_not_fit_is_named(argument, word, call):
    with pytest.raises(softstep.InvalidArgument, match=word) as caught:
        call()
    assert caught.value.argument.endswith(argument)


@pytest.mark.parametrize("argument", ["values", "feed_forward", "directions"])
def test_given_weights_of_another_shape_are_refused(argument):
    # As many numbers, which were read in the wrong order.
    data = softstep.SentenceData.of_sentences(3, [np.ones((2, 4))] * 3, [0, 1, 2])
    right = {"values": np.ones((3, 4)), "feed_forward": np.ones((3, 4)), "directions": np.ones((2, 4, 4))}
    make = lambda x: softstep.VocabularyAttention(data, has_feed_forward=True, **{argument: x})  # noqa: E731
    make(right[argument])
    wrong = [right[argument].T, right[argument].ravel(), right[argument][..., :2]]
    for x in (*wrong, *([np.ones((4, 4)), np.ones((4, 4, 2))] if argument == "directions" else ())):
        with pytest.raises(softstep.InvalidArgument, match=argument) as caught:
            make(x)
        assert caught.value.argument == argument
