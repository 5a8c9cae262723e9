"""Follows the rules of optax and jaxopt from W = 0 and prints 1 - cos(W, W_mm) at the steps asked for, as JSON.

    breaking_worker.py TYPE DATA W_MM STEP...
"""
import json
import sys

import jax
import numpy as np
from safetensors.numpy import load_file

import jax_rules
from jax_model import Steps
from worker import load

jax.config.update("jax_enable_x64", sys.argv[1] == "f64")

SIZES = {"ngd-optax": 1.0, "polyak-optax": np.inf, "polyak-jaxopt": np.inf}


def one_minus_cos(a: np.ndarray, b: np.ndarray) -> float:
    """Half the squared distance of the unit matrices: no subtraction from 1."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(0.5 * np.sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2))


def main() -> None:
    limit = load_file(sys.argv[3])["weights"]
    data = load(sys.argv[2], sys.argv[3], sys.argv[1])
    out = {}
    for rule, size in SIZES.items():
        steps = Steps(data, jax_rules.make(rule, data.optimal_loss), True)
        steps.reset(np.zeros_like(data.weights))
        at, curve = 0, []
        for step in map(int, sys.argv[4:]):
            steps.advance(step - at, size)
            at = step
            curve.append(one_minus_cos(steps.weights(), limit))
        out[rule] = curve
    print(json.dumps(out))


main()
