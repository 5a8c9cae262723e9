"""Runs: rules of three kinds, resuming, callbacks, interruption."""

import signal

import numpy as np
import pytest
from ctrl_c import SOON, after_ctrl_c

import softstep


@pytest.fixture(scope="module")
def problem():
    return softstep.generate(seed=0).problem()


@pytest.fixture(scope="module")
def limit(problem):
    return softstep.solve_max_margin(problem)


@pytest.mark.parametrize("rule", ["ngd", "polyak"])
def test_reaches_the_max_margin_direction(problem, limit, rule):
    result = softstep.train(problem, rule, steps=10000, reference=limit)
    assert result.last["one_minus_cos"] < 1e-6
    assert result.status == "max_iterations" and "1 - cos" in repr(result) and "<table>" in result._repr_html_()


def test_a_callable_takes_the_steps_of_the_rule_it_writes(problem, limit):
    own = softstep.train(problem, lambda c: 1.0 / c.gradient_norm, steps=200)
    named = softstep.train(problem, "ngd", steps=200)
    # The form of W may differ: the same to rounding of 200 steps of length 1.
    assert np.abs(own.weights - named.weights).max() <= 200 * 200 * 2**-53


@pytest.mark.parametrize("number", [np.float32, np.float64, np.array, lambda c: np.int64(1)], ids=["float32", "float64", "array", "int64"])
def test_a_number_of_numpys_is_a_number(number):
    # A block of one entry, where an array of one number would be a direction.
    model = softstep.InductionHead(*softstep.induction_data(n_samples=20, length=6, seed=0), dtype="float32")
    start = (np.full((1, 1), 0.5),) * 4
    step = number(0.125)  # which float32 holds
    ours = softstep.train(model, lambda c: step, steps=1, start=start).blocks
    wanted = softstep.train(model, lambda c: float(step), steps=1, start=start).blocks
    assert all((ours[name] == wanted[name]).all() for name in wanted)
    # The same where the block has more entries.
    problem = softstep.generate(seed=0).problem()
    assert (softstep.train(problem, lambda c: step, steps=3).weights == softstep.train(problem, lambda c: float(step), steps=3).weights).all()


def test_a_direction_lies_as_the_gradient_does():
    model = softstep.ReluNetwork(np.ones((3, 2)), [1, 1, -1], n_neurons=4, outer=[1, 1, -1, -1])
    step = lambda change: softstep.train(model, lambda c: change(c.gradient), steps=1, init_std=1.0).blocks["weights"]  # noqa: E731
    assert (step(lambda g: g) == step(lambda g: g.ravel())).all()
    with pytest.raises(softstep.InvalidArgument, match="direction of shape"):
        step(lambda g: np.ascontiguousarray(g.T))
    with pytest.raises(OverflowError):
        step(lambda g: 10**400)


class Momentum(softstep.StepRule):
    name = "momentum_of_mine"
    memory = {"mean": 0}

    def propose(self, context):
        before = context.memory.get("mean", np.zeros(context.gradient.size))
        context.next["mean"] = 0.9 * before + context.gradient.ravel() / context.gradient_norm
        return 0.1 * context.next["mean"].reshape(context.gradient.shape)


def test_resumes_with_the_same_bits(problem, tmp_path):
    whole = softstep.train(problem, Momentum(), steps=60)
    half = softstep.train(problem, Momentum(), steps=25)
    half.save(tmp_path / "state.safetensors")
    assert (half.resume(35).weights == whole.weights).all()
    state = softstep.load_state(tmp_path / "state.safetensors", problem, Momentum())
    assert (softstep.train(problem, Momentum(), steps=35, state=state).weights == whole.weights).all()
    with pytest.raises(softstep.InvalidArgument):
        softstep.load_state(tmp_path / "state.safetensors", problem, "ngd")
    (tmp_path / "bad").write_bytes(b"no state")
    with pytest.raises(softstep.BadFile):
        softstep.load_state(tmp_path / "bad", problem)
    with pytest.raises(OSError):
        softstep.load_state(tmp_path / "none", problem)


@pytest.mark.parametrize("where", ["callback", "rule", "progress"])
def test_an_exception_of_ones_own_ends_the_run(problem, where):
    def fail(*_):
        raise KeyError("mine")

    arguments = {"rule": fail} if where == "rule" else {where: fail}
    with pytest.raises(KeyError, match="mine"):
        softstep.train(problem, steps=10**8, **arguments)


def test_a_callback_stops_by_false(problem):
    result = softstep.train(problem, steps=1000, callback=lambda row: row["step"] < 5)
    assert result.status == "interrupted" and result.trace["step"][-1] == 5


def test_the_false_of_numpy_stops_too(problem):
    # What comparisons of NumPy's numbers give, and math with them.
    stopped = softstep.train(problem, steps=1000, callback=lambda row: np.float64(row["step"]) < 5)
    assert stopped.status == "interrupted" and stopped.trace["step"][-1] == 5
    assert softstep.train(problem, steps=10**9, max_seconds=20.0, progress=lambda *_: np.bool_(False)).status == "interrupted"
    runs = softstep.train_many(problem, steps=[1000] * 2, callback=lambda k, row: np.float64(row["step"]) < 5)
    assert (runs.status == "interrupted").all() and (runs.last["step"] == 5).all()
    assert softstep.solve_max_margin(problem, progress=lambda *_: np.bool_(False)).status == "interrupted"
    # Nothing else does: no answer, and what is merely empty.
    for answer in (None, 0, np.bool_(True), np.zeros(1)):
        assert softstep.train(problem, steps=10, callback=lambda row: answer).status == "max_iterations"


def test_ctrl_c_stops_soon_and_keeps_the_trace(problem):
    result, seconds = after_ctrl_c(lambda: softstep.train(problem, steps=10**9), after=0.3)
    assert seconds < SOON
    assert result.status == "interrupted" and result.keyboard_interrupt and len(result.trace["step"]) > 10


@pytest.mark.parametrize(
    "options, train",
    [
        (dict(train_decoder=True), dict(init_std=0.1)),
        (dict(key_query="factored", rank=2), dict(init_std=0.1)),
        (dict(key_query="prompt"), dict()),
        (dict(), dict(batch_size=3)),
    ],
)
def test_every_model_trains(options, train):
    result = softstep.train(softstep.generate(seed=0).problem(**options), "ngd", steps=100, **train)
    assert result.status == "max_iterations" and result.last["log10_gap"] < -5


@pytest.mark.parametrize("many", [False, True])
def test_ctrl_c_while_a_context_is_made_is_one_in_the_rule(problem, monkeypatch, many):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context, made = softstep.StepContext, []

    def interrupted(*fields):
        made.append(1)
        if len(made) == 5:
            raise KeyboardInterrupt
        return context(*fields)

    monkeypatch.setattr("softstep.rules.StepContext", interrupted)
    rule = lambda c: 1.0 / c.gradient_norm  # noqa: E731
    if many:
        result = softstep.train_many([problem], rule, steps=100, n_threads=1)[0]
    else:
        result = softstep.train(problem, rule, steps=100)
    assert result.status == "interrupted" and result.keyboard_interrupt and result.steps == 4


@pytest.mark.parametrize(
    "argument, word, change",
    [
        ("steps", "1.5", lambda: dict(steps=1.5)),
        ("steps", "-1", lambda: dict(steps=-1)),
        ("steps", "True", lambda: dict(steps=True)),
        ("reference", r"shape \(3, 3\) \(need \(60, 60\), that of weights\)", lambda: dict(reference=np.ones((3, 3)))),
        ("reference", "2 directions", lambda: dict(reference=[np.ones((60, 60))] * 2)),
        ("start", r"shape \(4,\) \(need \(60, 60\), that of weights\)", lambda: dict(start=np.ones(4))),
        ("start", "2 blocks", lambda: dict(start=[np.ones((60, 60))] * 2)),
        ("rule", "returned 'hello'.*need a number", lambda: dict(rule=lambda context: "hello")),
        ("rule", "plyak.*known: ", lambda: dict(rule="plyak")),
    ],
)
def test_wrong_arguments_are_named_as_they_were_given(argument, word, change):
    arguments = {"rule": "ngd", "steps": 2, **change()}
    with pytest.raises(softstep.InvalidArgument, match=word) as caught:
        softstep.train(softstep.generate(seed=0).problem(), arguments.pop("rule"), **arguments)
    assert caught.value.argument == argument


def test_blocks_and_directions_of_another_shape_are_refused():
    """A transposed block has as many numbers, which were read row by row as if it were none."""
    data = softstep.generate(n_samples=4, n_tokens=3, dim=6, seed=0)
    factored = data.problem(key_query="factored", rank=2)
    k, q = np.random.default_rng(0).normal(size=(2, 6, 2))
    with pytest.raises(softstep.InvalidArgument, match=r"^start: shape \(2, 6\) \(need \(6, 2\), that of keys\)$"):
        softstep.train(factored, "ngd", steps=1, start=[k.T, q])
    with pytest.raises(softstep.InvalidArgument, match=r"need \(6, 2\), that of queries\), run 1$"):
        softstep.train_many(factored, "ngd", steps=1, start=[[k, q], [k, np.ascontiguousarray(q.T)]])

    points = softstep.class_clouds(n_classes=3, dim=5, points_per_class=4)
    classes = softstep.MulticlassModel(points.features, points.classes)
    w = np.random.default_rng(1).normal(size=(3, 5))
    for argument in ("start", "reference"):
        with pytest.raises(softstep.InvalidArgument, match=rf"^{argument}: shape \(5, 3\) \(need \(3, 5\), that of weights\)$"):
            softstep.train(classes, "ngd", steps=1, **{argument: w.T})

    # One column without its axis, and numbers row by row in one dimension, are what they were.
    prompt, p = data.problem(key_query="prompt"), np.arange(6.0)
    for start in (p, p[:, None], p[None, :]):
        assert np.array_equal(softstep.train(prompt, "ngd", steps=0, start=start).blocks["prompt"], p[:, None])
    flat = softstep.train(classes, "ngd", steps=2, start=w.ravel(), reference=w.ravel()).last
    whole = softstep.train(classes, "ngd", steps=2, start=w, reference=w).last
    assert flat["loss"] == whole["loss"] and flat["one_minus_cos"] == whole["one_minus_cos"]


DATA = softstep.generate(n_samples=3, n_tokens=2, dim=8, seed=0)


@pytest.mark.parametrize(
    "argument, words, call",
    [
        ("problem", "Dataset .*problem() of a data set", lambda: softstep.train(DATA, steps=1)),
        ("problem", "list ", lambda: softstep.train([DATA.problem()], steps=1)),
        ("problem", "ndarray ", lambda: softstep.train(DATA.tokens, DATA.labels)),
        ("problem", "Dataset ", lambda: softstep.load_state("run.state", DATA)),
        ("problem", "Dataset .*problem() of a data set", lambda: softstep.solve_max_margin(DATA)),
        ("problem", "Dataset ", lambda: softstep.solve_max_margin(DATA, norm="nuclear")),
        ("problem", "Dataset ", lambda: softstep.solve_max_margin_with_ties(DATA, [[0]] * 3)),
        ("problem", "LinearModel ", lambda: softstep.solve_max_margin(softstep.LinearModel([[1.0, 2.0]], [1]))),
        ("problems", "Dataset ", lambda: softstep.compare(DATA, ["ngd"], steps=1)),
        ("problems", "Dataset ", lambda: softstep.compare([DATA], ["ngd"], steps=1)),
        ("problems", "empty", lambda: softstep.compare([], ["ngd"], steps=1)),
        ("state", "TrainResult ", lambda: softstep.train(DATA.problem(), steps=1, state=softstep.train(DATA.problem(), steps=1))),
    ],
)
def test_what_is_no_problem_is_told_so(argument, words, call):
    with pytest.raises(softstep.InvalidArgument, match=f"^{argument}: {words.replace('()', '[(][)]')}") as caught:
        call()
    assert caught.value.argument == argument and "\n" not in str(caught.value)
