"""min ||W|| subject to <A_k, W> >= 1 by one method, from the data file to W: prints {"seconds", "norm", "margin"} as JSON.

    solver_worker.py METHOD DATA

A_k = (x_i,opt - x_it) z_i^T. The primal has d^2 variables and one vectorised constraint; the dual has one variable a constraint,
    min 1/2 lambda^T K lambda - sum lambda, lambda >= 0,   K = A A^T,   W = A^T lambda,
with K as the Hadamard product of two small Gram matrices. The dual is the best that a peer can be given: it is the algebra that
softstep uses too.
"""
import json
import sys
import time

import numpy as np
from safetensors.numpy import load_file


class Constraints:
    def __init__(self, file: str):
        tensors = load_file(file)
        x = tensors["tokens"].astype(np.float64)
        z = tensors["queries"].astype(np.float64) if "queries" in tensors else x[:, 0, :]
        gamma = tensors["labels"][:, None] * (x @ tensors["decoder"].astype(np.float64))
        best = gamma.argmax(axis=1)
        others = np.arange(x.shape[1])[None, :] != best[:, None]
        difference = x[np.arange(len(x)), best][:, None, :] - x
        self.d_rows = difference[others]  # [N, d]
        self.z_rows = np.repeat(z, others.sum(axis=1), axis=0)
        self.shape = (len(self.d_rows), x.shape[2] ** 2)

    def dense(self) -> np.ndarray:
        return np.einsum("ka,kb->kab", self.d_rows, self.z_rows).reshape(self.shape)

    def gram(self) -> np.ndarray:
        return (self.d_rows @ self.d_rows.T) * (self.z_rows @ self.z_rows.T)

    def combine(self, multipliers: np.ndarray) -> np.ndarray:
        return (self.d_rows * multipliers[:, None]).T @ self.z_rows

    def values(self, w: np.ndarray) -> np.ndarray:
        return np.vecdot(self.d_rows @ w, self.z_rows)


CVXPY = {
    "clarabel": dict(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10),
    "osqp": dict(solver="OSQP", eps_abs=1e-9, eps_rel=1e-9, max_iter=200_000, polishing=True),
    "scs": dict(solver="SCS", eps_abs=1e-9, eps_rel=1e-9, max_iters=200_000),
}


def primal(c: Constraints, solver: str) -> np.ndarray:
    import cvxpy as cp
    w = cp.Variable(c.shape[1])
    cp.Problem(cp.Minimize(cp.sum_squares(w)), [c.dense() @ w >= 1]).solve(**CVXPY[solver])
    side = round(c.shape[1] ** 0.5)
    return w.value.reshape(side, side)


def dual(c: Constraints, solver: str) -> np.ndarray:
    import cvxpy as cp
    multipliers = cp.Variable(c.shape[0])
    quadratic = cp.quad_form(multipliers, cp.psd_wrap(c.gram()))
    cp.Problem(cp.Minimize(quadratic / 2 - cp.sum(multipliers)), [multipliers >= 0]).solve(**CVXPY[solver])
    return c.combine(multipliers.value)


def both_signs(c: Constraints) -> np.ndarray:
    """Labels of half the constraints turned round: two classes, and the intercept has nothing to separate."""
    return np.where(np.arange(c.shape[0]) % 2 == 0, 1.0, -1.0)


def svc(c: Constraints) -> np.ndarray:
    """libsvm has an intercept: rows A_k with +1 and -A_k with -1 make it 0."""
    from sklearn.svm import SVC
    k = c.gram()
    doubled = np.block([[k, -k], [-k, k]])
    model = SVC(C=1e10, kernel="precomputed", tol=1e-9, cache_size=1000)
    model.fit(doubled, np.repeat([1, -1], c.shape[0]))
    signed = np.zeros(2 * c.shape[0])
    signed[model.support_] = model.dual_coef_[0]
    return c.combine(signed[:c.shape[0]] - signed[c.shape[0]:])


def linear_svc(c: Constraints) -> np.ndarray:
    from sklearn.svm import LinearSVC
    sign = both_signs(c)
    model = LinearSVC(C=1e6, loss="hinge", fit_intercept=False, tol=1e-9, max_iter=20_000)
    model.fit(c.dense() * sign[:, None], sign)
    side = round(c.shape[1] ** 0.5)
    return model.coef_.reshape(side, side)


def nnls(c: Constraints) -> np.ndarray:
    """min ||[A^T; 1^T] lambda - e_last|| over lambda >= 0 with R in place of A^T, K = R^T R: as long, and short."""
    from scipy.linalg import LinAlgError, cholesky, eigh
    from scipy.optimize import nnls as lawson_hanson
    k = c.gram()
    try:
        r = cholesky(k)
    except LinAlgError:  # singular
        values, vectors = eigh(k)
        r = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    system = np.vstack([r, np.ones(c.shape[0])])
    right = np.zeros(len(system))
    right[-1] = 1
    multipliers, _ = lawson_hanson(system, right, maxiter=30 * c.shape[0])
    return c.combine(multipliers)


METHODS = {f"cvxpy-{form.__name__}-{solver}": (lambda c, form=form, solver=solver: form(c, solver))
           for form in (primal, dual) for solver in CVXPY}
METHODS |= {"sklearn-svc-dual": svc, "sklearn-linear-svc-primal": linear_svc, "scipy-nnls-dual": nnls}
REPEATED = 3.0  # seconds up to which a method is timed again, the median counts


def main() -> None:
    method, file = METHODS[sys.argv[1]], sys.argv[2]
    import cvxpy, sklearn.svm, scipy.optimize  # noqa: E401, F401  loading them is not timed
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < REPEATED:
        start = time.perf_counter()
        constraints = Constraints(file)
        w = method(constraints)
        seconds.append(time.perf_counter() - start)
    values = constraints.values(w)
    norm = float(np.linalg.norm(w))
    print(json.dumps({"seconds": sorted(seconds)[len(seconds) // 2], "runs": len(seconds), "margin": float(values.min()) / norm,
                      "norm": norm / float(values.min())}))


main()
