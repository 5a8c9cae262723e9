"""IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, each size as a big-endian uint32, and the
elements, big-endian, last index fastest. Plain or through gzip, whatever the name says."""
import gzip
import math
import zlib

import numpy as np

from command import BadInput

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PIECE = 1 << 20  # read so much at a time: a size in a damaged header is not memory to ask for


def read_at_most(stream, n_bytes):
    pieces = []
    while n_bytes > 0:
        piece = stream.read(min(n_bytes, PIECE))
        if not piece:
            break
        pieces.append(piece)
        n_bytes -= len(piece)
    return b"".join(pieces)


def read_idx(path, n_dimensions):
    """The array in the file, which must have that many dimensions and no other bytes."""
    def refuse(field, problem):
        raise BadInput(f"{path}: {field}", problem)

    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as stream:
            magic = read_at_most(stream, 4)
            if len(magic) < 4:
                refuse("magic", f"truncated: {len(magic)} of 4 bytes")
            if magic[:2] != b"\0\0":
                refuse("magic", f"0x{magic.hex()} (need two zero bytes first: is this an IDX file?)")
            if magic[2] not in TYPES:
                refuse("type", f"0x{magic[2]:02x} (known: {', '.join(f'0x{code:02x}' for code in TYPES)})")
            if magic[3] != n_dimensions:
                refuse("dimensions", f"{magic[3]} (need {n_dimensions})")
            sizes = read_at_most(stream, 4 * n_dimensions)
            if len(sizes) < 4 * n_dimensions:
                refuse(f"size {len(sizes) // 4}", f"truncated: {len(sizes)} of {4 * n_dimensions} bytes of sizes")
            shape = [int(size) for size in np.frombuffer(sizes, ">u4")]
            for k, size in enumerate(shape):
                if size == 0:
                    refuse(f"size {k}", "0 (need at least 1)")
            dtype = np.dtype(TYPES[magic[2]])
            n_bytes = math.prod(shape) * dtype.itemsize
            data = read_at_most(stream, n_bytes)
            if len(data) < n_bytes:
                refuse("data", f"truncated: {len(data)} bytes (need {n_bytes} for sizes {shape})")
            if stream.read(1):
                refuse("data", f"more than the {n_bytes} bytes that sizes {shape} need")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        refuse("gzip", f"damaged: {error}")
    return np.frombuffer(data, dtype).reshape(shape)
