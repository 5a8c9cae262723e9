"""Faces and photographs: stand-in files made here, patches and levels against plain loops, packages with and without the files."""
import os
import unittest

from support import CommandTest

import numpy as np
from PIL import Image


def standardised(pieces, training):
    """pieces[i][t]: numbers of a patch. Mean and deviation of each component over all places of the training part, by loops."""
    size = len(pieces[0][0])
    columns = [[float(piece[k]) for i in training for piece in pieces[i]] for k in range(size)]
    mean = [sum(column) / len(column) for column in columns]
    deviation = [(sum((x - m) ** 2 for x in column) / len(column)) ** 0.5 for column, m in zip(columns, mean)]
    return [[[(piece[k] - mean[k]) / deviation[k] for k in range(size)] for piece in sample] for sample in pieces]


class Pictures(CommandTest):
    def require_tokens(self, tensors, expected):
        """[content, one-hot place, constant, class]; numbers below 2^4, a few roundings to float32."""
        for i, sample in zip(tensors["source"], tensors["tokens"]):
            n_places = len(expected[i])
            self.assertEqual(len(sample), 1 + n_places)
            self.assertEqual(sample[0].tolist(), [0.0] * (len(sample[0]) - 2) + [1.0, 1.0])
            for t, content in enumerate(expected[i]):
                whole = content + [float(t == k) for k in range(n_places)] + [1.0, 0.0]
                self.assertEqual(len(sample[1 + t]), len(whole))
                error = max(abs(a - b) for a, b in zip(sample[1 + t].tolist(), whole))
                self.assertTrue(error <= 16 * 2.0 ** -24, error)


class Faces(Pictures):
    def setUp(self):
        super().setUp()
        self.images = np.random.RandomState(8).uniform(0, 1, (8, 5, 7))  # patches of 2 leave out a row and a column
        self.save("some.npy", self.images)

    def test_every_number(self):
        train, test, about = self.accepted("faces", "--file", "some.npy", "--patch", "2")
        pieces = []
        for image in self.images:
            image = [[float(x) for x in row[:6]] for row in image[:4]]
            every = [x for row in image for x in row]
            mean = sum(every) / len(every)
            deviation = (sum((x - mean) ** 2 for x in every) / len(every)) ** 0.5
            pieces.append([[(image[r + a][c + b] - mean) / deviation for a in range(2) for b in range(2)]
                           for r in (0, 2) for c in (0, 2, 4)])
        expected = standardised(pieces, train["source"])
        for tensors in (train, test):
            self.require_tokens(tensors, expected)
            self.assertEqual(tensors["labels"].tolist(), [1 if i < 4 else -1 for i in tensors["source"]])
        self.assertEqual((len(train["labels"]), len(test["labels"])), (6, 2))
        self.assertEqual(about["image"], [4, 6])

    def test_brightness_and_contrast_say_nothing(self):
        plain, *_ = self.accepted("faces", "--file", "some.npy", "--patch", "2", "--dtype", "f64", out="plain")
        other = self.images * np.arange(1, 9)[:, None, None] + np.arange(8)[:, None, None]
        brighter, *_ = self.accepted("faces", "--file", self.save("b.npy", other), "--patch", "2", "--dtype", "f64", out="other")
        self.assertTrue(np.abs(plain["tokens"] - brighter["tokens"]).max() <= 1e-12)  # of numbers below 16, a few roundings of 8

    def test_a_picture_of_a_single_grey(self):
        self.images[2] = 0.1
        train, test, _ = self.accepted("faces", "--file", self.save("grey.npy", self.images), "--patch", "2", "--dtype", "f64")
        for tensors in (train, test):
            for i, tokens in zip(tensors["source"], tensors["tokens"]):
                if i == 2:  # every patch is the same: 0, standardised
                    self.assertTrue(np.array_equal(tokens[1:, :4], np.tile(tokens[1, :4], (6, 1))))

    def test_the_file_of_the_package(self):
        """A stand-in package: with the file, without it, and a module that is no package."""
        folder = self.folder / "packages" / "skimage"
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('is not to be imported')\n")
        os.environ["PYTHONPATH"] = str(self.folder / "packages")
        self.addCleanup(os.environ.pop, "PYTHONPATH")
        self.refused("faces", ("--patch", "2"), "--file", "missing", "brings no", "lfw_subset.npy")
        np.save(folder / "data" / "lfw_subset.npy", self.images)
        here, *_ = self.accepted("faces", "--patch", "2", out="here")
        given, *_ = self.accepted("faces", "--patch", "2", "--file", "some.npy", out="given")
        self.assertEqual(here["tokens"].tobytes(), given["tokens"].tobytes())
        (self.folder / "no package").mkdir()
        (self.folder / "no package" / "skimage.py").write_text("")
        os.environ["PYTHONPATH"] = str(self.folder / "no package")
        self.refused("faces", ("--patch", "2"), "--file", "missing", "scikit-image is not installed")

    def test_bad_files_and_options(self):
        for name, array, words in (("odd", self.images[:5], ("odd", "[5, 5, 7]")), ("flat", self.images[0], ("flat", "[5, 7]")),
                                   ("few", self.images[:2], ("few", "[2, 5, 7]")),
                                   ("nan", np.full((4, 2, 2), np.nan), ("nan", "[0, 0, 0]: nan")),
                                   ("text", np.array([["a"]]), ("text", "type"))):
            self.refused("faces", ("--file", self.save(f"{name}.npy", array)), *words)
        self.refused("faces", ("--file", "some.npy", "--patch", "6"), "--patch", "6", "[5, 7]")
        self.refused("faces", ("--file", "some.npy", "--positive", "1"), "--positive")
        self.refused("faces", ("--file", "nowhere.npy"), "nowhere.npy", "No such file")
        self.write("damaged", b"\x93NUMPY")
        self.refused("faces", ("--file", "damaged"), "damaged")


class Photos(Pictures):
    def setUp(self):
        super().setUp()
        stream = np.random.RandomState(9)
        # a: two rows of tiles, a row of pixels is left over; b: the border at 15 cuts the fourth tile.
        self.pixels = {"a.png": stream.randint(0, 256, (9, 16, 3)).astype("u1"),
                       "b.png": stream.randint(0, 256, (4, 20, 3)).astype("u1")}
        for name, pixels in self.pixels.items():
            Image.fromarray(pixels).save(self.folder / name)
        self.files = ("--first", "a.png", "--second", "b.png")
        self.options = (*self.files, "--tile", "4", "--patch", "2", "--test-fraction", "0.25")

    def test_every_number(self):
        train, test, about = self.accepted("photos", *self.options)
        corners = [("a.png", r, c) for r in (0, 4) for c in (0, 4, 8, 12)] + [("b.png", 0, c) for c in (0, 4, 8, 16)]
        self.assertEqual(train["source"].tolist(), [0, 1, 2, 4, 5, 6, 8, 9, 10])
        self.assertEqual(test["source"].tolist(), [3, 7, 11])
        pieces = []
        for name, r, c in corners:
            tile = [[[float(x) / 255 for x in pixel] for pixel in row[c:c + 4]] for row in self.pixels[name][r:r + 4]]
            mean = sum(x for row in tile for pixel in row for x in pixel) / 48
            pieces.append([[tile[y + a][x + b][k] - mean for a in range(2) for b in range(2) for k in range(3)]
                           for y in (0, 2) for x in (0, 2)])
        expected = standardised(pieces, train["source"])
        for tensors in (train, test):
            self.require_tokens(tensors, expected)
            self.assertEqual(tensors["labels"].tolist(), [1 if i < 8 else -1 for i in tensors["source"]])
        self.assertEqual((about["image"], about["source"]), ([4, 4, 3], ["a.png", "b.png"]))

    def test_grey_is_three_equal_colours(self):
        grey = self.pixels["a.png"][:, :, 0]
        Image.fromarray(grey).save(self.folder / "grey.png")
        Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(self.folder / "same.png")
        tokens = [self.accepted("photos", *self.options, "--first", name, out=name + " out")[0]["tokens"]
                  for name in ("grey.png", "same.png")]
        self.assertEqual(tokens[0].tobytes(), tokens[1].tobytes())

    def test_bad_files_and_options(self):
        self.refused("photos", (*self.options, "--test-fraction", "0.15"), "a.png", "9 x 16 pixels", "right part")
        self.refused("photos", (*self.options, "--tile", "17"), "a.png", "no tile of 17 x 17")
        self.refused("photos", (*self.options, "--tile", "0"), "--tile", "0")
        self.refused("photos", (*self.options, "--patch", "3"), "--patch", "3", "4 rows")
        self.refused("photos", (*self.options, "--first", "nowhere.png"), "nowhere.png", "No such file")
        self.refused("photos", (*self.options, "--second", self.write("text", b"no picture")), "text", "not a picture")
        whole = (self.folder / "a.png").read_bytes()
        self.refused("photos", (*self.options, "--first", self.write("short.png", whole[:len(whole) // 2])), "short.png", "damaged")

    def test_defaults_are_the_photographs_of_scikit_learn(self):
        train, test, about = self.accepted("photos")
        self.assertEqual((train["tokens"].shape, test["tokens"].shape), ((364, 17, 210), (156, 17, 210)))
        self.assertEqual((np.sum(train["labels"]), np.sum(test["labels"])), (0, 0))
        self.assertIn("china.jpg", about["source"][0])
        from sklearn.datasets import load_sample_image
        photo = load_sample_image("flower.jpg") / 255.0
        tile = photo[:32, 448:480] - photo[:32, 448:480].mean()  # the first of the second photograph in the test part
        first = int(np.flatnonzero(test["labels"] < 0)[0])
        content = test["tokens"][first, 1, :192] * np.array(about["standard"]["deviation"]) + about["standard"]["mean"]
        self.assertTrue(np.abs(content - tile[:8, :8].ravel()).max() <= 1e-6)


if __name__ == "__main__":
    unittest.main()
