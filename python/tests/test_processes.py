"""softstep beside PyTorch's and scikit-learn's OpenMP in one process: threads, and children that were forked."""

import itertools
import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest

import softstep


def problem(n_threads=2):
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(400) % 2, 1, -1).astype(np.int8)
    return softstep.Problem(rng.normal(size=(400, 16, 32)), labels, rng.normal(size=32), n_threads=n_threads)


W = np.random.default_rng(1).normal(size=(32, 32))


def _in_child(queue):
    queue.put(problem().value_and_grad(W))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_child_computes_what_its_parent_does(start):
    value, gradient = problem().value_and_grad(W)  # the parent has used its threads before it forks
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    try:
        found = queue.get(timeout=60)
    except Exception:
        child.kill()
        raise
    finally:
        child.join(60)
    assert found[0] == value and np.array_equal(found[1], gradient)


def test_threads_of_python():
    made = problem()
    value, gradient = made.value_and_grad(W)
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = made.value_and_grad(W)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(v == value and np.array_equal(g, gradient) for v, g in found)


@pytest.mark.parametrize("order", list(itertools.permutations(("softstep", "torch", "sklearn"))))
def test_three_openmp_runtimes_in_one_process(order):
    """Each library computes with its threads, one after the other and at once, in threads of Python's own."""
    pytest.importorskip("torch"), pytest.importorskip("sklearn")
    program = f"""
import importlib, threading, numpy as np
for name in {order!r}: importlib.import_module(name)
import softstep, torch
from sklearn.ensemble import HistGradientBoostingClassifier
rng = np.random.default_rng(0)
labels = np.where(np.arange(400) % 2, 1, -1).astype(np.int8)
x, u, w = rng.normal(size=(400, 16, 32)), rng.normal(size=32), rng.normal(size=(32, 32))
problems = [softstep.Problem(x, labels, u, n_threads=n) for n in (1, 2)]
one = problems[0].value_and_grad(w)
trained = softstep.train(problems[0], "ngd", steps=20).weights
wrong = []
def ours():
    two = problems[1].value_and_grad(w)
    if not (one[0] == two[0] and (one[1] == two[1]).all()): wrong.append("gradient")
    if not (softstep.train(problems[1], "ngd", steps=20).weights == trained).all(): wrong.append("run")
def theirs():
    a = torch.randn(300, 300, dtype=torch.float64)
    if not torch.isfinite(a @ a).all(): wrong.append("torch")
def others():
    HistGradientBoostingClassifier(max_iter=2).fit(x[:, 0], labels)
for _ in range(3):
    ours(), theirs(), others()
threads = [threading.Thread(target=f) for f in (ours, theirs, others) * 2]
for t in threads: t.start()
for t in threads: t.join()
print(wrong or "done")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0 and run.stdout.strip() == "done", run.stdout + run.stderr


def test_importing_softstep_imports_no_framework():
    program = "import sys, softstep; print([m for m in ('torch', 'jax', 'scipy', 'sklearn', 'optax') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


@pytest.mark.parametrize("first", ["", "import softstep"])
def test_a_subinterpreter_is_refused_and_the_main_one_goes_on(first):
    program = f"""
{first}
try: import _interpreters as i
except ImportError: import _xxsubinterpreters as i
try:
    failure = i.run_string(i.create(), "import softstep")  # from 3.13 on it is returned
except i.RunFailedError as e:
    failure = e
print(failure)
import softstep
print(softstep.generate(seed=0).problem().metrics)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "softstep cannot be imported in a subinterpreter" in run.stdout, run.stdout + run.stderr
