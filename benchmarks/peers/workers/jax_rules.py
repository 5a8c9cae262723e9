"""The step rules of optax and jaxopt that are the normalised and the Polyak step, with their guards off where they can be
(eps = 0, no largest step but the one asked for): make(rule, optimal_loss) gives step(w, size, *arrays) -> w.

`size` is eta for the normalised step and the largest coefficient of G for the Polyak steps (c = 1).
"""
import jax
import jaxopt
import optax

from jax_model import loss_of

RULES = ("ngd-optax", "polyak-optax", "polyak-jaxopt")


def make(rule: str, optimal_loss: float, way: str = "einsum"):
    def value(w, *arrays):
        return loss_of(way, w, *arrays)

    def ngd(w, size, *arrays):
        transform = optax.chain(optax.normalize_by_update_norm(eps=0.0), optax.scale(-size))
        updates, _ = transform.update(jax.grad(value)(w, *arrays), transform.init(w))
        return optax.apply_updates(w, updates)

    def polyak(w, size, *arrays):
        transform = optax.polyak_sgd(max_learning_rate=size, f_min=optimal_loss)
        now, gradient = jax.value_and_grad(value)(w, *arrays)
        updates, _ = transform.update(gradient, transform.init(w), w, value=now)
        return optax.apply_updates(w, updates)

    def polyak_jaxopt(w, size, *arrays):
        # The solver holds its largest step as a plain attribute, which may be a traced value.
        solver = jaxopt.PolyakSGD(value, fun_min=optimal_loss, max_stepsize=size, jit=False)
        return solver.update(w, solver.init_state(w, *arrays), *arrays).params

    return {"ngd-optax": ngd, "polyak-optax": polyak, "polyak-jaxopt": polyak_jaxopt}[rule]

