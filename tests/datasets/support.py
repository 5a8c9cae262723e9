"""Runs the commands in a folder of their own; reads safetensors by the published format, not by the writer's code."""
import gzip
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools" / "datasets"
sys.path.insert(0, str(TOOLS))
sys.dont_write_bytecode = True

from python import need  # noqa: E402

need("numpy", "sklearn", "safetensors", "PIL")  # the tests run under the Python that the commands find

import numpy as np  # noqa: E402

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I8": "<i1"}
IDX_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(body)
    for entry in header.values():  # each can be read where it lies
        assert (8 + size + entry["data_offsets"][0]) % np.dtype(TYPES[entry["dtype"]]).itemsize == 0
    return {name: np.frombuffer(body[slice(*entry["data_offsets"])], TYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()}


def idx_bytes(array):
    return (bytes([0, 0, IDX_TYPES[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) +
            array.astype(array.dtype.newbyteorder(">")).tobytes())


class CommandTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def command(self, tool, *arguments):
        return subprocess.run([sys.executable, "-B", TOOLS / tool, *map(str, arguments)], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)

    def accepted(self, tool, *arguments, out="out"):
        """(training tensors, test tensors, what was done)"""
        ran = self.command(tool, "--out", out, *arguments)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        folder = self.folder / out
        self.assertEqual(sorted(os.listdir(folder)), sorted(["train.safetensors", "test.safetensors", f"{tool}.json"]))
        return (*(read_safetensors(folder / f"{part}.safetensors") for part in ("train", "test")),
                json.loads((folder / f"{tool}.json").read_text()))

    def refused(self, tool, arguments, *words):
        """One line that names the words, exit code 2, nothing written."""
        before = sorted(self.folder.rglob("*"))
        ran = self.command(tool, "--out", "refused", *arguments)
        self.assertEqual((ran.returncode, ran.stdout), (2, ""), ran.stderr)
        self.assertRegex(ran.stderr, rf"\A{tool}: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, ran.stderr)
        self.assertEqual(sorted(self.folder.rglob("*")), before)

    def save(self, name, array):
        np.save(self.folder / name, array)
        return name

    def write(self, name, data, zipped=False):
        (self.folder / name).write_bytes(gzip.compress(data, mtime=0) if zipped else data)
        return name
