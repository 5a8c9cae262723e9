"""Linear attention composed in JAX, compiled, forward and with its vector-Jacobian product; the states by lax.scan."""
import sys

import jax
import jax.numpy as jnp
import numpy as np

from linear_worker import LinearData, read_data, ways, worker

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")


def whole(scale, q, k, v):
    return (scale * q) @ (jnp.swapaxes(k, -1, -2) @ v)


def causal(scale, chunk, q, k, v, log_gates=None):
    b, h, t, d = q.shape
    q, k, v = (x.reshape(b, h, t // chunk, chunk, -1) for x in (scale * q, k, v))
    later, decay = k, jnp.ones((b, h, t // chunk, 1, 1), q.dtype)
    if log_gates is not None:
        sums = jnp.cumsum(log_gates.reshape(b, h, t // chunk, chunk, -1), -2)
        decay = jnp.swapaxes(jnp.exp(sums[..., -1:, :]), -1, -2)
        q, k, later = q * jnp.exp(sums), k * jnp.exp(-sums), k * jnp.exp(sums[..., -1:, :] - sums)
    added = jnp.swapaxes(later, -1, -2) @ v

    def pass_on(state, of_chunk):
        factor, more = of_chunk
        return factor * state + more, state

    _, before = jax.lax.scan(pass_on, jnp.zeros_like(added[:, :, 0]), (jnp.moveaxis(decay, 2, 0), jnp.moveaxis(added, 2, 0)))
    return (jnp.tril(q @ jnp.swapaxes(k, -1, -2)) @ v + q @ jnp.moveaxis(before, 0, 2)).reshape(b, h, t, -1)


class Attention:
    def __init__(self, name: str, case: str, data: LinearData):
        chunk = int(name.split("-")[1])

        def forward(*inputs):
            return causal(data.scale, chunk, *inputs) if worker.is_causal(case) else whole(data.scale, *inputs)

        def both(do, *inputs):
            out, pull_back = jax.vjp(forward, *inputs)
            return (out, *pull_back(do))

        inputs = [jnp.asarray(a) for a in data.inputs]
        self.inputs = [jnp.asarray(data.do), *inputs] if worker.has_backward(case) else inputs
        function = both if worker.has_backward(case) else lambda *inputs: (forward(*inputs),)
        self.function = jax.jit(function).lower(*self.inputs).compile()
        self.results = ()

    def call(self, times: int) -> None:
        for _ in range(times):
            self.results = ()
            self.results = jax.block_until_ready(self.function(*self.inputs))

    def outputs(self) -> list[np.ndarray]:
        return [np.asarray(a) for a in self.results]


if __name__ == "__main__":
    worker.serve(jax.__version__, ways, Attention, read_data)
