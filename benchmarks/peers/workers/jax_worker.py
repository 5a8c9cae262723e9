"""The step in JAX: jit of one step and of a whole loop, autograd and a gradient written out."""
import functools
import sys

import jax

from jax_model import SCORES, Steps, autograd, hand, normalised
from worker import Data, serve

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")

SMALL = 20_000  # tokens' elements; above, the sums are several times slower than the batched products


def variants(data: Data):
    out = {}
    for loop in (True, False):
        for gradient in (hand, autograd):
            for way in SCORES if data.tokens.size <= SMALL else ["einsum"]:
                name = f"{'loop' if loop else 'step'}-{gradient.__name__}-{way}"
                out[name] = functools.partial(Steps, data, normalised(gradient, way), loop)
    return out


serve(jax.__version__, variants)
