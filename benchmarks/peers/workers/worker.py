"""What every Python worker shares: the data, the line protocol and the clock.

A worker is started as `<worker>.py TYPE THREADS` and answers requests on its standard input, one line each, fields separated
by tabs, with one line of JSON each:

    load DATA WEIGHTS             -> {"variants": [...]}            the data set and W_0
    prepare VARIANT               -> {"variant": ...}               compiles and warms up
    check VARIANT STEP STEPS OUT  -> {"loss": ...}                  from W_0; writes the weights to OUT
    run VARIANT SECONDS           -> {"us": ..., "steps": ...}      time of a step
    version                       -> {"version": ...}

An error is {"error": ...}; the worker lives on.
"""
import dataclasses
import json
import os
import sys
import time
from typing import Callable, Protocol

import numpy as np
from safetensors.numpy import load_file, save_file

# While the clock runs W hardly moves, so that nobody computes with NaN or denormal numbers.
TIMED_STEP_SIZE = 1e-6


@dataclasses.dataclass
class Data:
    tokens: np.ndarray  # [n, T, d]
    scores: np.ndarray  # [n, T] gamma_it = y_i u^T x_it
    queries: np.ndarray  # [n, d]
    weights: np.ndarray  # [d, d] W_0
    optimal_loss: float  # L*

    @property
    def type(self) -> np.dtype:
        return self.tokens.dtype


class Variant(Protocol):
    """One way to compute the step W -= step_size G / ||G||."""

    def reset(self, weights: np.ndarray) -> None: ...

    def advance(self, steps: int, step_size: float) -> None: ...

    def loss(self) -> float: ...

    def weights(self) -> np.ndarray: ...


def load(data_file: str, weights_file: str, type_name: str) -> Data:
    """Everything that does not depend on W is computed here, once, for every peer; arrays are the process's own."""
    dtype = np.dtype({"f32": np.float32, "f64": np.float64}[type_name])
    tensors = load_file(data_file)
    tokens = np.ascontiguousarray(tensors["tokens"], dtype=dtype)
    decoder = tensors["decoder"].astype(dtype)
    labels = tensors["labels"].astype(dtype)
    scores = labels[:, None] * (tokens @ decoder)
    queries = tensors["queries"].astype(dtype) if "queries" in tensors else tokens[:, 0, :].copy()
    weights = load_file(weights_file)["weights"].astype(dtype)
    optimal = float(np.mean(np.logaddexp(0.0, -scores.max(axis=1).astype(np.float64))))
    return Data(tokens, scores, queries, weights, optimal)


class Server:
    def __init__(self, version: str, make_variants: Callable[[Data], dict[str, Callable[[], Variant]]]):
        self.version, self.make_variants = version, make_variants
        self.type_name = sys.argv[1]
        self.data: Data | None = None
        self.factories: dict[str, Callable[[], Variant]] = {}
        self.ready: dict[str, Variant] = {}
        self.seconds_per_step: dict[str, float] = {}

    def read(self, data_file: str, weights_file: str) -> Data:
        return load(data_file, weights_file, self.type_name)

    def write(self, weights: np.ndarray, out: str) -> None:
        save_file({"weights": np.ascontiguousarray(weights)}, out)

    def load(self, data_file: str, weights_file: str) -> dict:
        self.ready, self.data = {}, None  # the old ones' memory first
        self.data = self.read(data_file, weights_file)
        self.factories = self.make_variants(self.data)
        return {"variants": list(self.factories)}

    def prepare(self, name: str) -> dict:
        variant = self.factories[name]()
        variant.reset(self.data.weights)
        steps = getattr(variant, "unrolled", 1)
        variant.advance(steps, TIMED_STEP_SIZE)
        self.ready[name] = variant
        self.seconds_per_step[name] = self.time(variant, steps) / steps
        return {"variant": name}

    @staticmethod
    def time(variant: Variant, steps: int) -> float:
        start = time.perf_counter()
        variant.advance(steps, TIMED_STEP_SIZE)
        return time.perf_counter() - start

    def check(self, name: str, step_size: str, steps: str, out: str) -> dict:
        variant = self.ready[name]
        variant.reset(self.data.weights)
        variant.advance(int(steps), float(step_size))
        self.write(variant.weights(), out)
        loss = variant.loss()
        variant.reset(self.data.weights)
        return {"loss": loss}

    def run(self, name: str, seconds: str) -> dict:
        """The first guess of the number of steps may be far off: then it is corrected once."""
        for _ in range(2):
            steps = max(1, round(float(seconds) / self.seconds_per_step[name]))
            elapsed = self.time(self.ready[name], steps)
            self.seconds_per_step[name] = elapsed / steps
            if elapsed > 0.5 * float(seconds):
                break
        return {"us": 1e6 * elapsed / steps, "steps": steps}

    def answer(self, command: str, fields: list[str]) -> dict:
        if command == "version":
            return {"version": self.version}
        return {"load": self.load, "prepare": self.prepare, "check": self.check, "run": self.run}[command](*fields)


def serve(version: str, make_variants: Callable[[Data], dict[str, Callable[[], Variant]]], kind: type[Server] = Server) -> None:
    # Replies have the standard output to themselves, whatever a library prints.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = kind(version, make_variants)
    for line in sys.stdin:
        command, *fields = line.rstrip("\n").split("\t")
        try:
            reply = server.answer(command, fields)
        except Exception as error:  # the other variants go on
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)
