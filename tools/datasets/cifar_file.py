"""CIFAR-10's files: the binary version, and the pickled one, of which nothing but arrays is made."""
import io
import pickle

import numpy as np

from command import BadInput

SIDE, COLOURS, CLASSES = 32, 3, 10
PIXELS = SIDE * SIDE * COLOURS


def encoded(text, codec):
    """What bytes are pickled as for old readers."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"text as {codec}")
    return text.encode(codec)


def reconstruct():
    try:
        from numpy._core.multiarray import _reconstruct
    except ImportError:
        from numpy.core.multiarray import _reconstruct
    return _reconstruct


class Arrays(pickle.Unpickler):
    """A pickle is a program. This one may make arrays, lists, texts and numbers, and call nothing else."""

    def find_class(self, module, name):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return reconstruct()
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return encoded
        raise pickle.UnpicklingError(f"calls {module}.{name}, which is not called")


def from_pickle(path, data):
    try:
        found = Arrays(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # of many kinds: whatever the bytes make the interpreter of pickles do
        raise BadInput(path, f"damaged, or not a pickled batch of CIFAR-10: {error}")
    entries = {key.decode("latin1") if isinstance(key, bytes) else str(key): value
               for key, value in found.items()} if isinstance(found, dict) else {}
    if not {"data", "labels"} <= set(entries):
        raise BadInput(path, f"has the entries {', '.join(sorted(entries)[:12]) or 'none'} (need data and labels)")
    pixels = entries["data"]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        shape = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise BadInput(f"{path}: data", f"{shape} (need uint8 [n, {PIXELS}])")
    labels = entries["labels"]
    if not isinstance(labels, (list, tuple, np.ndarray)) or len(labels) != len(pixels):
        raise BadInput(f"{path}: labels", f"not one for each of the {len(pixels)} images")
    wrong = [k for k, label in enumerate(labels) if not isinstance(label, (int, np.integer)) or not 0 <= label < CLASSES]
    if wrong:
        raise BadInput(f"{path}: labels", f"element {wrong[0]}: {labels[wrong[0]]} (need 0 to {CLASSES - 1})")
    return pixels, np.array(labels, np.int64)


def from_records(path, data):
    """A byte for the class, then the pixels."""
    if len(data) == 0 or len(data) % (1 + PIXELS):
        raise BadInput(path, f"{len(data)} bytes (need a multiple of {1 + PIXELS}, the size of an image and its class)")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)
    wrong = np.flatnonzero(records[:, 0] >= CLASSES)
    if len(wrong):
        raise BadInput(path, f"image {wrong[0]}: class {records[wrong[0], 0]} (need 0 to {CLASSES - 1})")
    return records[:, 1:], records[:, 0].astype(np.int64)


def read_cifar(path):
    """Images [n, 32, 32, 3] and classes [n]. Either version: a pickle of protocol 2 or later begins with a byte that is no class."""
    with open(path, "rb") as stream:
        data = stream.read()
    pixels, labels = from_pickle(path, data) if data[:1] == b"\x80" else from_records(path, data)
    if len(labels) == 0:
        raise BadInput(path, "no images")
    return np.ascontiguousarray(pixels.reshape(-1, COLOURS, SIDE, SIDE).transpose(0, 2, 3, 1)), labels
