"""What a call from Python costs beside the kernel: softstep, PyTorch and JAX on problems so small that the call is all there is.

    python python/benchmarks/call_overhead.py

Each figure is the median of 15 runs, in microseconds a call; all calls take turns. Before the clock starts, answers are compared:
`value_and_grad` with the finite differences of its own value, attention with the softmax written in NumPy. The kernel of
`value_and_grad` is what the library takes when it is called from C++ with the same arrays, in a loop of as many calls.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

import softstep

ROUNDS = 15


def verify(name: str, found: Any, wanted: Any, bound: float) -> None:
    """Stops where `found` is further from `wanted` than `bound` times the largest entry; NaN is."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if not np.abs(found - wanted).max() <= bound * np.abs(wanted).max():
        raise SystemExit(f"{name}: wrong answer, {found} (need {wanted})")


class Table:
    """Calls to be timed in turns."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Callable[[], float]]] = []

    def add(self, name: str, call: Callable[[], Any], number: int = 2000) -> None:
        call()
        self._rows.append((name, lambda: timeit.timeit(call, number=number) / number))

    def add_seconds(self, name: str, seconds: Callable[[], float]) -> None:
        """What measures itself: seconds a call."""
        self._rows.append((name, seconds))

    def medians(self) -> dict[str, float]:
        """Microseconds a call, by name."""
        rounds = [[seconds() for _, seconds in self._rows] for _ in range(ROUNDS)]
        return {name: 1e6 * statistics.median(row[i] for row in rounds) for i, (name, _) in enumerate(self._rows)}


def problem(n: int, d: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(n) % 2, 1, -1).astype(np.int8)
    made = softstep.Problem(rng.normal(size=(n, 2, d)), labels, rng.normal(size=d))
    return made, np.zeros((d, d)), np.empty((d, d))


def verify_gradient(p: Any, w: Any, out: Any) -> None:
    """Central differences of step h are off by h^2 / 6 times the third derivative and by u |L| / h from rounding: with h = 1e-5, and
    derivatives of order 1 on these data, 1e-10 is ten times as much."""
    h, wanted = 1e-5, np.empty_like(w)
    for i in np.ndindex(w.shape):
        e = np.zeros_like(w)
        e[i] = h
        wanted[i] = (p.value_and_grad(w + e)[0] - p.value_and_grad(w - e)[0]) / (2 * h)
    p.value_and_grad(w, out)
    if not np.abs(out - wanted).max() <= 1e-10:
        raise SystemExit(f"value_and_grad: wrong gradient, {out} (need {wanted})")


def call_name(n: int) -> str:
    return f"softstep value_and_grad, {n} samples of 2 x 4, out given"


def kernel_name(n: int) -> str:
    return f"  the kernel alone, {n} samples"


def add_layer(table: Table, n: int) -> None:
    p, w, out = problem(n)
    verify_gradient(p, w, out)
    number = 20000
    table.add(call_name(n), lambda: p.value_and_grad(w, out), number)
    table.add_seconds(kernel_name(n), lambda: p._kernel_seconds(w, number))


def softmax_attention(q: Any) -> Any:
    scores = q @ np.swapaxes(q, -1, -2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ q


# Dots and sums of 2 x 4 entries of order 1: some 20 roundings.
CLOSE = 1e-14


def add_torch(table: Table, q: Any, wanted: Any) -> None:
    try:
        import torch

        import softstep.torch as st
    except ImportError:
        return
    torch.set_num_threads(1)
    a = torch.from_numpy(q)
    b = a.clone().requires_grad_()
    sdpa, grad = torch.nn.functional.scaled_dot_product_attention, torch.autograd.grad
    verify("torch sdpa", sdpa(a, a, a), wanted, CLOSE)
    verify("softstep.torch.attention", st.attention(a, a, a, n_threads=1), wanted, CLOSE)
    theirs, ours = (lambda: grad(sdpa(b, b, b).sum(), b)), (lambda: grad(st.attention(b, b, b, n_threads=1).sum(), b))
    verify("softstep.torch.attention, backward", ours()[0], theirs()[0], CLOSE)
    table.add("torch add", lambda: a + a)
    table.add("torch sdpa", lambda: sdpa(a, a, a))
    table.add("softstep.torch.attention", lambda: st.attention(a, a, a, n_threads=1))
    table.add("torch sdpa, forward and backward", theirs)
    table.add("softstep.torch.attention, forward and backward", ours)


def add_jax(table: Table, q: Any, wanted: Any) -> None:
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        import softstep.jax as sj
    except ImportError:
        return
    c = jnp.asarray(q)
    add, ours = jax.jit(lambda x: x + x), jax.jit(lambda x: sj.attention(x, x, x, n_threads=1))
    theirs = jax.jit(lambda x: jax.nn.softmax(x @ x.mT / np.sqrt(x.shape[-1]), -1) @ x)
    verify("jax attention", theirs(c), wanted, CLOSE)
    verify("softstep.jax.attention", ours(c), wanted, CLOSE)
    table.add("jax add, jitted", lambda: add(c).block_until_ready())
    table.add("jax attention, jitted", lambda: theirs(c).block_until_ready())
    table.add("softstep.jax.attention, jitted", lambda: ours(c).block_until_ready())


def main() -> None:
    table, sizes = Table(), (1, 9)
    for n in sizes:
        add_layer(table, n)
    q = np.random.default_rng(0).normal(size=(1, 1, 2, 4))
    wanted = softmax_attention(q)
    out, options = np.empty_like(q), softstep.HeadOptions(n_threads=1)
    softstep.attention_forward(q, q, q, options, out=out)
    verify("softstep.attention_forward", out, wanted, CLOSE)
    table.add("softstep.attention_forward, 1 x 1 x 2 x 4", lambda: softstep.attention_forward(q, q, q, options, out=out))
    add_torch(table, q, wanted)
    add_jax(table, q, wanted)
    medians = table.medians()
    medians |= {f"  the call beyond the kernel, {n} samples": medians[call_name(n)] - medians[kernel_name(n)] for n in sizes}
    for name, microseconds in medians.items():
        print(f"{name:58s} {microseconds:8.2f} us")


if __name__ == "__main__":
    main()
