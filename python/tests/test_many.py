"""Many runs in one call: each as train makes it, arrays with the run first, stopping, and what is refused."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from ctrl_c import SOON, after_ctrl_c

import softstep

N, T, D = 6, 8, 10


def problem(seed, **options):
    return softstep.generate("signal_noise", n_samples=N, n_tokens=T, dim=D, seed=seed).problem(**options)


@pytest.fixture(scope="module")
def problems():
    return [problem(seed) for seed in range(1, 8)]  # from seed 0 Polyak's second step leads away, with train as well


@pytest.fixture(scope="module")
def limits(problems):
    return [softstep.solve_max_margin(each) for each in problems]


def path_bound(norm):
    """What two forms of a run may differ by, after steps of length 1 in float64: tests/trainer/test_many.cpp."""
    return 4 * (D + N + 2) * 2**-53 * (1 + norm)


def test_each_goes_where_train_takes_it(problems, limits):
    rules = ["ngd:step-size=1", "ngd:schedule-power=0.5"] * 3 + ["ngd"]
    steps = [20 + 37 * (k % 5) for k in range(7)]
    starts = np.random.default_rng(0).normal(size=(7, D, D)) / 10
    runs = softstep.train_many(problems, rules, steps=steps, start=starts, reference=limits, thresholds=[0.5, 1e-9])
    assert len(runs) == 7 and runs.weights.shape == (7, D, D) and runs.rules == rules
    assert set(runs.form) == {"query-span"} and set(runs.status) == {"max_iterations"} and (runs.steps == steps).all()
    assert runs.trace["step"].shape == (7, runs.n_rows.max())
    for k, run in enumerate(runs):
        alone = softstep.train(
            problems[k], rules[k], steps=steps[k], start=starts[k], reference=limits[k], thresholds=[0.5, 1e-9], form="query-span"
        )
        norm = np.linalg.norm(alone.weights)
        # A direction that turns by path_bound moves W by that of its length; twice for the start, of norm 1.
        assert np.abs(runs.weights[k] - alone.weights).max() <= path_bound(norm) * (1 + norm)
        assert (run.weights == runs.weights[k]).all() and list(run.trace) == list(alone.trace)
        rows = runs.n_rows[k]
        assert (run.trace["step"] == alone.trace["step"]).all() and (runs.trace["step"][k, rows:] == -1).all()
        for name in ("log10_gap", "weight_norm", "one_minus_cos"):
            assert np.abs(run.trace[name] - alone.trace[name]).max() <= 10 * path_bound(norm) * (1 + np.abs(alone.trace[name]).max())
            assert np.isnan(runs.trace[name][k, rows:]).all() and (runs.trace[name][k, :rows] == run.trace[name]).all()
            assert runs.last[name][k] == run.last[name] == run.trace[name][-1]
        assert [c["step"] for c in alone.time_to] == [s for s in runs.time_to["step"][k] if s >= 0]
        assert (run.rule, run.status, run.steps) == (rules[k], alone.status, alone.steps)
        assert "max_iterations" in run.report() and f"{steps[k]}" in run.report()
    assert (runs.time_to["threshold"] == [0.5, 1e-9]).all() and (runs.time_to["step"][:, 1] == -1).all()


def test_the_same_bits_for_any_company_and_threads(problems):
    many = softstep.train_many(problems, "polyak", steps=100, n_threads=1)
    for n_threads in (0, 2, 3):
        assert (softstep.train_many(problems, "polyak", steps=100, n_threads=n_threads).weights == many.weights).all()
    assert (softstep.train_many(problems[3], "polyak", steps=100).weights[0] == many.weights[3]).all()
    backwards = softstep.train_many(problems[::-1], "polyak", steps=100)
    assert (backwards.weights[::-1] == many.weights).all()


def test_one_problem_for_all_runs_and_seeds_of_starts():
    shared = problem(0)
    runs = softstep.train_many(shared, "ngd", steps=10, init_std=0.1, seed=range(5))
    for k in range(5):
        begun = softstep.train(shared, "ngd", steps=0, init_std=0.1, seed=k)
        assert abs(runs.trace["weight_norm"][k, 0] - np.linalg.norm(begun.weights)) <= 1e-14
    assert len({w.tobytes() for w in runs.weights}) == 5


@pytest.mark.parametrize(
    "options, arguments",
    [
        (dict(train_decoder=True), dict(init_std=0.1, seed=range(3))),
        (dict(key_query="factored", rank=2), dict(start={"keys": np.ones((3, D, 2)), "queries": np.ones((D, 2))})),
        (dict(key_query="prompt"), dict()),
        (dict(loss="squared"), dict(rule="gd")),
        (dict(), dict(batch_size=3)),
        (dict(), dict(rule=lambda c: 1.0 / c.gradient_norm)),
    ],
)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_models_and_rules_that_go_alone(options, arguments, n_threads):
    several = [problem(seed, **options) for seed in range(3)]
    rule = arguments.pop("rule", "ngd") if "rule" in arguments else "ngd"
    runs = softstep.train_many(several, rule, steps=30, n_threads=n_threads, **arguments)
    arguments["rule"] = rule
    for k, run in enumerate(runs):
        one = {name: value for name, value in arguments.items() if name not in ("rule", "start", "seed")}
        if "seed" in arguments:
            one["seed"] = k
        if "start" in arguments:
            one["start"] = {"keys": np.ones((D, 2)), "queries": np.ones((D, 2))}
        alone = softstep.train(several[k], rule, steps=30, form=str(runs.form[k]), **one)
        assert run.status == alone.status and run.steps == alone.steps
        assert list(runs.blocks) == list(alone.blocks) and list(runs.trace) == list(alone.trace)
        for name, block in alone.blocks.items():
            assert np.abs(runs.blocks[name][k] - block).max() <= path_bound(30) * 30


@pytest.mark.parametrize("rule", ["ngd", "gd:step-size=0.5;polyak"])
def test_joint_runs_side_by_side(rule):
    several = [problem(seed, train_decoder=True) for seed in range(11)]
    rng = np.random.default_rng(3)
    start = {"weights": rng.normal(size=(11, D, D)) * 0.1, "decoder": rng.normal(size=(11, D)) * 0.1}
    reference = {"weights": rng.normal(size=(D, D)), "decoder": rng.normal(size=(11, D, 1))}
    runs = softstep.train_many(several, rule, steps=40, start=start, reference=reference)
    assert runs.blocks["weights"].shape == (11, D, D) and runs.blocks["decoder"].shape == (11, D, 1)
    for k in range(11):
        alone = softstep.train(
            several[k],
            rule,
            steps=40,
            form="dense",
            start={name: block[k] for name, block in start.items()},
            reference={"weights": reference["weights"], "decoder": reference["decoder"][k]},
        )
        for name, block in alone.blocks.items():
            assert np.abs(runs.blocks[name][k] - block).max() <= path_bound(40) * 40
        assert abs(runs.last["decoder_one_minus_cos"][k] - alone.last["decoder_one_minus_cos"]) <= path_bound(40) * 40
    # The bits of a run are its own, and those of one that was put down.
    few = softstep.train_many(several[3:5], rule, steps=15, start={name: block[3:5] for name, block in start.items()})
    again = few.resume(25, n_threads=2)
    for name, block in runs.blocks.items():
        assert (again.blocks[name] == block[3:5]).all()


def test_vectors_have_an_axis_of_runs_or_none():
    several = [problem(seed, train_decoder=True) for seed in range(2)]
    one = np.arange(1.0, D + 1)
    shared = softstep.train_many(several, steps=0, start={"weights": np.zeros((D, D)), "decoder": one})
    for same in (one[:, None], list(one), np.stack([one, one]), [one, one], [list(one)] * 2):
        given = softstep.train_many(several, steps=0, start={"weights": np.zeros((2, D, D)), "decoder": same})
        assert (given.blocks["decoder"] == shared.blocks["decoder"]).all()
    prompts = [problem(seed, key_query="prompt") for seed in range(2)]
    given = softstep.train_many(prompts, steps=0, start=np.stack([one, 2 * one]))
    assert (given.weights[:, :, 0] == [one, 2 * one]).all()
    with pytest.raises(softstep.InvalidArgument, match="start: 3 entries .problems has 2"):
        softstep.train_many(several, steps=0, start={"weights": np.zeros((D, D)), "decoder": np.stack([one] * 3)})


def test_float32_and_other_models():
    tokens = np.random.default_rng(0).normal(size=(N, T, D)).astype("f4")
    several = [softstep.Problem(tokens * 2.0**k, [1, -1] * 3, tokens[0, 0]) for k in range(3)]
    assert softstep.train_many(several, "ngd", steps=5).weights.dtype == np.float64
    points = np.random.default_rng(0).normal(size=(8, 3))
    linear = [softstep.LinearModel(points, np.where(points[:, k] > 0, 1, -1)) for k in range(3)]
    runs = softstep.train_many(linear, "ngd", steps=50)
    assert runs.weights.shape[0] == 3 and (runs.last["accuracy"] == 1).all()


def test_resumes_with_the_same_bits(problems, limits):
    whole = softstep.train_many(problems, "polyak", steps=60, reference=limits)
    half = softstep.train_many(problems, "polyak", steps=25, reference=limits)
    before = half.weights
    more = half.resume(35)
    assert (more.weights == whole.weights).all() and (half.weights == before).all()
    assert (more.trace["step"][:, 0] == 0).all() and (more.last["step"] == 60).all()
    assert (np.diff(more.trace["step"], axis=1) > 0).all()
    some = half.resume([35, 0, 35, 0, 35, 0, 1])
    assert (some.weights[::2][:3] == whole.weights[::2][:3]).all() and (some.weights[1] == before[1]).all()
    assert some.last["step"].tolist() == [60, 25, 60, 25, 60, 25, 26]
    states = [run.state.copy() for run in half]
    assert (softstep.train_many(problems, "polyak", steps=35, states=states).weights == whole.weights).all()


def test_tables_quantiles_and_texts(problems, limits):
    runs = softstep.train_many(problems * 2, ["ngd"] * 7 + ["polyak"] * 7, steps=100, reference=limits * 2)
    spread = runs.spread()
    assert list(spread) == ["ngd", "polyak"]
    for k, rule in enumerate(spread):
        curve = spread[rule]
        assert (curve["runs"] == 7).all() and curve["quantiles"].shape == (3, len(curve["step"]))
        of_rule = runs.trace["one_minus_cos"][7 * k : 7 * k + 7]
        assert np.array_equal(curve["quantiles"][1], np.median(of_rule, axis=0), equal_nan=True)
    with pytest.raises(softstep.InvalidArgument, match="known: step, loss"):
        runs.spread("no")
    assert "runs: 14" in repr(runs) and "<table>" in runs._repr_html_() and runs.report().count("run ") >= 14
    assert len(runs[2:5]) == 3 and runs[-1].rule == "polyak"
    with pytest.raises(IndexError):
        runs[14]
    pandas = pytest.importorskip("pandas")
    table = runs.to_pandas()
    assert isinstance(table, pandas.DataFrame) and len(table) == runs.n_rows.sum()
    assert table[table["run"] == 9]["loss"].to_list() == runs[9].trace["loss"].tolist()


def test_plot(problems, limits):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    runs = softstep.train_many(problems, ["ngd", "polyak"] * 3 + ["ngd"], steps=[50] * 6 + [20], reference=limits)
    axes = runs.plot()
    assert [line.get_label() for line in axes.lines] == ["ngd", "polyak"] and len(axes.collections) == 2


def test_callbacks_hear_of_every_run_and_stop_theirs(problems):
    seen = {}
    runs = softstep.train_many(problems, steps=50, callback=lambda k, row: seen.setdefault(k, []).append(row["step"]) or (k != 2 or row["step"] < 5))
    assert sorted(seen) == list(range(7))
    assert runs.status.tolist() == ["max_iterations"] * 2 + ["interrupted"] + ["max_iterations"] * 4
    assert seen[2] == runs[2].trace["step"].tolist() and seen[2][-1] == 5
    counts = []
    softstep.train_many(problems, steps=50, progress=lambda done, n: counts.append((done, n)), n_threads=1)
    assert counts == [(k + 1, 7) for k in range(7)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("where", ["callback", "progress", "rule", "loss"])
def test_an_exception_of_ones_own_leaves(where, n_threads):
    def fail(*_):
        raise KeyError("mine")

    arguments = {"rule": "gd", where: fail}
    loss = "logistic"
    if where == "loss":
        loss = softstep.Loss(fail, fail, name="fails", is_decreasing=False)
        del arguments["loss"]
    began = time.monotonic()
    with pytest.raises(KeyError, match="mine"):
        made = [problem(seed, loss=loss, optimal_loss=0.0) for seed in range(4)]
        softstep.train_many(made, steps=[10, 10**9, 10**9, 10**9] if where == "progress" else 10**6, n_threads=n_threads, **arguments)
    assert time.monotonic() - began < 20


def test_a_source_stops_all(problems):
    source = softstep.StopSource()
    threading.Timer(0.1, source.stop).start()
    runs = softstep.train_many(problems * 3, "ngd", steps=10**9, stop=source)
    assert set(runs.status) <= {"interrupted", "not_run"} and not runs.keyboard_interrupt
    assert np.isnan(runs.last["loss"][runs.status == "not_run"]).all()
    # Whoever did not begin goes on from the start, and has no row yet.
    assert (runs.n_rows[runs.status == "not_run"] == 0).all()
    more = runs.resume(3)
    assert set(more.status) == {"max_iterations"} and (more.steps == 3).all()


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("long_runs", [1, 40])
def test_ctrl_c_stops_soon_and_keeps_the_traces(problems, n_threads, long_runs):
    """With one long run and two threads, the thread that sees signals may have nothing left to do."""
    many = [problems[k % 7] for k in range(40)]
    steps = [10**9] * long_runs + [10] * (40 - long_runs)
    runs, seconds = after_ctrl_c(lambda: softstep.train_many(many, "ngd", steps=steps, n_threads=n_threads), after=0.4)
    assert seconds < SOON
    assert runs.keyboard_interrupt and runs.status[0] == "interrupted" and runs.n_rows[0] > 10
    assert runs[0].keyboard_interrupt and (long_runs == 40 or set(runs.status[1:]) == {"max_iterations"})


def test_ctrl_c_in_code_of_ones_own(problems):
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def slow(context):
        time.sleep(0.001)
        return 1.0 / context.gradient_norm

    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    runs = softstep.train_many(problems, slow, steps=10**7, n_threads=1)
    assert runs.keyboard_interrupt and runs.status[0] == "interrupted"
    assert set(runs.status) <= {"interrupted", "not_run"}


def test_other_threads_of_python_go_on_meanwhile(problems):
    ticks, over = [], threading.Event()

    def tick():
        while not over.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=tick)
    thread.start()
    softstep.train_many(problems * 5, steps=10**7, max_seconds=0.02, n_threads=1)
    over.set()
    thread.join()
    # The GIL held throughout would leave two ticks: before and after.
    assert len(ticks) > 10


# Made when they are needed: what pytest keeps to its end looks like a leak.
@pytest.mark.parametrize(
    "argument, word, change",
    [
        ("problems", "none|empty", lambda: dict(problems=[])),
        ("problems", "str", lambda: dict(problems="text")),
        ("problems", "run 1|int", lambda: dict(problems=[problem(0), 3])),
        ("problems", "same shapes", lambda: dict(problems=[problem(0), softstep.generate(dim=5).problem()])),
        ("problems", "float32", lambda: dict(problems=[problem(0), softstep.generate(n_samples=N, n_tokens=T, dim=D).astype("f4").problem()])),
        ("rule", "rule.*3 entries|3 entries", lambda: dict(rule=["ngd"] * 3)),
        ("rule", "0 entries", lambda: dict(rule=[])),
        ("rule", "no-such.*run 1", lambda: dict(rule=["ngd", "no-such"])),
        ("rule", "int", lambda: dict(rule=3)),
        ("steps", "-1.*run 1", lambda: dict(steps=[1, -1])),
        ("steps", "2.5", lambda: dict(steps=2.5)),
        ("steps", "True", lambda: dict(steps=True)),
        ("start", "3 entries", lambda: dict(start=np.zeros((3, D, D)))),
        ("start", r"shape \(10, 11\) \(need \(10, 10\).*run 0", lambda: dict(start=np.zeros((2, D, D + 1)))),
        ("seed", "'x'", lambda: dict(seed="x", init_std=0.1)),
        ("seed", "3 entries", lambda: dict(seed=range(3), init_std=0.1)),
        ("init_std", "beside start", lambda: dict(start=np.zeros((D, D)), init_std=0.1)),
        ("states", "one", lambda: dict(states=softstep.train(problem(0), steps=1).state)),
        ("states", "NoneType|list", lambda: dict(states=[[], []])),
        ("reference", r"shape \(10, 11\) \(need \(10, 10\), that of weights\).*run 1", lambda: dict(reference=[np.eye(D), np.ones((D, D + 1))])),
        ("stop", "int", lambda: dict(stop=3)),
        ("n_threads", "-1", lambda: dict(n_threads=-1)),
        ("form", "other", lambda: dict(form="other")),
        ("batch_size", "99", lambda: dict(batch_size=99)),
        ("thresholds", "-1", lambda: dict(thresholds=[-1.0], reference=np.ones((D, D)))),
    ],
)
def test_wrong_arguments_are_named(argument, word, change):
    arguments = {"problems": [problem(0), problem(1)], "rule": "ngd", "steps": 5, **change()}
    with pytest.raises(softstep.InvalidArgument, match=word) as caught:
        softstep.train_many(arguments.pop("problems"), arguments.pop("rule"), **arguments)
    assert caught.value.argument == argument


def test_a_child_that_was_forked_makes_runs_too():
    program = """
import multiprocessing, softstep
problems = [softstep.generate(n_samples=6, n_tokens=8, dim=10, seed=seed).problem() for seed in range(20)]
def run(queue=None):
    found = softstep.train_many(problems, "ngd", steps=50, n_threads=2).weights
    return found if queue is None else queue.put(found)
here = run()
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=run, args=(queue,))
child.start()
there = queue.get(timeout=60)
child.join(60)
print((here == there).all())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "True", run.stdout + run.stderr


def test_compare_is_one_call_of_train_many(problems):
    compared = softstep.compare(problems, ["ngd", "polyak"], steps=50)
    assert compared.places == [k for k in range(7) for _ in range(2)]
    assert [r.rule for r in compared.results] == ["ngd", "polyak"] * 7
    assert {r.form for r in compared.results} == {"query-span"}
    rows = []
    mixed = [problems[0], softstep.generate(n_samples=4, n_tokens=3, dim=5).astype("f4").problem(), problem(3, train_decoder=True)]
    found = softstep.compare(mixed, ["ngd"], steps=5, callback=rows.append, init_std=0.1)
    assert found.places == [0, 1, 2] and len(rows) == sum(len(r.trace["step"]) for r in found.results)
    assert np.isnan(softstep.compare(problems[0], ["ngd"], steps=5, reference=None).results[0].last["one_minus_cos"])
    with pytest.raises(TypeError, match="colour"):
        softstep.compare(problems[0], colour="red")


def test_compare_and_sweep_take_one_rule_or_several(problems):
    compare = lambda rules: softstep.compare(problems[:2], rules, steps=5)
    ngd = compare(["ngd"]).medians()
    assert compare("ngd").medians() == ngd and compare(softstep.Rule("ngd")).medians() == ngd
    assert compare(rule for rule in ("ngd", "gd")).medians().keys() == {"ngd", "gd"}
    assert list(compare(lambda c: 0.1 / c.gradient_norm).medians()) == ["lambda"]
    for rules, words in (([], "empty"), (3, "int")):
        with pytest.raises(softstep.InvalidArgument, match=f"^rules: {words}") as caught:
            compare(rules)
        assert caught.value.argument == "rules"
    # Medians of two rules under one name would be those of neither.
    both = compare([lambda c: 0.1 / c.gradient_norm, lambda c: 0.2 / c.gradient_norm])
    assert len(both.results) == 4 and len(both.table) == 4
    with pytest.raises(softstep.InvalidArgument, match='^rules: several are called "lambda"'):
        both.medians()

    sweep = lambda rules, sizes=(0.1, 1.0): softstep.sweep(problems[0], rules, options_by_name={"step_size": sizes}, steps=5)
    halved = ["ngd:schedule-power=0.5,step-size=0.1", "ngd:schedule-power=0.5,step-size=1.0"]
    assert list(sweep("ngd:schedule-power=0.5").medians()) == halved
    assert list(sweep([softstep.Rule("ngd", schedule_power=0.5)]).medians()) == halved
    with pytest.raises(softstep.InvalidArgument, match="^options_by_name: step_size: 0.1 "):
        sweep("ngd", 0.1)
    with pytest.raises(softstep.InvalidArgument, match="^rules: lambda has no options"):
        sweep(lambda c: 0.1)
