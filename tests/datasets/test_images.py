"""IDX files, plain and zipped, good and damaged; patches, layout and standardisation against plain loops."""
import gzip
import struct
import unittest

from support import CommandTest, idx_bytes

import numpy as np

N, ROWS, COLUMNS = 12, 4, 6
IMAGES = np.random.RandomState(5).randint(0, 256, (N, ROWS, COLUMNS)).astype("u1")
CLASSES = np.array([3, 8, 1, 3, 8, 3, 8, 1, 3, 8, 3, 8], "u1")


class ImagesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("images", idx_bytes(IMAGES))
        self.write("labels", idx_bytes(CLASSES))
        self.files = ("--images", "images", "--labels", "labels")
        self.options = (*self.files, "--positive", "3", "--negative", "8", "--patch", "2")


class Good(ImagesTest):
    def require_tokens(self, tensors, training, position):
        """Every number from its definition, by loops. Three roundings to float32 of numbers below 2^3."""
        places = [(r, c) for r in range(0, ROWS, 2) for c in range(0, COLUMNS, 2)]
        pixel = [[float(IMAGES[i, r + a, c + b]) for i in training for r, c in places] for a in range(2) for b in range(2)]
        mean = [sum(values) / len(values) for values in pixel]
        deviation = [(sum((x - m) ** 2 for x in values) / len(values)) ** 0.5 for values, m in zip(pixel, mean)]
        for i, sample in zip(tensors["source"], tensors["tokens"]):
            self.assertEqual(len(sample), 1 + len(places))
            self.assertEqual(sample[0].tolist(), [0.0] * (len(sample[0]) - 2) + [1.0, 1.0])
            for t, (r, c) in enumerate(places):
                content = [(float(IMAGES[i, r + k // 2, c + k % 2]) - mean[k]) / deviation[k] for k in range(4)]
                expected = position(t, len(places), content) + [1.0, 0.0]
                self.assertEqual(len(sample[1 + t]), len(expected))
                error = max(abs(a - b) for a, b in zip(sample[1 + t].tolist(), expected))
                self.assertTrue(error <= 8 * 2.0 ** -24, error)

    def require_everything(self, position, *arguments):
        train, test, about = self.accepted("images", *self.options, *arguments)
        self.require_tokens(train, train["source"], position)
        self.require_tokens(test, train["source"], position)  # never standardised by itself
        both = np.concatenate([train["source"], test["source"]])
        self.assertEqual(sorted(both), np.flatnonzero(CLASSES != 1).tolist())
        for tensors in (train, test):
            self.assertEqual(tensors["labels"].tolist(), [1 if CLASSES[i] == 3 else -1 for i in tensors["source"]])
            self.assertEqual(about["dim"], tensors["tokens"].shape[2])
        self.assertEqual([np.sum(test["labels"] == sign) for sign in (1, -1)], [1, 1])  # a quarter of 5, rounded
        return train, test, about

    def test_one_hot_position(self):
        self.require_everything(lambda t, n, content: content + [float(t == k) for k in range(n)])

    def test_sinusoidal_position(self):
        def position(t, n, content):
            return content + [f(t / 10000 ** (k / 4)) for k in (0, 2) for f in (np.sin, np.cos)]
        self.require_everything(position, "--position", "sinusoidal:4")

    def test_blocks(self):
        self.require_everything(lambda t, n, content: [0.0] * (4 * t) + content + [0.0] * (4 * (n - 1 - t)),
                                "--position", "blocks")

    def test_no_position(self):
        self.require_everything(lambda t, n, content: content, "--position", "none")

    def test_one_against_rest_and_seeds(self):
        first, *_ = self.accepted("images", *self.files, "--one-vs-rest", "1", "--patch", "1", out="first")
        self.assertEqual(first["labels"].tolist(), [1 if CLASSES[i] == 1 else -1 for i in first["source"]])
        parts = set()
        for seed in range(4):
            train, *_ = self.accepted("images", *self.options, "--seed", seed, out=f"seed{seed}")
            parts.add(tuple(train["source"]))
        self.assertGreater(len(parts), 1)

    def test_the_same_seed_gives_the_same_bytes_zipped_or_not(self):
        self.write("images.gz", idx_bytes(IMAGES), zipped=True)
        self.write("zipped labels", idx_bytes(CLASSES), zipped=True)
        self.accepted("images", *self.options, out="a")
        self.accepted("images", *self.options, "--images", "images.gz", "--labels", "zipped labels", out="b")
        for name in ("train.safetensors", "test.safetensors"):
            self.assertEqual((self.folder / "a" / name).read_bytes(), (self.folder / "b" / name).read_bytes())

    def test_test_files_are_the_test_part(self):
        self.write("more", idx_bytes(IMAGES[:5]))
        self.write("more labels", idx_bytes(CLASSES[:5]))
        train, test, _ = self.accepted("images", *self.options, "--test-images", "more", "--test-labels", "more labels")
        self.assertEqual(train["source"].tolist(), np.flatnonzero(CLASSES != 1).tolist())
        self.assertEqual(test["source"].tolist(), [0, 1, 3, 4])
        self.require_tokens(test, train["source"], lambda t, n, content: content + [float(t == k) for k in range(n)])

    def test_limit(self):
        train, test, _ = self.accepted("images", *self.options, "--limit", "6")
        self.assertEqual(len(train["source"]) + len(test["source"]), 6)

    def test_every_type_of_element(self):
        expected = self.accepted("images", *self.options, "--images", self.write("i2", idx_bytes(IMAGES.astype("i2"))))
        for kind in ("i4", "f4", "f8"):
            self.write(kind, idx_bytes(IMAGES.astype(kind)))
            train, *_ = self.accepted("images", *self.options, "--images", kind, out=f"out {kind}")
            self.assertTrue(np.array_equal(train["tokens"], expected[0]["tokens"]), kind)

    def test_a_pixel_that_never_changes_keeps_its_unit(self):
        constant = IMAGES.astype("f8")
        constant[:, ::2, ::2] = 0.1  # 0.1 + 0.1 + ... over the count is not 0.1
        train, _, about = self.accepted("images", *self.options, "--images", self.write("c", idx_bytes(constant)))
        self.assertTrue(np.abs(train["tokens"][:, 1:, 0]).max() <= 1e-15)
        self.assertEqual(about["standard"]["deviation"][0], constant.max())

    def test_large_and_small_pixels_are_standardised_alike(self):
        plain, *_ = self.accepted("images", *self.options)
        for exponent in (-600, 900):
            scaled = np.ldexp(IMAGES.astype("f8"), exponent)
            train, *_ = self.accepted("images", *self.options, "--images", self.write("s", idx_bytes(scaled)), out="s out")
            self.assertTrue(np.array_equal(train["tokens"], plain["tokens"]), exponent)


class Bad(ImagesTest):
    def refused_images(self, data, *words, zipped=False):
        self.write("damaged", data, zipped)
        self.refused("images", (*self.options, "--images", "damaged"), "damaged", *words)

    def test_damaged_headers(self):
        good = idx_bytes(IMAGES)
        self.refused_images(b"", "magic", "0 of 4")
        self.refused_images(good[:3], "magic", "3 of 4")
        self.refused_images(b"\1" + good[1:], "magic", "0x01000803")
        self.refused_images(good[:2] + b"\x0a" + good[3:], "type", "0x0a")
        self.refused_images(good[:3] + b"\1" + good[4:], "dimensions", "1 (need 3)")
        self.refused_images(good[:10], "size 1", "6 of 12")
        self.refused_images(good[:8] + struct.pack(">I", 0) + good[12:], "size 1", "0 (need at least 1)")
        self.refused_images(good[:4] + b"\xff" * 12 + good[16:], "data", "truncated")

    def test_damaged_data(self):
        good = idx_bytes(IMAGES)
        self.refused_images(good[:-1], "data", f"{N * ROWS * COLUMNS - 1} bytes (need {N * ROWS * COLUMNS}")
        self.refused_images(good + b"\0", "data", "more than")
        self.refused_images(good[:-1], "data", "truncated", zipped=True)
        zipped = gzip.compress(good)
        self.refused_images(zipped[:-9], "gzip")
        self.refused_images(zipped[:30] + bytes([zipped[30] ^ 0xFF]) + zipped[31:], "damaged")
        self.refused_images(zipped[:-8] + bytes([zipped[-8] ^ 1]) + zipped[-7:], "gzip", "CRC")
        wrong = IMAGES.astype("f4")
        wrong[7, 1, 2] = np.nan
        self.refused("images", (*self.options, "--images", self.write("wrong", idx_bytes(wrong))), "wrong: data", "[7, 1, 2]: nan")

    def test_files_that_do_not_fit(self):
        self.refused("images", (*self.options, "--labels", self.write("few", idx_bytes(CLASSES[:-1]))), "few", "11 labels")
        self.refused("images", (*self.options, "--labels", self.write("f", idx_bytes(CLASSES.astype("f4")))), "f: type")
        self.refused("images", (*self.options, "--labels", "images"), "images: dimensions: 3 (need 1)")
        self.refused("images", (*self.options, "--images", "nowhere"), "nowhere", "No such file")
        self.refused("images", (*self.options, "--images", "."), "directory")
        self.write("other", idx_bytes(IMAGES[:, :, :4]))
        self.refused("images", (*self.options, "--test-images", "other", "--test-labels", "labels"), "--test-images", "[4, 4]")
        self.refused("images", (*self.options, "--test-images", "images"), "--test-labels", "missing")

    def test_options(self):
        for arguments, words in ((("--patch", "4"), ("--patch", "4", "6 columns")), (("--patch", "0"), ("--patch", "0")),
                                 (("--positive", "5"), ("--positive", "5", "1, 3, 8")),
                                 (("--positive", "8"), ("--negative", "8")),
                                 (("--one-vs-rest", "1"), ("--one-vs-rest",)),
                                 (("--test-fraction", "0"), ("--test-fraction", "0")),
                                 (("--test-fraction", "nan"), ("--test-fraction", "nan")),
                                 (("--seed", "-1"), ("--seed", "-1")), (("--dtype", "bf16"), ("--dtype", "bf16")),
                                 (("--position", "sinusoidal:3"), ("--position", "sinusoidal:3")),
                                 (("--nothing",), ("--nothing",))):
            self.refused("images", (*self.options, *arguments), *words)
        self.refused("images", (*self.files, "--patch", "2"), "--one-vs-rest", "missing")
        self.refused("images", (*self.files, "--positive", "3"), "--negative", "missing")


if __name__ == "__main__":
    unittest.main()
