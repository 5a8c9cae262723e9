"""The digits of scikit-learn, and every kind of file through the program itself: SOFTSTEP_PROGRAM names it."""
import json
import os
import struct
import subprocess
import unittest

from support import CommandTest, idx_bytes

import numpy as np
from PIL import Image


class Program(CommandTest):
    def trained(self, data, *arguments):
        ran = subprocess.run([os.environ["SOFTSTEP_PROGRAM"], "train", "--data", data, "--rule", "gd", "--steps", "1",
                              "--reference", "none", "--json", "-", *arguments], cwd=self.folder, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout)

    def decoder_file(self, decoder):
        header = json.dumps({"decoder": {"dtype": "F64", "shape": [len(decoder)], "data_offsets": [0, 8 * len(decoder)]}})
        self.write("u.safetensors", struct.pack("<Q", len(header)) + header.encode() + decoder.astype("<f8").tobytes())
        return "u.safetensors"

    def require_same_function(self, tensors, file, decoder, *arguments):
        """From W = 0 and through one step of gradient descent on W, in float64, by NumPy and by the program: loss and norm
        of W. Each is a sum of n T d terms: 1e-10 is more than n T d roundings of numbers below 100, far less than the
        effect of one wrong token."""
        labels, n = tensors["labels"].astype("f8"), len(tensors["labels"])
        if "offsets" in tensors:
            samples = [tensors["tokens"][a:b].astype("f8") for a, b in zip(tensors["offsets"], tensors["offsets"][1:])]
        else:
            samples = list(tensors["tokens"].astype("f8"))
        queries = tensors.get("queries", np.zeros(n, "i8"))
        if queries.dtype.kind == "i":
            queries = [tokens[k] for tokens, k in zip(samples, queries)]
        weights = 0.0
        for tokens, y, query in zip(samples, labels, np.asarray(queries, "f8")):
            mean = tokens.mean(axis=0)
            factor = -y / (1 + np.exp(y * (mean @ decoder))) / n
            weighted = ((tokens @ decoder - mean @ decoder)[:, None] * tokens).mean(axis=0)
            weights = weights - factor * np.outer(weighted, query)
        loss = 0.0
        for tokens, y, query in zip(samples, labels, np.asarray(queries, "f8")):
            scores = tokens @ (weights @ query)
            attention = np.exp(scores - scores.max())
            attention /= attention.sum()
            loss += np.log1p(np.exp(-y * (attention @ tokens @ decoder))) / n
        result = self.trained(file, "--step-size", "1", *arguments)
        for name, expected in (("loss", loss), ("weight_norm", np.linalg.norm(weights))):
            self.assertTrue(abs(result[name] - expected) <= 1e-10 * max(1.0, expected), (name, result[name], expected))

    def test_digits(self):
        train, test, about = self.accepted("digits")
        self.assertEqual(train["tokens"].shape[1:], (17, 22))
        self.assertEqual((about["parts"]["train"]["samples"], about["parts"]["test"]["samples"]), (267, 90))
        self.assertEqual((np.sum(train["labels"] > 0), np.sum(test["labels"] > 0)), (137, 46))  # 183 threes, 174 eights
        decoder = np.random.RandomState(0).standard_normal(22)
        for part, tensors in ("train", train), ("test", test):
            self.require_same_function(tensors, f"out/{part}.safetensors", decoder, "--decoder", self.decoder_file(decoder))
        # They are the digits: the pixels of patch (0, 1) of the third training image, taken back to 0..16.
        from sklearn.datasets import load_digits
        standard = about["standard"]
        pixels = train["tokens"][2, 2, :4] * np.array(standard["deviation"]) + standard["mean"]
        image = load_digits().images[train["source"][2]]
        self.assertTrue(np.abs(pixels - image[0:2, 2:4].ravel()).max() <= 1e-5)
        self.assertEqual(load_digits().target[train["source"]].tolist(), [3 if sign > 0 else 8 for sign in train["labels"]])

    def test_digits_one_against_the_rest(self):
        train, test, about = self.accepted("digits", "--one-vs-rest", "8", "--patch", "4", "--test-fraction", "0.1")
        self.assertEqual(train["tokens"].shape[1:], (5, 22))
        self.assertEqual((len(train["labels"]) + len(test["labels"]), np.sum(train["labels"] > 0)), (1797, 157))
        self.assertEqual(about["options"]["one_vs_rest"], 8)

    def test_bad_options_of_digits(self):
        self.refused("digits", ("--patch", "3"), "--patch", "3", "8 rows")
        self.refused("digits", ("--one-vs-rest", "10"), "--one-vs-rest", "10")

    def test_faces_and_photographs(self):
        stream = np.random.RandomState(7)
        for name, size in (("a.png", (16, 32)), ("b.png", (16, 24))):
            Image.fromarray(stream.randint(0, 256, (*size, 3)).astype("u1")).save(self.folder / name)
        self.save("faces.npy", stream.uniform(0, 1, (20, 9, 9)))
        for tool, *options in (("faces", "--file", "faces.npy", "--patch", "4"),
                               ("photos", "--first", "a.png", "--second", "b.png", "--tile", "4", "--patch", "2")):
            train, test, _ = self.accepted(tool, *options, out=tool)
            decoder = stream.standard_normal(train["tokens"].shape[2])
            for part, tensors in ("train", train), ("test", test):
                self.require_same_function(tensors, f"{tool}/{part}.safetensors", decoder, "--decoder", self.decoder_file(decoder))

    def test_texts_of_their_own_lengths(self):
        stream = np.random.RandomState(8)
        rows = [" ".join(f"w{'abcdefghij'[k]}" for k in stream.randint(0, 10, stream.randint(1, 9))) for _ in range(24)]
        self.write("some.csv", ("text,label\n" + "".join(f"{row},{k % 2}\n" for k, row in enumerate(rows))).encode())
        train, test, _ = self.accepted("text", "--file", "some.csv", "--embedding", "random:6")
        decoder = stream.standard_normal(train["tokens"].shape[1])
        for part, tensors in ("train", train), ("test", test):
            self.require_same_function(tensors, f"out/{part}.safetensors", decoder, "--decoder", self.decoder_file(decoder))

    def test_images_of_every_type_of_token(self):
        stream = np.random.RandomState(3)
        self.write("images", idx_bytes(stream.randint(0, 256, (40, 4, 4)).astype("u1")))
        self.write("labels", idx_bytes(stream.randint(0, 2, 40).astype("u1")))
        for dtype in ("f64", "f32", "f16"):
            train, *_ = self.accepted("images", "--images", "images", "--labels", "labels", "--one-vs-rest", "1", "--patch",
                                      "2", "--dtype", dtype, out=dtype)
            decoder = stream.standard_normal(train["tokens"].shape[2])
            self.require_same_function(train, f"{dtype}/train.safetensors", decoder, "--decoder", self.decoder_file(decoder))

    def test_arrays_with_decoder_and_queries(self):
        stream = np.random.RandomState(4)
        self.save("X.npy", stream.standard_normal((20, 5, 3)))
        self.save("y.npy", np.arange(20) % 2)
        self.save("u.npy", stream.standard_normal(3))
        self.save("index.npy", stream.randint(0, 5, 20))
        self.save("vectors.npy", stream.standard_normal((20, 3)))
        for queries in ("index.npy", "vectors.npy"):
            train, *_ = self.accepted("arrays", "--tokens", "X.npy", "--labels", "y.npy", "--decoder", "u.npy", "--queries",
                                      queries, out=queries + " out")
            self.require_same_function(train, f"{queries} out/train.safetensors", train["decoder"].astype("f8"))

    def test_symbols(self):
        stream = np.random.RandomState(6)
        self.save("X.npy", stream.randint(0, 9, (30, 7)))
        self.save("y.npy", np.arange(30) % 2)
        train, *_ = self.accepted("arrays", "--tokens", "X.npy", "--labels", "y.npy", "--embedding", "random:5")
        decoder = stream.standard_normal(train["tokens"].shape[2])
        self.require_same_function(train, "out/train.safetensors", decoder, "--decoder", self.decoder_file(decoder))


if __name__ == "__main__":
    unittest.main()
