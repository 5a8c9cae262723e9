"""Loss and gradient in JAX, and a number of steps of any rule as a compiled loop or one by one."""
import functools

import jax
import jax.numpy as jnp
import numpy as np

from worker import Data

SCORES = {  # s_it = x_it . v_i
    "einsum": lambda x, v: jnp.einsum("ntd,nd->nt", x, v),
    "sum": lambda x, v: (x * v[:, None, :]).sum(2),
}
ROWS = {  # g_i = X_i^T r_i
    "einsum": lambda r, x: jnp.einsum("nt,ntd->nd", r, x),
    "sum": lambda r, x: (r[:, :, None] * x).sum(1),
}


def loss_of(way, w, x, gamma, z):
    p = jax.nn.softmax(SCORES[way](x, z @ w.T), axis=1)
    return jax.nn.softplus(-(p * gamma).sum(1)).mean()


def autograd(way, w, x, gamma, z):
    return jax.value_and_grad(functools.partial(loss_of, way))(w, x, gamma, z)[1]


def hand(way, w, x, gamma, z):
    p = jax.nn.softmax(SCORES[way](x, z @ w.T), axis=1)
    m = (p * gamma).sum(1, keepdims=True)
    r = p * (gamma - m) * (jax.nn.sigmoid(-m) / -x.shape[0])
    return ROWS[way](r, x).T @ z


def normalised(gradient, way):
    def step(w, size, *arrays):
        g = gradient(way, w, *arrays)
        return w - g * (size / jnp.sqrt(jnp.sum(g * g)))

    return step


class Steps:
    """A variant: `step(w, size, *arrays)` again and again, in one compiled loop or one compiled call each."""

    def __init__(self, data: Data, step, loop: bool):
        self.arrays = tuple(map(jnp.asarray, (data.tokens, data.scores, data.queries)))
        self.dtype, self.loop = data.type, loop
        self.value = jax.jit(functools.partial(loss_of, "einsum"))

        def steps(w, size, count, *arrays):
            return jax.lax.fori_loop(0, count, lambda _, v: step(v, size, *arrays).astype(v.dtype), w)

        self.function = jax.jit(steps if loop else step, donate_argnums=0)

    def reset(self, weights):
        self.w = jnp.array(weights)

    def advance(self, steps, step_size):
        w, size = self.w, jnp.asarray(step_size, self.dtype)
        if self.loop:
            w = self.function(w, size, steps, *self.arrays)
        else:
            for _ in range(steps):
                w = self.function(w, size, *self.arrays)
        self.w = w.block_until_ready()

    def loss(self):
        return float(self.value(self.w, *self.arrays))

    def weights(self):
        return np.asarray(self.w)
