"""Every number and text that is passed to a function: what cannot be taken is told by the name of the argument."""

import types

import numpy as np
import pytest

import softstep

PROBLEM = softstep.generate(n_samples=3, n_tokens=2, dim=8, seed=0).problem()


class Own(softstep.StepRule):
    name = "own"

    def propose(self, context):
        return 0.1


WRONG = [
    ("seed", lambda v: softstep.generate(seed=v), (-1, 1.5, "1", 2**64, True)),
    ("n_samples", lambda v: softstep.generate(n_samples=v), (-1, 1.0, None)),
    ("signal", lambda v: softstep.generate(signal=v), ("1", None, [1, 2])),
    ("generator", lambda v: softstep.generate(v), (None, 3)),
    ("steps", lambda v: softstep.train(PROBLEM, steps=v), (-1, 1.5)),
    ("batch_size", lambda v: softstep.train(PROBLEM, steps=1, batch_size=v), (-1, 1.5, 2**64)),
    ("batch_seed", lambda v: softstep.train(PROBLEM, steps=1, batch_seed=v), (-1,)),
    ("seed", lambda v: softstep.train(PROBLEM, steps=1, init_std=0.1, seed=v), (-1, 0.5)),
    ("init_std", lambda v: softstep.train(PROBLEM, steps=1, init_std=v), ("1", -1, float("nan"), 1e308)),
    ("init_std", lambda v: softstep.train_many(PROBLEM, steps=1, init_std=v), (-1,)),
    ("max_seconds", lambda v: softstep.train(PROBLEM, steps=1, max_seconds=v), ("1", None)),
    ("thresholds", lambda v: softstep.train(PROBLEM, steps=1, thresholds=v), (1, "0.1", ["0.1"])),
    ("form", lambda v: softstep.train(PROBLEM, steps=1, form=v), (3, None)),
    ("trace_rows_per_decade", lambda v: softstep.train(PROBLEM, steps=1, trace_rows_per_decade=v), (-3, 0.5)),
    ("seed", lambda v: softstep.train_many(PROBLEM, "ngd", steps=1, init_std=0.1, seed=v), ([1, -1],)),
    ("n_threads", lambda v: softstep.train_many(PROBLEM, "ngd", steps=1, n_threads=v), (-1, 2**31)),
    ("tolerance", lambda v: softstep.solve_max_margin(PROBLEM, tolerance=v), ("x",)),
    ("max_sweeps", lambda v: softstep.solve_max_margin(PROBLEM, max_sweeps=v), (-1, 1.5)),
    ("n_threads", lambda v: softstep.solve_linear_max_margin([[1.0]], [1], n_threads=v), (-1, 2**40)),
    ("norm", lambda v: softstep.solve_max_margin(PROBLEM, norm=v), (2, None)),
    ("p", lambda v: softstep.solve_max_margin(PROBLEM, norm="lp", p=v), ("two",)),
    ("n_classes", lambda v: softstep.class_clouds(n_classes=v), (-1,)),
    ("n_contexts", lambda v: softstep.next_token_example(n_contexts=v, vocabulary=3, dim=3, support_size=1), (-1, 2.0)),
    ("length", lambda v: softstep.induction_data(n_samples=1, length=v), (-1,)),
    ("rank", lambda v: softstep.Problem(np.ones((1, 2, 2)), [1], np.ones(2), key_query="factored", rank=v), (-1, 1.0)),
    ("n_neurons", lambda v: softstep.ReluNetwork([[1.0]], [1], n_neurons=v), (-1, 1.5)),
    ("n_examples", lambda v: softstep.InContextRegression([1.0], v), (-1, 1.5)),
    ("optimal_loss", lambda v: softstep.ReluNetwork([[1.0]], [1], n_neurons=1, optimal_loss=v), ("low",)),
    ("step_size", lambda v: softstep.Rule("ngd", step_size=v), ("big", None)),
    ("before", lambda v: softstep.attention(*np.ones((3, 1, 1, 2, 4)), before=v), (-1, 1.5)),
    ("scale", lambda v: softstep.attention(*np.ones((3, 1, 1, 2, 4)), scale=v), ("1",)),
]


@pytest.mark.parametrize("name, call, value", [(name, call, value) for name, call, values in WRONG for value in values])
def test_what_cannot_be_taken_is_named(name, call, value):
    with pytest.raises(softstep.InvalidArgument) as caught:
        call(value)
    assert caught.value.argument == name and str(caught.value).startswith(f"{name}: ")


def test_numbers_of_numpy_are_numbers():
    train = lambda **more: softstep.train(PROBLEM, "ngd", reference=np.eye(8), **more).weights
    ours = train(steps=5, batch_size=2, batch_seed=7, init_std=0.5, seed=3, thresholds=[0.5])
    theirs = train(
        steps=np.int64(5),
        batch_size=np.uint8(2),
        batch_seed=np.int32(7),
        init_std=np.float32(0.5),
        seed=np.uint64(3),
        thresholds=np.array([0.5]),
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "attribute, value", [("memory", ["momentum"]), ("memory", {"m": -1}), ("memory", {"m": 1.5}), ("memory", {3: 1}), ("name", 3)]
)
def test_a_rule_that_describes_itself_wrongly_is_told_so(attribute, value):
    rule = type("Wrong", (Own,), {attribute: value})()
    with pytest.raises(softstep.InvalidArgument, match=attribute) as caught:
        softstep.train(PROBLEM, rule, steps=1)
    assert caught.value.argument == "rule"


def test_a_memory_is_any_mapping_and_a_flag_any_truth():
    class Counting(Own):
        needs_loss_gap = np.True_
        memory = types.MappingProxyType({"count": np.int64(1)})

        def propose(self, context):
            assert context.loss_gap is not None
            context.next["count"] = np.array([context.memory["count"][0] + 1.0 if context.memory else 1.0])
            return 0.1

    assert softstep.train(PROBLEM, Counting(), steps=3).status == "max_iterations"


@pytest.mark.parametrize("reference", [None, np.zeros((8, 8)), np.full((8, 8), np.nan)])
def test_a_reference_that_is_none_is_told_by_the_name_that_train_has(reference):
    for run in (softstep.train, softstep.train_many):
        with pytest.raises(softstep.InvalidArgument, match="^reference: ") as caught:
            run(PROBLEM, "ngd", steps=1, reference=reference, thresholds=[0.5])
        assert caught.value.argument == "reference"


def masked(*shape):
    made = np.ma.masked_array(np.ones(shape), mask=False)
    made[(0,) * len(shape)] = np.ma.masked
    return made


SAMPLES, HEADS = np.ones((2, 3, 4)), np.ones((1, 1, 4, 4))
MASKED = [
    ("tokens", lambda: softstep.Problem(masked(2, 3, 4), [1, -1], np.ones(4))),
    ("tokens", lambda: softstep.Problem([masked(3, 4), np.ones((2, 4))], [1, -1], np.ones(4))),
    ("labels", lambda: softstep.Problem(SAMPLES, masked(2), np.ones(4))),
    ("decoder", lambda: softstep.Problem(SAMPLES, [1, -1], masked(4))),
    ("points", lambda: softstep.LinearModel(masked(2, 4), [1, -1])),
    ("points", lambda: softstep.solve_linear_max_margin(masked(2, 4), [1, -1])),
    ("start", lambda: softstep.train(PROBLEM, steps=1, start=masked(8, 8))),
    ("reference", lambda: softstep.train(PROBLEM, steps=1, reference=masked(8, 8))),
    ("W", lambda: PROBLEM.margin(masked(8, 8))),
    ("W", lambda: PROBLEM.certified_share(masked(8, 8))),
    ("keys", lambda: softstep.attention(HEADS, masked(1, 1, 4, 4), HEADS)),
    ("values", lambda: softstep.linear_attention(HEADS, HEADS, masked(1, 1, 4, 4))),
]


@pytest.mark.parametrize("name, call", MASKED)
def test_masked_entries_are_refused(name, call):
    with pytest.raises(softstep.InvalidArgument, match="masked") as caught:
        call()
    assert caught.value.argument == name


def test_a_masked_array_without_masked_entries_is_an_array():
    assert PROBLEM.margin(np.ma.masked_array(np.eye(8), mask=False)) == PROBLEM.margin(np.eye(8))


@pytest.mark.parametrize("name", ["a", "w_star"])
def test_the_task_of_an_induction_head_takes_numbers(name):
    model = softstep.InductionHead(*softstep.induction_data(n_samples=3, length=5))
    with pytest.raises(softstep.InvalidArgument) as caught:
        model.parts([1.0, 1.0, 1.0, 1.0], **{"a": 1.0, "w_star": 1.0, name: "1"})
    assert caught.value.argument == name
