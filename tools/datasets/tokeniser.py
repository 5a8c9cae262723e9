"""From content [n, T, p] to tokens [n, 1 + T, d].

A token is [content, position, constant, class]; token 0 is the class token, the query: no content, no position, and its
own component 1. The constant 1 of every token is the bias of the decoder, since attention sums to 1. With position
`blocks` the content of place t has p components of its own, and the decoder sees each pixel by itself.
"""
import argparse

import numpy as np

from command import BadInput, positive, require_memory, shown

PIECE = 1024  # samples at a time: float64 for the arithmetic, the type asked for in memory
TYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16}


def position_kind(text):
    kind, _, size = text.partition(":")
    if kind in ("one-hot", "blocks", "none") and not size:
        return text
    if kind == "sinusoidal" and positive(size) and int(size) % 2 == 0:
        return text
    raise argparse.ArgumentTypeError(f"{shown(text)} (need one-hot, blocks, none or sinusoidal:K with K even)")


def add_position(parser):
    parser.add_argument("--position", type=position_kind, default="one-hot", metavar="KIND",
                        help="one-hot (default); sinusoidal:K, sines and cosines of K/2 frequencies; blocks, the content "
                             "of each place in components of its own; none")


def position_table(kind, n_places):
    """[T, components]"""
    if kind == "one-hot":
        require_memory("--position", f"{kind} of {n_places} places", n_places, n_places)
        return np.eye(n_places)
    if not kind.startswith("sinusoidal:"):
        return np.zeros((n_places, 0))
    size = int(kind.partition(":")[2])
    require_memory("--position", kind, n_places, size)
    angle = np.arange(n_places)[:, None] / 10000.0 ** (np.arange(0, size, 2) / size)
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(n_places, size)


def patches(images, side):
    """[n, rows, columns] as [n, T, side * side]: patches row by row, the pixels in each row by row. With [n, rows, columns, colours]
    the colours of a pixel stand together."""
    n, *sizes = images.shape[:3]
    for size, word in zip(sizes, ("rows", "columns")):
        if size % side:
            raise BadInput("--patch", f"{side} (does not divide the {size} {word} of the images)")
    rows, columns = (size // side for size in sizes)
    parts = images.reshape(n, rows, side, columns, side, -1).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(n, rows * columns, -1)


class Standard:
    """(x - mean) / deviation for each component, from the training part alone, all places together. A component that
    never changes there keeps its unit. Numbers are divided by the largest first: no square overflows."""

    def __init__(self, training):
        self.unit = max(abs(float(training.max())), abs(float(training.min()))) or 1.0
        pieces = range(0, len(training), PIECE)
        count = training.shape[0] * training.shape[1]
        changes = training.max(axis=(0, 1)) > training.min(axis=(0, 1))
        self.mean = sum(self.in_units(training[k:k + PIECE]).sum(axis=(0, 1)) for k in pieces) / count
        squares = sum(((self.in_units(training[k:k + PIECE]) - self.mean) ** 2).sum(axis=(0, 1)) for k in pieces)
        self.deviation = np.where(changes, np.sqrt(squares / count), 1.0)

    def in_units(self, content):
        return content.astype(np.float64) / self.unit

    def __call__(self, content):
        return (self.in_units(content) - self.mean) / self.deviation

    def about(self):
        return {"mean": (self.mean * self.unit).tolist(), "deviation": (self.deviation * self.unit).tolist()}


class Tokeniser:
    """numbers(piece of content) are [., T, p] in float64: a Standard, or an embedding."""

    def __init__(self, n_places, n_content, position, dtype, numbers):
        self.n_places, self.n_content, self.numbers = n_places, n_content, numbers
        self.blocks = position == "blocks"
        self.table = position_table(position, n_places)
        self.dtype = dtype
        sizes = {"content": n_content * (n_places if self.blocks else 1), "position": self.table.shape[1], "constant": 1,
                 "class": 1}
        self.layout, begin = {}, 0
        for name, size in sizes.items():
            self.layout[name] = [begin, begin + size]
            begin += size
        self.dim = begin

    def __call__(self, content):
        require_memory("tokens", f"{len(content)} samples of {1 + self.n_places} tokens", len(content), 1 + self.n_places,
                       self.dim)
        tokens = np.zeros((len(content), 1 + self.n_places, self.dim), TYPES[self.dtype])
        at = {name: slice(*limits) for name, limits in self.layout.items()}
        tokens[:, 1:, at["position"]] = self.table
        tokens[:, :, at["constant"]] = 1
        tokens[:, 0, at["class"]] = 1
        with np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, len(content), PIECE):
                numbers = self.numbers(content[begin:begin + PIECE])
                target = tokens[begin:begin + PIECE]
                if not self.blocks:
                    target[:, 1:, at["content"]] = numbers
                else:
                    for t in range(self.n_places):
                        target[:, 1 + t, t * self.n_content:(t + 1) * self.n_content] = numbers[:, t]
        require_finite(tokens, "--dtype", f"{self.dtype} (a token does not fit in it)")
        return tokens


def require_finite(array, name, problem=None):
    for begin in range(0, len(array), PIECE):
        wrong = np.argwhere(~np.isfinite(array[begin:begin + PIECE]))
        if len(wrong):
            place = wrong[0]
            place[0] += begin
            raise BadInput(name, problem or f"element {place.tolist()}: {array[tuple(place)]} (need finite numbers)")

