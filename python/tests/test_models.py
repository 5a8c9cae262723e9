"""Losses of one's own, the linear and the next-token model, gradient checks, cancellation."""

import gc
import math
import signal
import threading
import time
import weakref

import numpy as np
import pytest

import softstep


def own_logistic(**options):
    def value(m, y):
        return np.logaddexp(0.0, -m)

    def slope(m, y):
        return -math.exp(-np.logaddexp(0.0, m))

    def curvature(m, y):
        return math.exp(-np.logaddexp(0.0, m) - np.logaddexp(0.0, -m))

    return softstep.Loss(value, slope, curvature, is_decreasing=True, **options)


def data(n=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3, 5)), np.array([1, -1] * (n // 2), dtype=np.int8), rng.normal(size=5)


W, V = np.random.default_rng(1).normal(size=(2, 5, 5))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_own_loss_is_the_librarys_where_it_is_the_same(n_threads):
    own = softstep.Problem(*data(), loss=own_logistic(), n_threads=n_threads)
    named = softstep.Problem(*data(), n_threads=n_threads)
    # Both are within rounding of numbers below 10, twice over: 40 units.
    assert abs(own.loss(W) - named.loss(W)) <= 1e-14
    assert np.abs(own.value_and_grad(W)[1] - named.value_and_grad(W)[1]).max() <= 1e-14
    assert np.abs(own.hvp(W, V) - named.hvp(W, V)).max() <= 1e-13
    assert abs(own.optimal_loss - named.optimal_loss) <= 1e-14
    assert own.check_gradient(W).passed


def test_an_own_loss_keeps_its_digits_where_it_gives_exponents():
    generated = softstep.generate(seed=0)
    own = generated.problem(
        loss=softstep.Loss(
            lambda m, y: (1.0, -m),
            lambda m, y: (-1.0, -m),
            lambda m, y: (1.0, -m),
            # e^-(m - d) - e^-m = e^-m (e^d - 1)
            lambda m, d, y: (math.expm1(d[0] * math.exp(d[1])), -m) if d[1] > -600 else (d[0], d[1] - m),
            name="falls",
            is_decreasing=True,
        )
    )
    named = generated.problem(loss="exponential")
    w = softstep.solve_max_margin(named).weights * 2000
    a, b = own.loss_gap(w), named.loss_gap(w)
    assert a.log10() < -500 and abs(a.log10() - b.log10()) <= 1e-9
    assert own.identity != named.identity


def test_an_own_loss_trains_to_the_same_end():
    generated, steps, u = softstep.generate(seed=0), 50, 2.0**-53
    named, own = (softstep.train(generated.problem(loss=x), "ngd", steps=steps) for x in ("logistic", own_logistic()))
    # Scores of either run are off by (2 d + 2) u |W|, which turns a step by twice that (tests/trainer/test_many.cpp); a slope of one's
    # own, exp(-log(1 + e^m)) with |m| <= 1 on these data, is off by 5 u, on each of `steps` steps of length 1.
    n, _, d = generated.tokens.shape
    bound = 4 * (n + d + 2) * u * (1 + np.linalg.norm(named.weights)) + 2 * steps * 5 * u
    assert np.linalg.norm(named.weights - own.weights) <= bound


def test_a_squared_loss_of_ones_own_with_targets():
    x, y, u = data()
    t = np.linspace(-1, 1, len(y))
    own = softstep.Loss(lambda m, y: (m - y) ** 2 / 2, lambda m, y: m - y, lambda m, y: 1.0)
    a, b = (softstep.Problem(x, targets=t, decoder=u, loss=z).value_and_grad(W) for z in (own, "squared"))
    assert abs(a[0] - b[0]) <= 1e-14 and np.abs(a[1] - b[1]).max() <= 1e-14


@pytest.mark.parametrize("part", ["value", "derivative", "second_derivative"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_a_loss_raises_is_raised(part, n_threads):
    calls = []

    def fails(m, y):
        calls.append(m)
        if len(calls) > 20:
            raise KeyError("mine")
        return (1.0, -m)

    parts = {name: lambda m, y: (1.0, -m) for name in ("value", "derivative", "second_derivative")}
    problem = softstep.Problem(*data(), loss=softstep.Loss(**{**parts, part: fails}, is_decreasing=True), n_threads=n_threads)
    with pytest.raises(KeyError, match="mine"):
        for _ in range(20):
            problem.evaluate(W), problem.hvp(W, V)
    if part != "second_derivative":
        calls.clear()
        with pytest.raises(KeyError, match="mine"):
            softstep.train(problem, steps=10**9)


def test_a_loss_that_gives_no_number():
    problem = softstep.Problem(*data(), loss=softstep.Loss(lambda m, y: "text", lambda m, y: 1.0))
    with pytest.raises(TypeError):
        problem.loss(W)


@pytest.mark.parametrize(
    "loss", [3, object(), softstep.Loss(3, lambda m, y: 1.0), softstep.Loss(lambda m, y: 1.0, lambda m, y: 1.0, name="")]
)
def test_bad_losses_are_named(loss):
    with pytest.raises(softstep.InvalidArgument) as caught:
        softstep.Problem(*data(), loss=loss)
    assert caught.value.argument == "loss"


def test_what_is_decreasing_raises_is_raised():
    loss = softstep.Loss(lambda m, y: m, lambda m, y: 1.0, is_decreasing=np.array([True, False]))  # no truth value
    with pytest.raises(ValueError, match="truth value"):
        softstep.generate(seed=0).problem(loss=loss, optimal_loss=0.0)


def test_no_second_derivative_is_not_supported():
    problem = softstep.Problem(*data(), loss=softstep.Loss(lambda m, y: m, lambda m, y: 1.0))
    assert problem.loss(W) == problem.loss(W)
    with pytest.raises(softstep.NotSupported):
        problem.hvp(W, V)


def test_a_wrong_derivative_fails_the_gradient_check():
    problem = softstep.Problem(*data(), loss=softstep.Loss(lambda m, y: m * m, lambda m, y: 2.1 * m))
    found = problem.check_gradient(W, max_entries=5)
    assert not found.passed and found.blocks[0].name == "weights" and found.blocks[0].n_entries == 5
    assert "weights" in found.report
    assert softstep.Problem(*data(), loss=softstep.Loss(lambda m, y: m * m, lambda m, y: 2 * m)).check_gradient(W).passed


def test_a_loss_that_leads_back_to_its_problem_is_collected():
    class Own:
        name, is_decreasing = "own", False

        def value(self, m, y):
            return m

        def derivative(self, m, y):
            return 1.0

    own = Own()
    own.problem = softstep.Problem(*data(), loss=own)
    assert own.problem.loss(W) == own.problem.loss(W)
    seen = weakref.ref(own)
    del own
    gc.collect()
    assert seen() is None


def test_linear_model():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4))
    y = np.where(x @ [1.0, 2.0, 0.0, 0.0] > 0, 1, -1).astype(np.int8)
    model = softstep.LinearModel(x, y)
    w = rng.normal(size=4)
    loss = np.logaddexp(0, -y * (x @ w)).mean()
    gradient = -(y / (1 + np.exp(y * (x @ w)))) @ x / 8
    value, found = model.value_and_grad(w)
    assert abs(value - loss) <= 1e-14 and np.abs(found - gradient).max() <= 1e-14 and found.shape == (4,)
    assert model.blocks == {"weights": (4, 1)} and model.check_gradient(w).passed
    limit = softstep.solve_linear_max_margin(x, y)
    result = softstep.train(model, "polyak", steps=20000, reference=limit)
    assert result.last["one_minus_cos"] < 1e-4
    assert "LinearModel" in repr(model)
    own = softstep.LinearModel(x, y, loss=own_logistic())
    assert abs(own.loss(w) - value) <= 1e-14
    narrow = softstep.LinearModel(x.astype("f4"), y)
    assert narrow.dtype == "float32" and abs(narrow.loss(w.astype("f4")) - value) <= 1e-5
    for argument, change in (("points", x[0]), ("labels", y[:3])):
        with pytest.raises(softstep.InvalidArgument) as caught:
            softstep.LinearModel(**{"points": x, "labels": y, argument: change})
        assert caught.value.argument == argument


def test_next_token_model():
    made = softstep.next_token_example(n_contexts=4, vocabulary=6, dim=5, support_size=2, seed=3)
    model = softstep.NextTokenModel(made)
    blocks = made.blocks_at(np.random.default_rng(0).normal(size=(6, 5)))
    # The cross entropy by its formula, at the W that the blocks stand for: it is observed by a run of no steps.
    state = softstep.train(model, "gd", steps=0, start=list(blocks))
    w = state.weights.reshape(6, 5) + softstep._core.observe(model, state.state, 1).reshape(6, 5)
    logits = made.contexts @ w.T
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    entropy = 0.0
    for j in range(4):
        own = slice(made.first[j], made.first[j + 1])
        entropy -= made.probabilities[j] * (made.labels[own] @ log_p[j, made.tokens[own]])
    assert abs(model.loss(blocks) - entropy) <= 1e-13
    assert abs(model.optimal_loss - made.entropy()) <= 1e-14
    # "margin" is orthogonal to the finite part: differences along its single entries would leave that space.
    finite, margin = model.check_gradient(blocks).blocks
    assert finite.passed and margin.name == "margin"
    result = softstep.train(model, "ngd", steps=300)
    assert result.last["log10_gap"] < -1 and list(model.blocks) == ["finite", "margin"]
    same = softstep.NextTokenData.of_supports(
        6,
        made.contexts,
        [dict(zip(made.tokens[a:b].tolist(), made.labels[a:b])) for a, b in zip(made.first[:-1], made.first[1:])],
        made.probabilities,
    )
    assert softstep.NextTokenModel(same).loss(blocks) == model.loss(blocks)
    with pytest.raises(softstep.InvalidArgument) as caught:
        softstep.NextTokenModel(softstep.NextTokenData(6, made.contexts, -made.probabilities, made.first, made.tokens, made.labels))
    assert "probabilities" in str(caught.value)
    with pytest.raises(softstep.InvalidArgument, match="dtype"):
        softstep.NextTokenModel(made, dtype="int8")


def test_a_stop_source_ends_a_run_and_a_solver():
    problem = softstep.generate(seed=0).problem()
    source = softstep.StopSource()
    threading.Timer(0.2, source.stop).start()
    begun = time.monotonic()
    result = softstep.train(problem, steps=10**9, stop=source)
    assert result.status == "interrupted" and not result.keyboard_interrupt and time.monotonic() - begun < 1.0
    assert source.stopped and softstep.train(problem, steps=5, stop=source).steps == 0
    assert result.resume(5).steps == 5
    assert softstep.solve_max_margin(problem, tolerance=1e-300, stop=source).status == "interrupted"
    rows = []
    softstep.solve_max_margin(problem, progress=lambda *row: rows.append(row))
    assert rows and len(rows[0]) == 3
    assert softstep.solve_max_margin(problem, progress=lambda *row: False).status == "interrupted"
    with pytest.raises(KeyError):
        softstep.solve_max_margin(problem, progress=lambda *row: {}["mine"])
    with pytest.raises(softstep.InvalidArgument, match="stop"):
        softstep.train(problem, stop=threading.Event())


def slow_rule(context):
    time.sleep(1e-4)
    return 1.0 / context.gradient_norm


@pytest.mark.parametrize(
    "arguments",
    [
        {"rule": slow_rule},
        {"callback": lambda row: time.sleep(1e-3), "trace_rows_per_decade": 10**6},
        {"progress": lambda step, seconds: time.sleep(0.05)},
    ],
    ids=["rule", "callback", "progress"],
)
def test_ctrl_c_within_ones_own_code_keeps_the_trace(arguments):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    problem = softstep.generate(seed=0).problem()
    threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
    result = softstep.train(problem, steps=10**9, **arguments)
    assert result.status == "interrupted" and result.keyboard_interrupt and len(result.trace["step"]) > 1


def test_ctrl_c_within_a_loss_keeps_the_trace():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    problem = softstep.Problem(*data(), loss=own_logistic())
    threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
    result = softstep.train(problem, steps=10**9)
    assert result.status == "interrupted" and result.keyboard_interrupt and len(result.trace["step"]) > 1


@pytest.mark.parametrize("labels", [np.array(0), np.array(1.0), 1])
def test_a_number_is_no_array_of_labels(labels):
    """Nor does NumPy make it one on the way."""
    with pytest.raises(softstep.InvalidArgument, match="labels"):
        softstep.LinearModel(np.ones((1, 1)), labels)
    with pytest.raises(softstep.InvalidArgument, match="labels"):
        softstep.Problem(np.ones((1, 2, 3)), labels, decoder=np.ones(3), queries=np.ones((1, 3)))
