"""Many runs in JAX: vmap of a step in a compiled loop. In `last` the run is the last axis of every array, so that a vector holds
the same number of neighbouring runs, as in softstep; in `first` it is the first."""
import functools
import sys

from many_worker import ManyServer

import jax
import jax.numpy as jnp
import numpy as np

from jax_model import SCORES, autograd, hand, loss_of, normalised
from worker import Data, serve

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")


class Runs:
    def __init__(self, data: Data, gradient, way: str, axis: int):
        self.axis, self.dtype = axis, data.type
        self.arrays = tuple(self.placed(a) for a in (data.tokens, data.scores, data.queries))
        step = jax.vmap(normalised(gradient, way), in_axes=(axis, None, axis, axis, axis), out_axes=axis)
        self.value = jax.jit(jax.vmap(functools.partial(loss_of, "einsum"), in_axes=axis))

        def steps(w, size, count, *arrays):
            return jax.lax.fori_loop(0, count, lambda _, v: step(v, size, *arrays).astype(v.dtype), w)

        self.function = jax.jit(steps, donate_argnums=0)

    def placed(self, array: np.ndarray) -> jax.Array:
        return jnp.array(np.ascontiguousarray(np.moveaxis(array, 0, self.axis)))

    def reset(self, weights):
        self.w = self.placed(weights)

    def advance(self, steps, step_size):
        self.w = self.function(self.w, jnp.asarray(step_size, self.dtype), steps, *self.arrays).block_until_ready()

    def loss(self):
        return float(self.value(self.w, *self.arrays).mean())

    def weights(self):
        return np.moveaxis(np.asarray(self.w), self.axis, 0)


def variants(data: Data):
    return {f"vmap-{gradient.__name__}-{way}-{where}": functools.partial(Runs, data, gradient, way, axis)
            for gradient in (hand, autograd) for way in SCORES for where, axis in (("first", 0), ("last", -1))}


serve(jax.__version__, variants, ManyServer)
