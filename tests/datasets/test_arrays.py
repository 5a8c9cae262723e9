"""Arrays from .npy and .npz: as they stand, windows of features, sequences of symbols; damaged files."""
import unittest

from support import CommandTest

import numpy as np

STREAM = np.random.RandomState(11)
N, T, D = 10, 3, 4
TOKENS = STREAM.standard_normal((N, T, D))
SIGNS = np.array([1, -1] * 5)
INDICES = STREAM.randint(0, T, N)
VECTORS = STREAM.standard_normal((N, D))
DECODER = STREAM.standard_normal(D)
SYMBOLS = STREAM.randint(0, 5, (N, 6))
SYMBOLS[0, 0], SYMBOLS[1] = 4, 0  # the largest is there


class ArraysTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.save("X.npy", TOKENS)
        self.save("y.npy", SIGNS)
        self.files = ("--tokens", "X.npy", "--labels", "y.npy")


class Good(ArraysTest):
    def test_tokens_as_they_stand(self):
        for queries, extra in ((INDICES, "q.npy"), (VECTORS, "v.npy")):
            self.save(extra, queries)
            parts = self.accepted("arrays", *self.files, "--queries", extra, "--decoder", self.save("u.npy", DECODER),
                                  "--dtype", "f64", out=f"out {extra}")[:2]
            for tensors in parts:
                place = tensors["source"]
                for name, given in (("tokens", TOKENS), ("labels", SIGNS), ("queries", queries)):
                    self.assertTrue(np.array_equal(tensors[name], given[place]), name)
                self.assertTrue(np.array_equal(tensors["decoder"], DECODER))
            self.assertEqual(sorted(np.concatenate([tensors["source"] for tensors in parts])), list(range(N)))

    def test_types(self):
        for dtype, kind in (("f32", "f4"), ("f16", "f2")):
            train, *_ = self.accepted("arrays", *self.files, "--dtype", dtype, out=dtype)
            self.assertTrue(np.array_equal(train["tokens"], TOKENS[train["source"]].astype(kind)))
            self.assertNotIn("queries", train)
        for kind in (">f8", "<f4", "i2"):  # any order of bytes, whole numbers too
            self.save("k.npy", (8 * TOKENS).astype(kind))
            train, *_ = self.accepted("arrays", "--tokens", "k.npy", "--labels", "y.npy", out=kind[-2:])
            self.assertTrue(np.array_equal(train["tokens"], (8 * TOKENS).astype(kind)[train["source"]].astype("f4")), kind)
        self.save("fortran.npy", np.asfortranarray(TOKENS))
        train, *_ = self.accepted("arrays", "--tokens", "fortran.npy", "--labels", "y.npy", out="fortran")
        self.assertTrue(np.array_equal(train["tokens"], TOKENS[train["source"]].astype("f4")))

    def test_links_and_permissions_of_the_files_are_kept(self):
        (self.folder / "out").mkdir()
        (self.folder / "elsewhere").write_bytes(b"old")
        (self.folder / "elsewhere").chmod(0o640)
        (self.folder / "out" / "train.safetensors").symlink_to("../elsewhere")
        self.accepted("arrays", *self.files)
        self.assertTrue((self.folder / "out" / "train.safetensors").is_symlink())
        self.assertEqual((self.folder / "elsewhere").stat().st_mode & 0o777, 0o640)
        self.assertGreater((self.folder / "elsewhere").stat().st_size, 100)
        (self.folder / "elsewhere").chmod(0o444)  # refused from the superuser too
        before = (self.folder / "elsewhere").read_bytes()
        ran = self.command("arrays", "--out", "out", *self.files, "--seed", "1")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertRegex(ran.stderr, r"\Aarrays: [^\n]+read-only\n\Z")
        self.assertEqual((self.folder / "elsewhere").read_bytes(), before)

    def test_npz_and_npy_give_the_same_bytes(self):
        named = {"tokens": TOKENS, "labels": SIGNS, "queries": INDICES, "decoder": DECODER, "of no concern": SIGNS}
        np.savez(self.folder / "plain.npz", **named)
        np.savez_compressed(self.folder / "packed.npz", **named)
        self.accepted("arrays", *self.files, "--queries", self.save("q.npy", INDICES), "--decoder",
                      self.save("u.npy", DECODER))
        for name in ("plain.npz", "packed.npz"):
            self.accepted("arrays", "--npz", name, out=name + " out")
            for part in ("train.safetensors", "test.safetensors"):
                self.assertEqual((self.folder / (name + " out") / part).read_bytes(), (self.folder / "out" / part).read_bytes())

    def test_labels(self):
        for zero_or_one in (SIGNS > 0).astype("i8"), (SIGNS > 0).astype("f4"):
            train, *_ = self.accepted("arrays", "--tokens", "X.npy", "--labels", self.save("z.npy", zero_or_one))
            self.assertEqual(train["labels"].tolist(), SIGNS[train["source"]].tolist())
        classes = np.arange(N) % 3
        train, test, _ = self.accepted("arrays", "--tokens", "X.npy", "--labels", self.save("c.npy", classes),
                                       "--positive", "2", "--negative", "0", "--queries", self.save("q.npy", INDICES))
        for tensors in train, test:
            place = tensors["source"]
            self.assertEqual(tensors["labels"].tolist(), [{2: 1, 0: -1}[k] for k in classes[place]])
            self.assertTrue(np.array_equal(tensors["tokens"], TOKENS[place].astype("f4")))
            self.assertEqual(tensors["queries"].tolist(), INDICES[place].tolist())

    def test_windows(self):
        features = TOKENS.reshape(N, T * D)
        train, test, about = self.accepted("arrays", "--tokens", self.save("f.npy", features), "--labels", "y.npy",
                                           "--window", "4", "--dtype", "f64")
        pooled = TOKENS[train["source"]].reshape(-1, D)
        for tensors in train, test:
            self.assertEqual(tensors["tokens"].shape[1:], (1 + T, D + T + 2))
            content = (TOKENS[tensors["source"]] - pooled.mean(0)) / pooled.std(0)
            # A few roundings of numbers below 2^2 at either side.
            self.assertTrue(np.abs(tensors["tokens"][:, 1:, :D] - content).max() <= 64 * 2.0 ** -52)
            self.assertTrue(np.array_equal(tensors["tokens"][:, 1:, D:D + T], np.broadcast_to(np.eye(T), content.shape[:2] + (T,))))
        self.assertEqual(about["layout"], {"content": [0, 4], "position": [4, 7], "constant": [7, 8], "class": [8, 9]})

    def test_one_hot_symbols(self):
        train, *_ = self.accepted("arrays", "--tokens", self.save("s.npy", SYMBOLS), "--labels", "y.npy", "--embedding",
                                  "one-hot", "--vocabulary", "7", "--position", "none")
        for i, sample in zip(train["source"], train["tokens"]):
            self.assertEqual(sample[0].tolist(), [0] * 7 + [1, 1])
            for symbol, token in zip(SYMBOLS[i], sample[1:]):
                self.assertEqual(token.tolist(), [float(k == symbol) for k in range(7)] + [1, 0])

    def test_random_symbols(self):
        arguments = ("--tokens", self.save("s.npy", SYMBOLS.astype("u1")), "--labels", "y.npy", "--embedding", "random:300",
                     "--dtype", "f64", "--position", "sinusoidal:2")
        train, *_ = self.accepted("arrays", *arguments)
        other, *_ = self.accepted("arrays", *arguments, "--seed", "1", out="other")
        vectors = {}
        for i, sample in zip(train["source"], train["tokens"]):
            for symbol, token in zip(SYMBOLS[i], sample[1:]):
                vectors.setdefault(int(symbol), set()).add(tuple(token[:300]))
        self.assertTrue(all(len(one) == 1 for one in vectors.values()))  # the same symbol, the same vector
        table = np.array([one.pop() for one in vectors.values()])
        self.assertEqual(len(np.unique(table, axis=0)), len(table))
        # |v|^2 is chi-squared over 300: deviation sqrt(2/300) = 0.08. Seven of them for a fixed seed.
        self.assertTrue(np.abs((table ** 2).sum(1) - 1).max() <= 7 * 0.0817)
        self.assertFalse(np.array_equal(np.unique(other["tokens"][:, 1:, 0]), np.unique(train["tokens"][:, 1:, 0])))


class Bad(ArraysTest):
    def refused_tokens(self, array, *words, more=()):
        self.save("bad.npy", array)
        self.refused("arrays", ("--tokens", "bad.npy", "--labels", "y.npy", *more), *words)

    def test_damaged_files(self):
        good = (self.folder / "X.npy").read_bytes()
        for data in (b"", good[:5], good[:40], good[:-1], b"\x93NUMPY\x09" + good[7:], b"text", good[:20] + b"(" + good[21:]):
            self.write("bad.npy", data)
            self.refused("arrays", ("--tokens", "bad.npy", "--labels", "y.npy"), "bad.npy")
        self.refused("arrays", ("--tokens", "nowhere.npy", "--labels", "y.npy"), "nowhere.npy", "No such file")
        np.save(self.folder / "bad.npy", np.array([{}]), allow_pickle=True)
        self.refused("arrays", ("--tokens", "bad.npy", "--labels", "y.npy"), "bad.npy", "pickle")

    def test_damaged_archives(self):
        np.savez_compressed(self.folder / "good.npz", tokens=TOKENS, labels=SIGNS)
        good = (self.folder / "good.npz").read_bytes()
        for data in (good[:-30], good[:200], good[:300] + bytes([good[300] ^ 0xFF]) + good[301:]):
            self.write("bad.npz", data)
            self.refused("arrays", ("--npz", "bad.npz"), "bad.npz", "damaged")
        np.savez(self.folder / "bad.npz", x=TOKENS, labels=SIGNS)
        self.refused("arrays", ("--npz", "bad.npz"), "bad.npz", "x, labels", "need tokens and labels")
        self.refused("arrays", ("--npz", "X.npy"), "X.npy", "--tokens")
        self.refused("arrays", ("--tokens", "good.npz", "--labels", "y.npy"), "good.npz", "--npz")
        self.refused("arrays", ("--npz", "good.npz", "--tokens", "X.npy"), "--tokens", "--npz")

    def test_arrays_that_do_not_fit(self):
        wrong = TOKENS.copy()
        wrong[4, 2, 1] = np.inf
        self.refused_tokens(wrong, "bad.npy", "[4, 2, 1]: inf")
        self.refused_tokens(TOKENS[:, 0, 0], "bad.npy", "[10]")
        self.refused_tokens(TOKENS[:0], "bad.npy", "[0, 3, 4]")
        self.refused_tokens(TOKENS.astype("c16"), "bad.npy", "complex128")
        self.refused_tokens(TOKENS[:9], "y.npy", "[10] (need [9]")
        self.refused_tokens(TOKENS * 1e300, "--dtype", "f32")
        self.refused_tokens(TOKENS[:, 0], "bad.npy", "--window or --embedding")
        self.refused_tokens(TOKENS, "without", more=("--window", "2"))
        self.refused_tokens(TOKENS[:, 0], "--window", "3", "4 features", more=("--window", "3"))
        self.refused_tokens(TOKENS[:, 0], "element [0, 0]", "whole", more=("--embedding", "one-hot"))
        self.refused_tokens(SYMBOLS - 1, "element [1, 0]: -1", more=("--embedding", "one-hot"))
        self.refused_tokens(SYMBOLS, "element [0, 0]: 4", "4", more=("--embedding", "one-hot", "--vocabulary", "4"))
        self.refused_tokens(SYMBOLS, "--embedding", "random:0", more=("--embedding", "random:0"))
        self.refused_tokens(TOKENS, "--vocabulary", more=("--vocabulary", "4"))

    def test_sizes_that_nobody_has(self):
        huge = SYMBOLS.astype("i8")
        huge[0, 0] = 2**52
        self.refused_tokens(huge, "bad.npy", "symbols", more=("--embedding", "one-hot"))
        for more in (("--embedding", "one-hot", "--vocabulary", "9" * 18), ("--embedding", "one-hot", "--vocabulary", "9" * 30),
                     ("--embedding", "one-hot", "--vocabulary", "4000000000")):
            self.refused_tokens(SYMBOLS, "--vocabulary", more=more)
        for size in ("9" * 18, "9" * 25, "9" * 5000):
            self.refused_tokens(SYMBOLS, "random:", more=("--embedding", "random:" + size))
        self.refused_tokens(SYMBOLS, "--position", more=("--embedding", "random:2", "--position", "sinusoidal:" + "8" * 18))
        self.refused_tokens(np.full((N, 6), 2**64 - 1, "u8"), "18446744073709551615", more=("--embedding", "random:2"))
        ran = self.command("arrays", "--out", "out", *self.files, "--seed", "9" * 4000)
        self.assertLess(len(ran.stderr), 300)  # a long value is not repeated in full

    def test_labels_queries_and_decoders_that_do_not_fit(self):
        for labels, words in ((np.arange(N), ("y.npy", "0, 1, 2")), (SIGNS * 0.5, ("y.npy", "element [0]: 0.5")),
                              (SIGNS * np.nan, ("y.npy", "nan")), (np.ones(N), ("y.npy", "classes 1"))):
            self.save("y.npy", labels)
            self.refused("arrays", self.files, *words)
        self.save("y.npy", SIGNS)
        for option, array, words in (("--queries", INDICES + 1, ("bad.npy", ": 3 (need 0 to 2)")),
                                     ("--queries", VECTORS[:, 1:], ("bad.npy", "[10, 3] (need [10, 4]")),
                                     ("--queries", INDICES[1:], ("bad.npy", "[9] (need [10]")),
                                     ("--queries", VECTORS * np.inf, ("bad.npy", "inf")),
                                     ("--decoder", DECODER[1:], ("bad.npy", "[3] (need [4]")),
                                     ("--decoder", DECODER * np.nan, ("bad.npy", "nan"))):
            self.save("bad.npy", array)
            self.refused("arrays", (*self.files, option, "bad.npy"), *words)
        self.save("s.npy", SYMBOLS)
        self.refused("arrays", ("--tokens", "s.npy", "--labels", "y.npy", "--embedding", "one-hot", "--queries", "y.npy"),
                     "y.npy", "only goes with")
        self.refused("arrays", ("--tokens", "X.npy"), "--labels", "missing")
        self.save("two.npy", TOKENS[:2])
        self.refused("arrays", ("--tokens", "two.npy", "--labels", self.save("few.npy", SIGNS[:2])), "--test-fraction")


if __name__ == "__main__":
    unittest.main()
