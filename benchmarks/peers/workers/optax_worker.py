"""Step rules of optax and jaxopt behind the protocol of the peers."""
import functools
import sys
from importlib.metadata import version

import jax

import jax_rules
from jax_model import Steps
from worker import Data, serve

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")


def variants(data: Data):
    return {rule: functools.partial(Steps, data, jax_rules.make(rule, data.optimal_loss), True) for rule in jax_rules.RULES}


serve(f"{version('optax')}, jaxopt {version('jaxopt')}", variants)
