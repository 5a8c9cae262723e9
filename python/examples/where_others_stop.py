"""README's table "Where others stop", from Python: softstep beside what PyTorch, JAX and optax compute themselves.

    python python/examples/where_others_stop.py [--steps 10000]

PyTorch and JAX differentiate the formula as it is written, p = softmax(X W z), in float32 and float64. "torch" takes the steps
with a plain PyTorch optimizer, "optax" with optax's own (normalize_by_update_norm; scale_by_polyak). Columns of packages that
are not installed are left out. "torch, ours" is PyTorch's parameter, moved by softstep.torch with the scaled gradient.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import softstep

MARKS = (10, 30, 100, 300, 1000, 3000, 10000)
Column = Callable[[str, str], Iterator[Any]]  # rule, dtype -> W after each step


def softstep_runs(data: Any) -> Column:
    def run(rule: str, dtype: str) -> Iterator[Any]:
        problem = data.astype(dtype).problem()
        w = problem.zeros()
        for t in range(MARKS[-1]):
            found = problem.evaluate(w)
            g = found.gradient
            log_length = -g.log() if rule == "ngd" else found.loss_gap.log() - math.log(2) - 2 * g.log()
            w = w - np.asarray(g.mantissa * math.exp(g.exponent + log_length), dtype=dtype)
            yield w

    return run


def torch_runs(data: Any) -> dict[str, Column]:
    import torch

    import softstep.torch as st

    def best(gamma: Any) -> Any:
        return torch.nn.functional.softplus(-gamma.max(1).values).mean()

    def run(rule: str, dtype: str) -> Iterator[Any]:
        x, u, y = (torch.from_numpy(np.asarray(a)).to(getattr(torch, dtype)) for a in (data.tokens, data.decoder, data.labels))
        z = x[:, 0]
        gamma = y[:, None] * (x @ u)
        w = torch.zeros(x.shape[2], x.shape[2], dtype=x.dtype, requires_grad=True)
        optimal = best(gamma)
        for _ in range(MARKS[-1]):
            p = torch.softmax((x @ (z @ w.T)[:, :, None])[..., 0], -1)
            loss = torch.nn.functional.softplus(-(p * gamma).sum(1)).mean()
            (g,) = torch.autograd.grad(loss, w)
            with torch.no_grad():
                w -= g / g.norm() if rule == "ngd" else (loss - optimal) / (2 * g.square().sum()) * g
            yield w.detach().numpy()

    def ours(rule: str, dtype: str) -> Iterator[Any]:
        problem = data.astype(dtype).problem()
        w = torch.nn.Parameter(torch.zeros(problem.dim, problem.dim, dtype=getattr(torch, dtype)))
        optimizer = st.NGD([w]) if rule == "ngd" else st.Polyak([w])
        for _ in range(MARKS[-1]):
            optimizer.step(lambda: st.scaled_backward(problem, w))
            yield w.detach().numpy()

    return {"torch, ours": ours, "torch": run}


def optax_runs(data: Any) -> Column:
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", True)

    def run(rule: str, dtype: str) -> Iterator[Any]:
        x, u, y = (jnp.asarray(a, dtype=dtype) for a in (data.tokens, data.decoder, data.labels))
        z, gamma = x[:, 0], y[:, None] * (x @ u)
        optimal = jax.nn.softplus(-gamma.max(1)).mean()

        def objective(w: Any) -> Any:
            p = jax.nn.softmax(jnp.einsum("ntd,nd->nt", x, z @ w.T), -1)
            return jax.nn.softplus(-(p * gamma).sum(1)).mean()

        # optax adds 1e-6 to the norm. Its Polyak step is given L - L* and no cap; it stands still once |G|^2 is below the
        # root of the rounding unit.
        rules = {
            "ngd": optax.chain(optax.normalize_by_update_norm(), optax.scale(-1.0)),
            "polyak": optax.chain(optax.scale_by_polyak(max_learning_rate=math.inf), optax.scale(-0.5)),
        }
        chosen = rules[rule]

        @jax.jit
        def step(w: Any, state: Any) -> Any:
            value, g = jax.value_and_grad(objective)(w)
            more = {"value": value - optimal} if rule == "polyak" else {}
            updates, state = chosen.update(g, state, w, **more)
            return optax.apply_updates(w, updates), state

        w = jnp.zeros((x.shape[2], x.shape[2]), dtype=dtype)
        state = chosen.init(w)
        for _ in range(MARKS[-1]):
            w, state = step(w, state)
            yield w

    return run


def columns_of(data: Any) -> dict[str, Column]:
    made = {"softstep": softstep_runs(data)}
    try:
        made |= torch_runs(data)
    except ImportError:
        pass
    try:
        import jax  # noqa: F401
        import optax  # noqa: F401

        made["optax"] = optax_runs(data)
    except ImportError:
        pass
    return made


def table(steps: int = MARKS[-1]) -> dict[tuple[str, str, str], dict[int, float]]:
    """1 - cos(W, W_mm) by (rule, column, dtype) and step; NaN where W is not finite."""
    data = softstep.generate("signal_noise", n_samples=10, n_tokens=6, dim=60, seed=0)
    limit = np.asarray(softstep.solve_max_margin(data.problem()).weights, dtype=np.float64)
    limit = limit / np.linalg.norm(limit)
    made: dict[tuple[str, str, str], dict[int, float]] = {}
    for rule in ("ngd", "polyak"):
        for name, run in columns_of(data).items():
            for dtype in ("float32", "float64"):
                column = made[rule, name, dtype] = {}
                for t, w in enumerate(run(rule, dtype), 1):
                    if t in MARKS:
                        w64 = np.asarray(w, dtype=np.float64)
                        unit = w64 / np.linalg.norm(w64)
                        # |a - b|^2 / 2, which does not cancel.
                        column[t] = 0.5 * float(np.sum((unit - limit) ** 2)) if np.isfinite(unit).all() else math.nan
                    if t == steps:
                        break
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=MARKS[-1])
    steps = parser.parse_args().steps
    with np.errstate(all="ignore"):
        made = table(steps)
    names = list(dict.fromkeys((name, dtype) for _, name, dtype in made))
    print("| rule | step | " + " | ".join(f"{name} f{dtype[5:]}" for name, dtype in names) + " |")
    print("|---|--:|" + "--:|" * len(names))
    for rule in ("ngd", "polyak"):
        for t in (t for t in MARKS if t <= steps):
            cells = [made[rule, name, dtype][t] for name, dtype in names]
            print(f"| {rule} | {t} | " + " | ".join("NaN" if math.isnan(c) else f"{c:.1e}" for c in cells) + " |")


if __name__ == "__main__":
    main()
