"""IDX, .npy and .npz files with bytes changed at random, from fixed seeds: each is read, or refused as one BadInput of one line that
names the file. No other exception, no warning on the way, and no array larger than what a file of that size can hold.

The default test makes a few thousand of them; tools/fuzz array_files goes on for SOFTSTEP_FUZZ_SECONDS."""
import gzip
import io
import os
import random
import time
import unittest
import warnings

from support import CommandTest, idx_bytes

import numpy as np

from array_file import read_npy, read_npz
from command import BadInput
from idx_file import read_idx

CASES = 200  # of each kind of file
NAMES = ("tokens", "labels", "queries", "decoder")


def npy_bytes(array, version=(1, 0)):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def npz_bytes(save, **arrays):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


TOKENS, LABELS = np.arange(24.0).reshape(2, 3, 4), np.array([1, -1], np.int8)
KINDS = {
    "idx": ([idx_bytes(np.arange(24, dtype=f">{kind}").reshape(2, 3, 4)) for kind in ("u1", "i2", "f4", "f8")] +
            [gzip.compress(idx_bytes(np.zeros((2, 3, 4), "u1")), mtime=0)], lambda path: read_idx(path, 3)),
    "npy": ([npy_bytes(TOKENS), npy_bytes(LABELS), npy_bytes(TOKENS.astype("f2"), (2, 0)), npy_bytes(np.asfortranarray(TOKENS)),
             npy_bytes(np.float64(3.0))], read_npy),
    "npz": ([npz_bytes(np.savez, tokens=TOKENS, labels=LABELS), npz_bytes(np.savez_compressed, tokens=TOKENS, labels=LABELS)],
            lambda path: read_npz(path, NAMES)),
}
PIECES = [b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"(", b")", b",", b"'", b"\\", b"L", b"-1", b"0", b"99999999999999",
          b"descr", b"|O", b"<f8", b"<M8", b"fortran_order", b"True", b"\n", b" ", b"\x93NUMPY", b"PK\3\4", b"\x1f\x8b"]


def mutated(good, stream):
    data = bytearray(good)
    for _ in range(stream.choice((1, 1, 1, 2, 4, 16))):
        at = stream.randrange(len(data) + 1)
        what = stream.randrange(6)
        if what == 0 and at < len(data):
            data[at] ^= 1 << stream.randrange(8)
        elif what == 1 and at < len(data):
            data[at] = stream.randrange(256)
        elif what == 2:
            del data[at:at + stream.choice((1, 2, 8, len(data)))]
        elif what == 3:
            data[at:at] = stream.choice(PIECES)
        elif what == 4:
            piece = stream.choice(PIECES)
            data[at:at + len(piece)] = piece
        else:
            begin = stream.randrange(len(data) + 1)
            data[at:at] = data[begin:begin + stream.choice((1, 4, 40))]
    return bytes(data)


class DamagedArrays(CommandTest):
    def attempt(self, path, read, n_bytes):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = read(path)
            except BadInput as error:
                message = " ".join(str(error).split())
                self.assertIn(str(path), message)
                self.assertLess(len(message), 2000)
            else:
                arrays = found.values() if isinstance(found, dict) else [found]
                # Deflate makes at most 1032 bytes of one.
                self.assertLessEqual(sum(array.nbytes for array in arrays), 1032 * n_bytes)
        self.assertEqual([str(warning.message) for warning in warned], [])

    def run_kind(self, kind):
        seeds, read = KINDS[kind]
        path = self.folder / kind
        for good in seeds:
            path.write_bytes(good)
            read(path)  # as they are they can be read
        seconds = float(os.environ.get("SOFTSTEP_FUZZ_SECONDS", 0)) / len(KINDS)
        began, case = time.monotonic(), 0
        while case < CASES or time.monotonic() - began < seconds:
            stream = random.Random(f"{kind} {case}")
            data = mutated(stream.choice(seeds), stream)
            path.write_bytes(data)
            with self.subTest(kind=kind, case=case):
                self.attempt(path, read, len(data))
            case += 1
        if seconds > 0:
            print(f"array_files: {kind}: {case} files in {time.monotonic() - began:.0f} s")

    def test_idx(self):
        self.run_kind("idx")

    def test_npy(self):
        self.run_kind("npy")

    def test_npz(self):
        self.run_kind("npz")

    def test_a_planted_fault_is_seen(self):
        path = self.folder / "planted"
        path.write_bytes(b"x")
        for read in (lambda path: 1 / 0, lambda path: np.zeros(10**6), lambda path: warnings.warn("loud") or np.zeros(1)):
            with self.assertRaises((AssertionError, ZeroDivisionError)):
                self.attempt(path, read, 1)


if __name__ == "__main__":
    unittest.main()
