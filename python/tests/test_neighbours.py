"""The models of neighbouring papers and the certificate of a margin, beside their definitions in NumPy."""

import json
import math

import numpy as np
import pytest

import softstep

RNG = np.random.default_rng(5)


def phi(x):
    return np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in np.ravel(x)]).reshape(np.shape(x))


def cross_entropy(features, classes, W):
    logits = features @ W.T
    odds = np.exp(logits - logits.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    hit = np.eye(len(W))[classes]
    return -np.log((odds * hit).sum(1)).mean(), (odds - hit).T @ features / len(features)


def close(gradient, expected, units):
    """Within so many units of rounding of the largest entry."""
    return np.abs(np.asarray(gradient) - expected).max() <= units * 2**-53 * np.abs(expected).max()


# Sums of at most 12 terms whose parts are right to about 8 units: 100 units of the largest term, which here are within a factor
# of 10 of the largest entry.
UNITS = 1000


def test_softmax_classification_is_cross_entropy():
    features, classes, n_classes = softstep.class_clouds(n_classes=4, dim=6, points_per_class=3, noise=0.5, seed=1)
    model = softstep.MulticlassModel(features, classes)
    W = RNG.normal(size=(4, 6))
    loss, gradient = cross_entropy(features, classes, W)
    found, slope = model.value_and_grad(W)
    assert n_classes == 4 and model.blocks == {"weights": (4, 6)} and model.optimal_loss == 0.0
    assert abs(found - loss) <= UNITS * 2**-53 * loss and close(slope, gradient, UNITS)
    assert model.check_gradient(W).passed
    rows = W[classes]
    rest = (rows - W[(classes + 1) % 4])[:, None]
    rest = np.stack([((rows - W[(classes + c) % 4]) * features).sum(1) for c in (1, 2, 3)])
    assert model.margin(W) == pytest.approx(rest.min() / np.linalg.norm(W), rel=1e-13)
    assert model.margin(W, "max") == pytest.approx(rest.min() / np.abs(W).max(), rel=1e-13)
    # Far out, where plain numbers underflow.
    trained = softstep.train(model, "ngd:schedule-power=0.5", steps=3000).blocks["weights"]
    far = 1e6 * trained / np.linalg.norm(trained)
    assert model.margin(far) > 0 and model.loss(far) == 0.0 and model.scaled(far).exponent < -1e4


def test_multiclass_data_is_read_from_a_file(tmp_path):
    data = softstep.class_clouds(n_classes=3, dim=2, points_per_class=2, seed=4)
    path = tmp_path / "classes.safetensors"
    header = json.dumps(
        {
            "features": {"dtype": "F64", "shape": [6, 2], "data_offsets": [0, 96]},
            "classes": {"dtype": "I32", "shape": [6], "data_offsets": [96, 120]},
        }
    ).encode()
    numbers = data.features.tobytes() + data.classes.astype("<i4").tobytes()
    path.write_bytes(len(header).to_bytes(8, "little") + header + numbers)
    read = softstep.load_multiclass_data(path)
    assert (read.features == data.features).all() and (read.classes == data.classes).all() and read.n_classes == 3
    with pytest.raises(softstep.IoError):
        softstep.load_multiclass_data(tmp_path / "none")


def test_a_certificate_bounds_every_margin():
    model = softstep.MulticlassModel(*softstep.class_clouds(n_classes=3, dim=4, points_per_class=5, seed=2))
    runs = {rule: softstep.train(model, f"{rule}:schedule-power=0.5", steps=4000).blocks["weights"] for rule in ("ngd", "sign", "spectral")}
    for rule, norm in (("ngd", "frobenius"), ("sign", "max"), ("spectral", "spectral")):
        certificate = softstep.MarginCertificate(3, 4)
        assert len(certificate) == 0 and certificate.bound() == math.inf and certificate.share(1.0) == 0.0
        model.certify(certificate, runs[rule])
        # No W has more than the bound, but for the rounding of a few dozen operations.
        bound = certificate.bound(norm) * (1 + 100 * 2**-53)
        assert len(certificate) == 1 and all(model.margin(W, norm) <= bound for W in runs.values())
        assert all(model.margin(RNG.normal(size=(3, 4)), norm) <= bound for _ in range(20))
        # The last gradient of the others swings about its limit, so that it certifies less than what is true.
        assert rule != "ngd" or certificate.share(model.margin(runs[rule], norm), norm) > 0.9


def test_a_problem_certifies_its_share():
    problem = softstep.generate(seed=0).problem()
    best = softstep.solve_max_margin(problem)
    W = softstep.train(problem, "ngd", steps=20000).weights
    assert problem.margin(best.weights) == pytest.approx(best.margin, rel=1e-9)
    share = problem.certified_share(W)
    # At most what is true, and with the angle of the last step near it.
    assert 0.999 < share <= problem.margin(W) / best.margin * (1 + 1e-9)
    certificate = softstep.MarginCertificate(60, 60)
    assert certificate.add_gradient(problem, W) and certificate.share(problem.margin(W)) == pytest.approx(share, rel=1e-12)
    assert math.isnan(problem.certified_share(np.zeros((60, 60))))
    assert problem.metrics(W)["certified_share"] == share
    assert math.isnan(problem.metrics(-W)["certified_share"])  # its margin is below 0
    by_hand = softstep.MarginCertificate(1, 2)
    by_hand.add([[6.0, 8.0]], 2.0)
    assert by_hand.bound() == 5.0 and by_hand.bound("max") == 7.0 and by_hand.share(2.5) == 0.5


def test_dual_norms():
    a = np.array([[3.0, 0.0], [0.0, -4.0]])
    assert softstep.dual_norm(a, "max") == 7.0 and softstep.dual_norm(a) == 5.0
    assert softstep.dual_norm(a, "spectral") == pytest.approx(7.0, rel=1e-15)
    assert softstep.dual_norm(a, "nuclear") == pytest.approx(4.0, rel=1e-15)
    assert softstep.dual_norm(a, "lp", 1.5) == pytest.approx((27 + 64) ** (1 / 3), rel=1e-15)


@pytest.mark.parametrize("trained", [False, True])
def test_a_relu_network_is_its_formula(trained):
    x, y, W, a = RNG.normal(size=(12, 3)), np.array([1, -1] * 6), RNG.normal(size=(5, 3)), RNG.normal(size=5)
    model = softstep.ReluNetwork(x, y, n_neurons=5, outer=None if trained else a)
    hidden = np.maximum(x @ W.T, 0)
    m = y * (hidden @ a)
    slope = -y / (1 + np.exp(m)) / len(y)
    point = {"weights": W, "outer": a[:, None]} if trained else W
    loss, gradient = model.value_and_grad(point)
    assert abs(loss - np.log1p(np.exp(-m)).mean()) <= UNITS * 2**-53 * loss
    by_weights = (slope[:, None] * a * (x @ W.T >= 0)).T @ x
    assert close(gradient["weights"] if trained else gradient, by_weights, UNITS)
    if trained:
        assert list(model.blocks) == ["weights", "outer"] and close(gradient["outer"][:, 0], hidden.T @ slope, UNITS)


def test_the_correlation_loss_has_no_lowest_value():
    x, y = RNG.normal(size=(6, 2)), [1, -1] * 3
    model = softstep.ReluNetwork(x, y, n_neurons=3, outer=[1, -1, 1], loss="correlation")
    assert model.optimal_loss == -math.inf
    with pytest.raises(softstep.InvalidArgument, match="polyak"):
        softstep.train(model, "polyak", steps=1)
    squared = softstep.ReluNetwork(x, targets=x[:, 0], n_neurons=3, loss="squared")
    assert softstep.train(squared, "gd:step-size=0.01", steps=10, init_std=0.5).last["loss"] > 0


def test_a_population_is_its_closed_form():
    mu, y, pi, sigma = RNG.normal(size=(3, 4)), np.array([1, -1, 1]), np.array([0.5, 0.3, 0.2]), 0.7
    W, a = RNG.normal(size=(2, 4)), np.array([1.0, -2.0])
    model = softstep.ReluPopulation(mu, y, pi, sigma=sigma, n_neurons=2, outer=a)
    loss, gradient = model.value_and_grad(W)
    length = np.linalg.norm(W, axis=1)
    unit = W / length[:, None]
    m = mu @ unit.T / sigma
    density = np.exp(-(m**2) / 2) / np.sqrt(2 * np.pi)
    f = ((mu @ unit.T * phi(m) + sigma * density) * length) @ a
    weight = (pi * y)[:, None] * a
    expected = -((weight * phi(m)).T @ mu + sigma * (weight * density).sum(0)[:, None] * unit)
    assert abs(loss + (pi * y) @ f) <= UNITS * 2**-53 * np.abs(f).max() and close(gradient, expected, UNITS)
    even = softstep.ReluPopulation(mu[:2], y[:2], sigma=sigma, n_neurons=2, dtype="float32")
    assert even.dtype == "float32" and list(even.blocks) == ["weights", "outer"]


@pytest.mark.parametrize("form", ["merged", "separate"])
def test_in_context_regression_is_its_closed_form(form):
    spectrum, n = np.array([0.5, 0.3, 0.2]), 7
    model = softstep.InContextRegression(spectrum, n, form=form, n_heads=2, rank=2 if form == "separate" else 1)
    point = {name: RNG.normal(size=shape) for name, shape in model.blocks.items()}
    values = point["values"][:, 0]
    if form == "merged":
        M = np.einsum("h,hij->ij", values, point["matrices"].reshape(2, 3, 3))
    else:
        M = np.einsum("h,hri,hrj->ij", values, point["keys"].reshape(2, 2, 3), point["queries"].reshape(2, 2, 3))
    L = np.diag(spectrum)
    A = L @ L + (L + spectrum.sum() * np.eye(3)) @ L / n
    loss = spectrum.sum() - 2 * np.trace(L @ M @ L) + np.trace(A @ M @ L @ M.T)
    found, gradient = model.value_and_grad(point)
    assert abs(found - loss) <= UNITS * 2**-53 * max(loss, spectrum.sum())
    slope = 2 * A @ (M - np.linalg.solve(A, L)) @ L
    by_values = np.array(
        [
            np.sum(slope * (point["matrices"].reshape(2, 3, 3)[h] if form == "merged" else np.einsum("ri,rj->ij", point["keys"].reshape(2, 2, 3)[h], point["queries"].reshape(2, 2, 3)[h])))
            for h in range(2)
        ]
    )
    assert close(gradient["values"][:, 0], by_values, UNITS)
    assert np.allclose(model.optimum, np.linalg.solve(A, L), rtol=1e-14) and model.check_gradient(point).passed


@pytest.mark.parametrize(
    "argument, word, call",
    [
        ("classes", "need integers", lambda: softstep.MulticlassModel(np.ones((2, 2)), [0.5, 1])),
        ("classes", "-1", lambda: softstep.MulticlassModel(np.ones((2, 2)), [-1, 1])),
        ("classes", "classes", lambda: softstep.MulticlassModel(np.ones((2, 2)), [0, 1, 1])),
        ("n_classes", "n_classes", lambda: softstep.MulticlassModel(np.ones((2, 2)), [0, 0])),
        ("features", "features", lambda: softstep.MulticlassModel(np.ones(2), [0, 1])),
        ("features", "features", lambda: softstep.MulticlassModel(np.full((2, 2), np.nan), [0, 1])),
        ("dtype", "float16", lambda: softstep.MulticlassModel(np.ones((2, 2)), [0, 1], dtype="float16")),
        ("W", r"\(2, 3\)", lambda: softstep.MulticlassModel(np.ones((2, 3)), [0, 1]).margin(np.ones((3, 2)))),
        ("noise", "noise", lambda: softstep.class_clouds(noise=-1.0)),
        ("points", r"\(3,\)", lambda: softstep.ReluNetwork(np.ones(3), [1, 1, 1], n_neurons=2)),
        ("n_neurons", "0", lambda: softstep.ReluNetwork(np.ones((3, 2)), [1, 1, 1], n_neurons=0)),
        ("outer", "outer", lambda: softstep.ReluNetwork(np.ones((3, 2)), [1, 1, 1], n_neurons=2, outer=[1.0])),
        ("loss", "hinge", lambda: softstep.ReluNetwork(np.ones((3, 2)), [1, 1, 1], n_neurons=2, loss="hinge")),
        ("probabilities", "probabilities", lambda: softstep.ReluPopulation(np.ones((2, 2)), [1, -1], [0.5, 0.6], sigma=1, n_neurons=1)),
        ("labels", "labels", lambda: softstep.ReluPopulation(np.ones((2, 2)), [1, 2], sigma=1, n_neurons=1)),
        ("sigma", "-1", lambda: softstep.ReluPopulation(np.ones((2, 2)), [1, -1], sigma=-1, n_neurons=1)),
        ("spectrum", "spectrum", lambda: softstep.InContextRegression([0.1, 0.0], 3)),
        ("n_examples", "0", lambda: softstep.InContextRegression([0.1], 0)),
        ("form", "joined", lambda: softstep.InContextRegression([0.1], 3, form="joined")),
        ("n_rows", "0", lambda: softstep.MarginCertificate(0, 2)),
        ("combination", "combination", lambda: softstep.MarginCertificate(1, 2).add([1.0], 1.0)),
        ("weight", "weight", lambda: softstep.MarginCertificate(1, 2).add([1.0, 2.0], -1.0)),
        ("norm", "l7", lambda: softstep.dual_norm(np.eye(2), "l7")),
        ("a", "a", lambda: softstep.dual_norm(np.ones(2))),
    ],
)
def test_what_does_not_fit_is_named(argument, word, call):
    with pytest.raises(softstep.InvalidArgument, match=word) as caught:
        call()
    assert caught.value.argument.endswith(argument)


def test_data_are_copied():
    features, spectrum = np.asfortranarray(np.eye(2)), np.array([0.5, 9.0, 0.25])[::2]
    multiclass, in_context = softstep.MulticlassModel(features, [0, 1]), softstep.InContextRegression(spectrum, 3, form="merged")
    W, point = np.ones((2, 2)), (np.ones((1, 1)), np.ones((2, 2)))
    before = multiclass.value_and_grad(W)[1].copy(), in_context.loss(point)
    features[:], spectrum[:] = np.nan, np.nan
    assert (multiclass.value_and_grad(W)[1] == before[0]).all() and in_context.loss(point) == before[1]
    assert multiclass.margin(np.eye(2)) > 0
