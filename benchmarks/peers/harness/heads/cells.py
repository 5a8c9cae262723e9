"""What is measured of attention over heads, and the data of it."""
import dataclasses
import math
import pathlib
import shutil
from typing import Callable

import numpy as np

from .. import environment

OUT = environment.ROOT / "out" / "peers" / "heads"
SIGNIFICANT = 8  # bits: numbers that bf16 holds
SMALLEST = 2.0 ** -14  # normal in f16


@dataclasses.dataclass(frozen=True)
class Shape:
    batch: int
    heads: int
    key_heads: int
    queries: int
    keys: int
    dim: int

    def __str__(self) -> str:
        grouped = f"/{self.key_heads}" if self.key_heads != self.heads else ""
        length = f"T{self.keys}" if self.queries == self.keys else f"T{self.queries}over{self.keys}"
        return f"B{self.batch} H{self.heads}{grouped} {length} d{self.dim}"

    @property
    def folder(self) -> str:
        return str(self).replace(" ", "-").replace("/", "of")

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.dim)

    @property
    def square(self) -> bool:
        return self.queries == self.keys

    def flops(self, case: str) -> float:
        """4 Tq Tk d forward, 10 Tq Tk d backward with the scores computed again; half of it causal."""
        each = (14 if case.startswith("both") else 4) * self.queries * self.keys * self.dim
        return self.batch * self.heads * each * (0.5 if case.endswith("-causal") else 1.0)

    def bytes_of_keys_and_values(self, number_type: str) -> float:
        return 2.0 * self.batch * self.key_heads * self.keys * self.dim * {"f64": 8, "f32": 4, "f16": 2, "bf16": 2}[number_type]


def square(heads: int, tokens: int, dim: int, key_heads: int = 0, batch: int = 1) -> Shape:
    return Shape(batch, heads, key_heads or heads, tokens, tokens, dim)


@dataclasses.dataclass(frozen=True)
class Cell:
    """All peers on the same data, with one type and number of threads; with and without a causal mask."""
    part: str
    shape: Shape  # or linear.Shape
    type: str
    threads: int

    def __str__(self) -> str:
        return f"{self.part} {self.shape} {self.type} {self.threads}"

    @property
    def file(self) -> pathlib.Path:
        return OUT / "cells" / (str(self).replace(" ", "-").replace("/", "of") + ".json")


TARGET = square(8, 1024, 64)
ONE_HEAD = square(1, 4096, 64)
DECODING = Shape(1, 32, 32, 1, 8192, 128)
GROUPED = square(16, 1024, 64, key_heads=4)
GROUPED_DECODING = Shape(1, 32, 8, 1, 8192, 128)
# T from 128 to 8192, d = 64, 128, 256, B H = 1 and 16, as far as one call of every peer stays below some seconds.
GRID = [square(heads, tokens, dim)
        for dim, last in ((64, {1: 8192, 16: 2048}), (128, {1: 8192, 16: 2048}), (256, {1: 2048, 16: 512}))
        for heads, longest in last.items() for tokens in (128, 512, 2048, 8192) if tokens <= longest]
PARTS: dict[str, tuple[list[Shape], list[str]]] = {
    "targets": ([TARGET], ["f32", "f64"]),
    "one-head": ([ONE_HEAD], ["f32"]),
    "decoding": ([DECODING], ["f32", "f16", "bf16"]),
    "grouped": ([GROUPED, GROUPED_DECODING], ["f32"]),
    "grid": (GRID, ["f32"]),
    "grid-f64": ([square(16, 512, 64), square(1, 2048, 128)], ["f64"]),
}


def rounded(numbers: np.ndarray) -> np.ndarray:
    """To so few bits that every type holds them."""
    mantissa, exponent = np.frexp(numbers)
    out = np.ldexp(np.round(mantissa * 2 ** SIGNIFICANT) / 2 ** SIGNIFICANT, exponent).astype(np.float32)
    out[np.abs(out) < SMALLEST] = 0
    return out


def made_once(name: str, write: Callable[[pathlib.Path, np.random.Generator], None]) -> pathlib.Path:
    """The folder of data with this name, written by write(folder, random) if they are not there whole."""
    folder = OUT / "data" / name
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(folder, np.random.default_rng(12))
        (folder / "done").touch()
    return folder


def make_data(shape: Shape) -> pathlib.Path:
    """Standard normal q, k, v and gradient of O: scores of a few units, attention neither uniform nor saturated."""
    def write(folder: pathlib.Path, random: np.random.Generator) -> None:
        for name, heads, tokens in (("q", shape.heads, shape.queries), ("k", shape.key_heads, shape.keys),
                                    ("v", shape.key_heads, shape.keys), ("do", shape.heads, shape.queries)):
            rounded(random.standard_normal((shape.batch, heads, tokens, shape.dim), np.float32)).tofile(folder / name)

    return made_once(shape.folder, write)


def read_data(shape: Shape) -> dict[str, np.ndarray]:
    folder = make_data(shape)
    sizes = {"q": (shape.heads, shape.queries), "k": (shape.key_heads, shape.keys)}
    sizes |= {"v": sizes["k"], "do": sizes["q"]}
    return {name: np.fromfile(folder / name, np.float32).reshape(shape.batch, *size, shape.dim) for name, size in sizes.items()}
