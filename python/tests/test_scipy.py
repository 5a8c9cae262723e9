"""softstep.scipy: derivatives, and solvers that run on it."""

import numpy as np
import pytest

pytest.importorskip("scipy")
from scipy.optimize import approx_fprime, minimize  # noqa: E402

import softstep  # noqa: E402
import softstep.scipy as ss  # noqa: E402


def problem(**options):
    rng = np.random.default_rng(0)
    options.setdefault("decoder", rng.normal(size=6))
    return softstep.Problem(rng.normal(size=(8, 4, 6)), np.array([1, -1] * 4, dtype=np.int8), **options)


CASES = [{}, {"key_query": "factored", "rank": 2}, {"decoder": None, "train_decoder": True}]


@pytest.mark.parametrize("log_gap", [False, True])
@pytest.mark.parametrize("options", CASES)
def test_derivatives(options, log_gap):
    o = ss.objective(problem(**options), log_gap=log_gap)
    rng = np.random.default_rng(1)
    x, p = rng.normal(size=o.size), rng.normal(size=o.size)
    # Forward and central differences with h = 1e-6: an error of about h, and of u/h = 1e-10 beside values near 1.
    assert np.abs(o.jac(x) - approx_fprime(x, o.fun, 1e-6)).max() <= 1e-4
    difference = (o.jac(x + 1e-6 * p) - o.jac(x - 1e-6 * p)) / 2e-6
    assert np.abs(o.hessp(x, p) - difference).max() <= 1e-7
    assert np.array_equal(o.flat(o.blocks(x)), x)
    with pytest.raises(ValueError, match="x:"):
        o.fun(x[:-1])


@pytest.mark.parametrize("method", ["Newton-CG", "trust-krylov", "L-BFGS-B"])
def test_solvers(method):
    o = ss.objective(problem())
    hessp = {} if method == "L-BFGS-B" else {"hessp": o.hessp}
    found = minimize(o.fun, o.zeros() + 1e-3, jac=o.jac, method=method, options={"maxiter": 50}, **hessp)
    assert found.fun < o.fun(o.zeros())
    assert found.fun - o.problem.optimal_loss < 1e-3


def test_log_gap_goes_on_where_the_plain_loss_stops():
    made = softstep.generate(seed=0).problem()
    plain, log = (ss.objective(made, log_gap=x) for x in (False, True))
    a = minimize(plain.fun, plain.zeros(), jac=plain.jac, method="L-BFGS-B", options={"maxiter": 200})
    b = minimize(log.fun, log.zeros(), jac=log.jac, method="L-BFGS-B", options={"maxiter": 200})
    assert log.fun(b.x) < log.fun(a.x) - 50.0
