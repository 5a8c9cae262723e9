"""jax.nn.dot_product_attention, compiled, forward and with its vector-Jacobian product. Arrays lie as JAX has them, [B, T, H, d]."""
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from worker import CASES, Data, has_backward, is_causal, serve

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")
TYPES = {"f32": jnp.float32, "f64": jnp.float64, "f16": jnp.float16, "bf16": jnp.bfloat16}


def forward(q, k, v, do, **options):
    return (jax.nn.dot_product_attention(q, k, v, **options),)


def both(q, k, v, do, **options):
    out, pull_back = jax.vjp(functools.partial(jax.nn.dot_product_attention, **options), q, k, v)
    return (out, *pull_back(do))


class Attention:
    def __init__(self, name: str, case: str, data: Data):
        self.inputs = [jnp.asarray(np.ascontiguousarray(a.transpose(0, 2, 1, 3)), TYPES[sys.argv[1]])
                       for a in (data.q, data.k, data.v, data.do)]
        function = functools.partial(both if has_backward(case) else forward, scale=data.scale, is_causal=is_causal(case))
        self.function = jax.jit(function).lower(*self.inputs).compile()
        self.results = ()

    def call(self, times: int) -> None:
        for _ in range(times):
            self.results = ()
            self.results = jax.block_until_ready(self.function(*self.inputs))

    def outputs(self) -> list[np.ndarray]:
        wide = jnp.float64 if sys.argv[1] == "f64" else jnp.float32
        return [np.asarray(a.astype(wide)).transpose(0, 2, 1, 3) for a in self.results]


if __name__ == "__main__":
    serve(jax.__version__, lambda data: {"jit": list(CASES)}, Attention)
