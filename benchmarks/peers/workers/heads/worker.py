"""What every Python worker of attention over heads shares: the data, the line protocol and the clock.

A worker is started as `<worker>.py TYPE THREADS`, TYPE one of f32, f64, f16, bf16, and answers requests on its standard input,
one line each, fields separated by tabs, with one line of JSON each:

    version                       -> {"version": ...}
    load FOLDER B H HKV TQ TK D SCALE -> {"variants": {NAME: [CASE, ...]}}   what it can compute of these data
    prepare VARIANT CASE          -> {"variant": ...}               compiles and warms up
    check VARIANT CASE OUT        -> {"outputs": [...]}             writes O, and dQ, dK, dV, as raw files in folder OUT
    run VARIANT CASE SECONDS      -> {"us": ..., "calls": ...}      time of a call
    memory VARIANT CASE           -> {"bytes": ...}                 peak memory of one call above inputs and outputs
    memory and prepare make a variant; the worker keeps one of each until the next load.

CASE is `forward` or `both` (forward and backward), with `-causal` behind it. FOLDER has q, k, v and do (the gradient of O) as raw
float32 [B, H, T, d], all of them numbers that every type holds. An error is {"error": ...}; the worker lives on.
"""
import dataclasses
import gc
import json
import os
import pathlib
import sys
import time
from typing import Callable, Protocol

import numpy as np

CASES = ("forward", "forward-causal", "both", "both-causal")
FORWARD = CASES[:2]
GRADIENTS = ("dq", "dk", "dv")
FEW = 64  # rows of the call that starts threads and fills caches before memory is measured


@dataclasses.dataclass
class Data:
    q: np.ndarray  # [B, H, Tq, d], as k, v [B, Hkv, Tk, d] and do in float32 or float64
    k: np.ndarray
    v: np.ndarray
    do: np.ndarray
    scale: float

    @property
    def groups(self) -> int:
        return self.q.shape[1] // self.k.shape[1]

    @property
    def cases(self) -> tuple[str, ...]:
        """A causal mask is aligned to the start in some libraries and to the end in others: only where both are the same."""
        return CASES if self.q.shape[2] == self.k.shape[2] else ("forward", "both")

    def outputs(self, case: str) -> list[str]:
        """What a call of a case gives, in this order."""
        return ["o", *GRADIENTS] if has_backward(case) else ["o"]

    def few(self) -> "Data":
        return Data(*(np.ascontiguousarray(a[:, :, :FEW]) for a in (self.q, self.k, self.v, self.do)), self.scale)


class Call(Protocol):
    """One way to compute one case. Making it may copy inputs and compile; further memory is taken by call()."""

    def call(self, times: int) -> None: ...

    def outputs(self) -> list[np.ndarray]:
        """O, or O, dQ, dK, dV, [B, H, T, d], of the last call."""


def is_causal(case: str) -> bool:
    return case.endswith("-causal")


def has_backward(case: str) -> bool:
    return case.startswith("both")


def status(key: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {key} in /proc/self/status")


def read_data(dtype: type, folder: str, *numbers: str) -> Data:
    batch, heads, key_heads, queries, keys, dim = map(int, numbers[:6])
    shapes = {"q": (heads, queries), "k": (key_heads, keys), "v": (key_heads, keys), "do": (heads, queries)}
    arrays = [np.fromfile(pathlib.Path(folder, name), np.float32).astype(dtype).reshape(batch, h, t, dim)
              for name, (h, t) in shapes.items()]
    return Data(*arrays, float(numbers[6]))


class Server:
    def __init__(self, version: str, ways: Callable[[Data], dict[str, list[str]]], make: Callable[[str, str, Data], Call],
                 read: Callable[..., Data]):
        self.version, self.ways, self.make, self.read = version, ways, make, read
        self.dtype = np.float64 if sys.argv[1] == "f64" else np.float32
        self.data: Data | None = None
        self.ready: dict[tuple[str, str], Call] = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def load(self, folder: str, *numbers: str) -> dict:
        self.ready, self.data = {}, None  # the old ones' memory first
        gc.collect()
        self.data = self.read(self.dtype, folder, *numbers)
        return {"variants": {name: [c for c in cases if c in self.data.cases] for name, cases in self.ways(self.data).items()}}

    def timed(self, key: tuple[str, str], times: int) -> float:
        start = time.perf_counter()
        self.ready[key].call(times)
        return time.perf_counter() - start

    def prepare(self, *key: str) -> dict:
        self.ready[key] = self.make(*key, self.data)
        self.timed(key, 1)
        self.seconds[key] = self.timed(key, 1)
        return {"variant": key[0]}

    def check(self, name: str, case: str, out: str) -> dict:
        self.ready[name, case].call(1)
        names = self.data.outputs(case)
        for file, array in zip(names, self.ready[name, case].outputs(), strict=True):
            np.ascontiguousarray(array, self.dtype).tofile(pathlib.Path(out, file))
        return {"outputs": names}

    def run(self, name: str, case: str, seconds: str) -> dict:
        """The first guess of the number of calls may be far off: then it is corrected once."""
        for _ in range(2):
            calls = max(1, round(float(seconds) / self.seconds[name, case]))
            elapsed = self.timed((name, case), calls)
            self.seconds[name, case] = elapsed / calls
            if elapsed > 0.5 * float(seconds):
                break
        return {"us": 1e6 * elapsed / calls, "calls": calls}

    def memory(self, name: str, case: str) -> dict:
        """Of a process that did nothing else. Outputs are made by the call, and taken off."""
        few = self.make(name, case, self.data.few())
        few.call(2)
        del few
        call = self.make(name, case, self.data)
        gc.collect()
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        call.call(1)
        outputs = sum(array.nbytes for array in call.outputs())
        return {"bytes": status("VmHWM") - before - outputs}

    def answer(self, command: str, fields: list[str]) -> dict:
        if command == "version":
            return {"version": self.version}
        return {"load": self.load, "prepare": self.prepare, "check": self.check, "run": self.run,
                "memory": self.memory}[command](*fields)


def serve(version: str, ways: Callable[[Data], dict[str, list[str]]], make: Callable[[str, str, Data], Call],
          read: Callable[..., Data] = read_data) -> None:
    # Replies have the standard output to themselves, whatever a library prints.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(version, ways, make, read)
    for line in sys.stdin:
        command, *fields = line.rstrip("\n").split("\t")
        try:
            reply = server.answer(command, fields)
        except Exception as error:  # the other variants go on
            reply = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(reply), file=replies, flush=True)
