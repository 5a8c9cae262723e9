"""Labelled texts: CSV and JSON lines made here, every token from its definition, bad files."""
import json
import unittest

from support import CommandTest

import numpy as np

TEXTS = ["A good, GOOD film!<br /><br />It's fine", "bad film - very bad: 0 of 10", 'so "good"\nthat I wept', "not good, bad",
         "fine, fine", "a bad one", "the good one", "très bad"]
SIGNS = [1, -1, 1, -1, 1, -1, 1, -1]
WORDS = [["a", "good", "good", "film", "it's", "fine"], ["bad", "film", "very", "bad", "of"],
         ["so", "good", "that", "i", "wept"], ["not", "good", "bad"], ["fine", "fine"], ["a", "bad", "one"],
         ["the", "good", "one"], ["très", "bad"]]


def csv_of(rows):
    return "".join(",".join('"' + str(x).replace('"', '""') + '"' for x in row) + "\r\n" for row in rows).encode()


class Texts(CommandTest):
    def setUp(self):
        super().setUp()
        names = {1: "positive", -1: "negative"}
        self.write("some.csv", csv_of([("review", "sentiment"), *((t, names[s]) for t, s in zip(TEXTS, SIGNS))]))
        self.columns = ("--text", "review", "--label", "sentiment")

    def lines(self, name, rows):
        return self.write(name, b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    def require_tokens(self, tensors, vocabulary, vectors, n_words):
        self.assertEqual(tensors["offsets"][0], 0)
        self.assertEqual(tensors["offsets"][-1], len(tensors["tokens"]))
        for k, i in enumerate(tensors["source"]):
            tokens = tensors["tokens"][tensors["offsets"][k]:tensors["offsets"][k + 1]]
            known = [word for word in WORDS[i] if word in vocabulary][:n_words]
            self.assertEqual(len(tokens), 1 + len(known))
            self.assertEqual(tokens[0].tolist(), [0.0] * len(vectors[0]) + [1.0, 1.0])
            for token, word in zip(tokens[1:], known):
                self.assertEqual(token.tolist(), [*vectors[vocabulary.index(word)], 1.0, 0.0])
            self.assertEqual(tensors["labels"][k], SIGNS[i])

    def test_every_token(self):
        for size, n_words in ((5000, 64), (4, 3)):
            train, test, about = self.accepted("text", "--file", "some.csv", *self.columns, "--embedding", "one-hot",
                                               "--vocabulary", size, "--words", n_words, out=f"out {size}")
            vocabulary = about["vocabulary"]
            counts = {}
            for i in train["source"]:
                for word in WORDS[i]:
                    counts[word] = counts.get(word, 0) + 1
            expected = sorted(sorted(counts), key=lambda word: -counts[word])[:size]
            self.assertEqual(vocabulary, expected)
            for tensors in (train, test):
                self.require_tokens(tensors, vocabulary, np.eye(len(vocabulary)).tolist(), n_words)
            self.assertEqual((len(train["labels"]), len(test["labels"])), (6, 2))

    def test_random_vectors_are_the_words_own(self):
        train, test, about = self.accepted("text", "--file", "some.csv", *self.columns, "--embedding", "random:3")
        self.assertEqual(train["tokens"].shape[1], 5)
        vectors = {}
        for tensors in (train, test):
            for k, i in enumerate(tensors["source"]):
                known = [word for word in WORDS[i] if word in about["vocabulary"]]
                for token, word in zip(tensors["tokens"][tensors["offsets"][k] + 1:tensors["offsets"][k + 1]], known):
                    self.assertEqual(vectors.setdefault(word, token.tolist()), token.tolist())
        self.assertEqual(len({tuple(v) for v in vectors.values()}), len(about["vocabulary"]))

    def test_json_lines_are_the_same(self):
        expected, *_ = self.accepted("text", "--file", "some.csv", *self.columns, out="csv")
        for name, labels in (("numbers", [max(s, 0) for s in SIGNS]), ("truth", [s > 0 for s in SIGNS]),
                             ("signs", SIGNS), ("words", ["pos" if s > 0 else "neg" for s in SIGNS])):
            self.lines(name, [{"text": t, "label": label, "id": k} for k, (t, label) in enumerate(zip(TEXTS, labels))])
            train, *_ = self.accepted("text", "--file", name, out=name + " out")
            self.assertEqual(train["tokens"].tobytes(), expected["tokens"].tobytes(), name)
            self.assertEqual(train["labels"].tobytes(), expected["labels"].tobytes(), name)

    def test_chosen_labels_and_a_test_file(self):
        stars = [5, 1, 5, 1, 4, 1, 5, 3]
        self.lines("stars", [{"text": t, "stars": k} for t, k in zip(TEXTS, stars)])
        self.lines("more", [{"text": "good unheard words", "stars": 5}, {"text": "!?", "stars": 1}, {"text": "film", "stars": 2}])
        train, test, about = self.accepted("text", "--file", "stars", "--label", "stars", "--positive", "5", "--negative", "1",
                                           "--test-file", "more", "--embedding", "one-hot")
        self.assertEqual(train["source"].tolist(), [0, 1, 2, 3, 5, 6])
        self.assertEqual(test["source"].tolist(), [0, 1])
        self.assertEqual(test["offsets"].tolist(), [0, 2, 3])  # a class token each, and the one word that is known
        self.assertEqual(test["labels"].tolist(), [1, -1])
        self.refused("text", ("--file", "stars", "--label", "stars"), "--positive", "missing", "1, 3, 4, 5")
        self.refused("text", ("--file", "stars", "--label", "stars", "--positive", "5"), "--negative", "missing")
        self.refused("text", ("--file", "stars", "--label", "stars", "--positive", "5", "--negative", "2"), "--negative", "2")
        self.refused("text", ("--file", "stars", "--label", "stars", "--positive", "5", "--negative", "5"), "--negative")

    def test_bad_files(self):
        good = {"text": "a b", "label": 1}
        for data, words in ((b"", ("bad: empty",)), (b"text,label\n", ("no texts",)), (b"text,label\na,1,2\n", ("line 2", "3 fields")),
                            (b'text,label\n"a,1\n', ("line",)), (b"text,mark\na,1\n", ("--label", "label", "text, mark")),
                            (b"text,label\n\xff,1\n", ("UTF-8",)), (b"{", ("line 1", "JSON")), (b'{"text": 1}\n[2]\n', ("--label",)),
                            (json.dumps(good).encode() + b"\n[2]\n", ("line 2", "object")),
                            (b'{"text": 5, "label": 1}', ("line 1", "need a text")),
                            (b'{"text": "a", "label": null}', ("line 1", "label")),
                            (b'{"text": "a", "label": 0.5}', ("line 1", "label")), (b"[" * 100000, ()),
                            (b'{"text":' + b"[" * 100000, ("line 1", "JSON")),
                            (b"text,label\n!,1\n?,0\n!,1\n?,0\n", ("--file", "no word"))):
            self.write("bad", data)
            self.refused("text", ("--file", "bad"), *words)
        for arguments, words in ((("--words", "0"), ("--words", "0")), (("--vocabulary", "x"), ("--vocabulary", "x")),
                                 (("--embedding", "random:0"), ("--embedding",)), (("--text", "body"), ("--text", "body"))):
            self.refused("text", ("--file", "some.csv", *self.columns, *arguments), *words)
        self.refused("text", ("--file", "nowhere"), "nowhere", "No such file")


if __name__ == "__main__":
    unittest.main()
