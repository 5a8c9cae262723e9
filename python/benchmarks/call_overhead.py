"""What a call from Python costs beside the kernel: softstep, PyTorch and JAX on problems so small that the call is all there is.

    python python/benchmarks/call_overhead.py

Each figure is the median of 15 runs, in microseconds a call. The kernel of `value_and_grad` is what the library takes when it is
called from C++ with the same arrays, in a loop of as many calls; runs of both take turns.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

import softstep


def microseconds(call: Callable[[], Any], number: int = 2000) -> float:
    call()
    return 1e6 * statistics.median(timeit.repeat(call, number=number, repeat=15)) / number


def report(name: str, value: float) -> None:
    print(f"{name:58s} {value:8.2f} us")


def both(p: Any, w: Any, out: Any, number: int = 20000) -> tuple[float, float]:
    """A call from Python, and the same from C++."""
    return 1e6 * timeit.timeit(lambda: p.value_and_grad(w, out), number=number) / number, 1e6 * p._kernel_seconds(w, number)


def problem(n: int, d: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(n) % 2, 1, -1).astype(np.int8)
    made = softstep.Problem(rng.normal(size=(n, 2, d)), labels, rng.normal(size=d))
    return made, np.zeros((d, d)), np.empty((d, d))


def main() -> None:
    for n in (1, 9):
        p, w, out = problem(n)
        call, kernel = (statistics.median(x) for x in zip(*(both(p, w, out) for _ in range(15))))
        report(f"softstep value_and_grad, {n} samples of 2 x 4, out given", call)
        report("  the kernel alone", kernel)
        report("  the call beyond the kernel", call - kernel)

    q = np.random.default_rng(0).normal(size=(1, 1, 2, 4))
    out, options = np.empty_like(q), softstep.HeadOptions(n_threads=1)
    report("softstep.attention_forward, 1 x 1 x 2 x 4", microseconds(lambda: softstep.attention_forward(q, q, q, options, out=out)))

    try:
        import torch

        import softstep.torch as st
    except ImportError:
        pass
    else:
        torch.set_num_threads(1)
        a = torch.from_numpy(q)
        sdpa = torch.nn.functional.scaled_dot_product_attention
        report("torch add", microseconds(lambda: a + a))
        report("torch sdpa", microseconds(lambda: sdpa(a, a, a)))
        report("softstep.torch.attention", microseconds(lambda: st.attention(a, a, a, n_threads=1)))
        b = a.clone().requires_grad_()
        grad = torch.autograd.grad
        report("torch sdpa, forward and backward", microseconds(lambda: grad(sdpa(b, b, b).sum(), b)))
        report(
            "softstep.torch.attention, forward and backward",
            microseconds(lambda: grad(st.attention(b, b, b, n_threads=1).sum(), b)),
        )

    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        import softstep.jax as sj
    except ImportError:
        return
    c = jnp.asarray(q)
    add, ours = jax.jit(lambda x: x + x), jax.jit(lambda x: sj.attention(x, x, x, n_threads=1))
    theirs = jax.jit(lambda x: jax.nn.softmax(x @ x.mT, -1) @ x)
    report("jax add, jitted", microseconds(lambda: add(c).block_until_ready()))
    report("jax attention, jitted", microseconds(lambda: theirs(c).block_until_ready()))
    report("softstep.jax.attention, jitted (pure_callback)", microseconds(lambda: ours(c).block_until_ready(), 500))


if __name__ == "__main__":
    main()
