"""CIFAR-10's two versions on small files made here: every number, and files that are damaged or want to call something."""
import os
import pickle
import unittest

from support import CommandTest

import numpy as np

N = 10
STREAM = np.random.RandomState(11)
PLANES = STREAM.randint(0, 256, (N, 3, 32, 32)).astype("u1")  # red, green, blue, each row by row
CLASSES = [3, 5, 3, 5, 1, 3, 5, 3, 5, 1]
CHOICE = ("--positive", "3", "--negative", "5", "--patch", "16")


def records(planes=PLANES, classes=CLASSES):
    return b"".join(bytes([c]) + image.tobytes() for c, image in zip(classes, planes))


def old_pickle(data, classes):
    """A batch as Python 2 wrote the files that are handed out: opcodes by hand, texts that are bytes."""
    def text(value):
        return b"T" + len(value).to_bytes(4, "little") + value
    array = (b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\0\x85" + b"U\1b" + b"\x87R" +
             b"(K\1" + b"".join(b"J" + size.to_bytes(4, "little") for size in data.shape) + b"\x86" +
             b"cnumpy\ndtype\n" + b"U\2u1K\0K\1\x87R(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb" +
             b"\x89" + text(data.tobytes()) + b"tb")
    labels = b"](" + b"".join(b"K" + bytes([c]) for c in classes) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u."


class Cifar(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("one.bin", records())

    def test_every_number(self):
        train, test, about = self.accepted("cifar", "--batches", "one.bin", *CHOICE)
        self.assertEqual(train["tokens"].shape[1:], (5, 16 * 16 * 3 + 4 + 2))
        both = np.concatenate([train["source"], test["source"]])
        self.assertEqual(sorted(both), [k for k in range(N) if CLASSES[k] != 1])
        mean, deviation = about["standard"]["mean"], about["standard"]["deviation"]
        values = {}
        for tensors in (train, test):
            self.assertEqual(tensors["labels"].tolist(), [1 if CLASSES[i] == 3 else -1 for i in tensors["source"]])
            for i, tokens in zip(tensors["source"], tensors["tokens"]):
                for t, (r, c) in enumerate((r, c) for r in (0, 16) for c in (0, 16)):
                    pixels = [float(PLANES[i, k, r + a, c + b]) for a in range(16) for b in range(16) for k in range(3)]
                    values[i, t] = pixels
                    error = max(abs(x - (p - m) / s) for x, p, m, s in zip(tokens[1 + t].tolist(), pixels, mean, deviation))
                    self.assertTrue(error <= 8 * 2.0 ** -24, error)  # numbers below 8
        for k in (0, 100, 767):  # mean and deviation are those of the training part
            column = [values[i, t][k] for i in train["source"] for t in range(4)]
            expected = sum(column) / len(column)
            self.assertTrue(abs(mean[k] - expected) <= 1e-10)
            self.assertTrue(abs(deviation[k] - (sum((x - expected) ** 2 for x in column) / len(column)) ** 0.5) <= 1e-10)

    def test_both_versions_and_several_files(self):
        expected, *_ = self.accepted("cifar", "--batches", "one.bin", *CHOICE, out="binary")
        rows = PLANES.reshape(N, -1)
        self.write("old", old_pickle(rows, CLASSES))
        for protocol in (2, 3, 4):
            self.write(f"new {protocol}", pickle.dumps({b"data": rows, b"labels": CLASSES}, protocol))
        self.write("half.bin", records(PLANES[:4], CLASSES[:4]))
        self.write("rest", pickle.dumps({"data": rows[4:], "labels": np.array(CLASSES[4:])}, 4))
        for files in (("old",), ("new 2",), ("new 3",), ("new 4",), ("half.bin", "rest")):
            train, *_ = self.accepted("cifar", "--batches", *files, *CHOICE, out="out " + files[0])
            self.assertEqual(train["tokens"].tobytes(), expected["tokens"].tobytes(), files)
            self.assertEqual(train["labels"].tobytes(), expected["labels"].tobytes(), files)

    def test_test_files_and_limit(self):
        self.write("test.bin", records(PLANES[:4], CLASSES[:4]))
        train, test, _ = self.accepted("cifar", "--batches", "one.bin", "--test-batches", "test.bin", "--one-vs-rest", "3",
                                       "--limit", "6")
        self.assertEqual((len(train["labels"]), len(test["labels"])), (6, 4))
        self.assertEqual(test["labels"].tolist(), [1, -1, 1, -1])

    def test_a_pickle_calls_nothing(self):
        class Call:
            def __init__(self, function, *arguments):
                self.call = function, arguments

            def __reduce__(self):
                return self.call
        for value in (Call(os.mkdir, "made"), {"data": Call(os.mkdir, "made"), "labels": []},
                      {"data": Call(eval, "__import__('os').mkdir('made')"), "labels": []}):
            for protocol in (2, 4):
                self.write("evil", pickle.dumps(value, protocol))
                self.refused("cifar", ("--batches", "evil", *CHOICE), "evil", "which is not called")
        self.assertFalse((self.folder / "made").exists())

    def test_bad_files(self):
        good = records()
        for data, words in ((b"", ("0 bytes",)), (good[:-1], (f"{N * 3073 - 1} bytes", "3073")),
                            (b"\x0a" + good[1:], ("image 0", "class 10")), (b"\x80", ("damaged",)), (b"\x80\x02}.", ("none",)),
                            (pickle.dumps([1, 2]), ("need data and labels",)),
                            (pickle.dumps({"data": 1, "labels": []}), ("data", "int")),
                            (pickle.dumps({"data": np.zeros((2, 3), "u1"), "labels": [1, 2]}), ("data", "[2, 3]")),
                            (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}), ("data", "float64")),
                            (pickle.dumps({"data": np.zeros((1, 3072), "u1"), "labels": [1, 2]}), ("labels",)),
                            (pickle.dumps({"data": np.zeros((1, 3072), "u1"), "labels": ["a"]}), ("labels", "element 0")),
                            (pickle.dumps({"data": np.zeros((0, 3072), "u1"), "labels": []}), ("no images",)),
                            (pickle.dumps({b"data": 1, b"fine_labels": []}), ("fine_labels",)),
                            (old_pickle(PLANES.reshape(N, -1), CLASSES)[:-40], ("damaged",))):
            self.write("bad", data)
            self.refused("cifar", ("--batches", "bad", *CHOICE), "bad", *words)
        self.refused("cifar", ("--batches", "one.bin", "nowhere", *CHOICE), "nowhere", "No such file")
        self.refused("cifar", ("--batches", "one.bin", "--positive", "3", "--negative", "7"), "--negative", "7")
        self.refused("cifar", ("--batches", "one.bin"), "--one-vs-rest", "missing")


if __name__ == "__main__":
    unittest.main()
