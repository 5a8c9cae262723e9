"""Runs that keep states of themselves in a folder, and go on from there."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import softstep


@pytest.fixture(scope="module")
def problem():
    return softstep.generate(seed=0).problem()


class Halves(softstep.StepRule):
    name, memory = "halves", {"mean": 0}

    def propose(self, context):
        before = context.memory.get("mean", np.zeros(context.gradient.size))
        context.next["mean"] = 0.5 * before + context.gradient.ravel() / context.gradient_norm
        return 0.1 * context.next["mean"].reshape(context.gradient.shape)


@pytest.mark.parametrize("rule", ["polyak", "adam", Halves()])
@pytest.mark.parametrize("options", [{}, {"batch_size": 3, "batch_seed": 2}], ids=["whole", "batches"])
def test_the_same_call_goes_on_with_the_same_bits(problem, tmp_path, rule, options):
    whole = softstep.train(problem, rule, steps=700, **options)
    kept = dict(checkpoints=tmp_path / "run", checkpoint_steps=100, **options)
    half = softstep.train(problem, rule, steps=350, **kept)
    assert half.steps == 350 and len(os.listdir(tmp_path / "run")) >= 3
    rest = softstep.train(problem, rule, steps=700, **kept)
    assert (rest.weights == whole.weights).all() and rest.steps == 350 and rest.trace["step"][0] == 350
    assert softstep.train(problem, rule, steps=700, **kept).steps == 0
    assert rest.resume(5).steps == 5


RUN = """
import softstep, sys
problem = softstep.generate(seed=0).problem()
print("ready", flush=True)
result = softstep.train(problem, "adam", steps=40000, checkpoints=sys.argv[1], checkpoint_steps=500)
print(result.weights.tobytes().hex())
"""


def test_a_killed_run_loses_nothing(problem, tmp_path):
    """Five kills at moments of their own, then a run that ends."""
    command, folder = [sys.executable, "-c", RUN, str(tmp_path / "run")], tmp_path / "run"
    for after in (0.0, 0.02, 0.05, 0.1, 0.15):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            run.stdout.readline()
            time.sleep(after)
            run.send_signal(signal.SIGKILL)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    whole = softstep.train(problem, "adam", steps=40000)
    assert done.stdout.split()[-1] == whole.weights.tobytes().hex()
    assert len([name for name in os.listdir(folder) if name.endswith(".safetensors")]) == 3


def test_ctrl_c_leaves_a_checkpoint(problem, tmp_path):
    stop = lambda row: row["step"] < 50  # noqa: E731
    result = softstep.train(problem, "ngd", steps=10**6, callback=stop, checkpoints=tmp_path / "run", checkpoint_seconds=1e9)
    assert result.status == "interrupted"
    kept = softstep.Checkpoints(str(tmp_path / "run"))
    assert len(kept.files) == 1


def test_a_damaged_checkpoint_is_passed_over(problem, tmp_path):
    arguments = dict(checkpoints=tmp_path / "run", checkpoint_steps=10)
    softstep.train(problem, "ngd", steps=30, **arguments)
    newest = sorted((tmp_path / "run").glob("*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="passed over"):
        result = softstep.train(problem, "ngd", steps=60, **arguments)
    assert result.steps == 40 and (result.weights == softstep.train(problem, "ngd", steps=60).weights).all()
    for path in (tmp_path / "run").glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(softstep.BadFile):
        softstep.train(problem, "ngd", steps=60, **arguments)


def test_a_disk_that_fails_is_a_warning(problem, tmp_path):
    kept = softstep.Checkpoints(str(tmp_path / "run"), keep=2)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match="run"):
        result = softstep.train(problem, "ngd", steps=30, checkpoints=kept, checkpoint_steps=10)
    assert result.status == "max_iterations" and result.steps == 30


def test_one_run_at_a_time_has_a_folder(problem, tmp_path):
    kept = softstep.Checkpoints(str(tmp_path / "run"), keep=2)
    with pytest.raises(softstep.InvalidArgument, match="in use"):
        softstep.train(problem, "ngd", steps=3, checkpoints=tmp_path / "run")
    assert softstep.train(problem, "ngd", steps=30, checkpoints=kept, checkpoint_steps=10).steps == 30
    assert len(kept.files) == 2
    with pytest.raises(softstep.InvalidArgument, match="ngd"):
        softstep.train(problem, "polyak", steps=3, checkpoints=kept)
    ahead = softstep.train(problem, "ngd", steps=50).state
    with pytest.raises(softstep.InvalidArgument, match="before that of the state given"):
        softstep.train(problem, "ngd", steps=3, state=ahead, checkpoints=kept)


@pytest.mark.parametrize(
    "argument, options",
    [
        ("checkpoint_steps", dict(checkpoint_steps=5)),
        ("checkpoint_seconds", dict(checkpoint_seconds=5.0)),
        ("checkpoint_steps", dict(checkpoints="run", checkpoint_steps=-1)),
        ("checkpoint_seconds", dict(checkpoints="run", checkpoint_seconds=0.0)),
        ("checkpoint_seconds", dict(checkpoints="run", checkpoint_seconds=float("nan"))),
    ],
)
def test_a_wrong_schedule_is_named(problem, tmp_path, monkeypatch, argument, options):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(softstep.InvalidArgument) as caught:
        softstep.train(problem, "ngd", steps=3, **options)
    assert caught.value.argument == argument
    with pytest.raises(softstep.InvalidArgument, match="keep"):
        softstep.Checkpoints("run", keep=0)
