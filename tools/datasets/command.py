"""What the commands share: options, labels -1 and +1, the split into a training and a test part, errors of one
line (exit code 2, nothing written), and what is written in the end."""
import argparse
import math
import os
import sys

from python import need

need("numpy", "safetensors")

import numpy as np  # noqa: E402
from safetensors import SafetensorError  # noqa: E402

from tensor_file import publish, write_json, write_safetensors


class BadInput(Exception):
    """What is wrong, and how: 'NAME: PROBLEM'."""

    def __init__(self, name, problem):
        super().__init__(f"{name}: {problem}")


class Parser(argparse.ArgumentParser):
    def __init__(self, text):
        super().__init__(description=text, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        name, _, problem = message.rpartition("argument ")[2].partition(": ")
        raise BadInput(name, problem) if problem else BadInput("options", message)


LONGEST = 60  # characters of a value in a message


def shown(text):
    text = str(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def whole(least, most=2**63 - 1):
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} (need a whole number from {least} to {most})")
        return value
    return parse


def positive(text):
    """Whether the text is a whole number from 1 that an index can hold."""
    return text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0


def require_memory(name, what, *sizes):
    """Refuses an array of that many float64 numbers where no machine could address them: NumPy's own errors are many."""
    if math.prod(int(size) for size in sizes) > 2**47:
        raise BadInput(name, f"{what}: more numbers than fit in memory")


def fraction(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{shown(text)} (need a number between 0 and 1, neither of them)")
    return value


def add_output(parser, test_fraction=0.25, kept="part of each class that is kept for the test"):
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the files; made if it is not there")
    parser.add_argument("--test-fraction", type=fraction, default=test_fraction, metavar="X",
                        help=f"{kept} (default {test_fraction})")
    parser.add_argument("--dtype", choices=("f64", "f32", "f16"), default="f32", help="type of the tokens (default f32)")


def add_seed(parser):
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of all that is random (default 0)")


def add_common(parser):
    add_output(parser)
    add_seed(parser)
    parser.add_argument("--positive", type=whole(-2**31, 2**31), metavar="K", help="class with label +1, with --negative")
    parser.add_argument("--negative", type=whole(-2**31, 2**31), metavar="K",
                        help="class with label -1; the other classes are left out")
    parser.add_argument("--one-vs-rest", type=whole(-2**31, 2**31), metavar="K",
                        help="class with label +1; every other class has label -1")


def random_stream(seed, purpose):
    """NumPy's legacy generator, whose numbers are the same in every version; another stream for each purpose."""
    return np.random.RandomState([seed, purpose])


SPLIT, LIMIT, EMBEDDING = range(3)


def choose_classes(classes, options, default=None):
    """The samples to keep and the label of each, -1 or +1, after --positive and --negative or --one-vs-rest."""
    positive, negative, rest = options.positive, options.negative, options.one_vs_rest
    if rest is None and positive is None and negative is None:
        if default is None:
            raise BadInput("--one-vs-rest", "missing (need it, or --positive and --negative)")
        positive, negative = options.positive, options.negative = default
    if rest is not None and (positive is not None or negative is not None):
        raise BadInput("--one-vs-rest", "does not go with --positive and --negative")
    if (positive is None) != (negative is None):
        raise BadInput("--negative" if negative is None else "--positive", "missing (the other one is given)")
    known = np.unique(classes)
    if len(known) < 2:
        raise BadInput("labels", f"all are {known[0]} (need two classes)")
    for name, value in (("--one-vs-rest", rest), ("--positive", positive), ("--negative", negative)):
        if value is not None and value not in known:
            classes = ", ".join(map(str, known[:12])) + (", ..." if len(known) > 12 else "")
            raise BadInput(name, f"{value} (the classes are {classes})")
    if rest is not None:
        return np.arange(len(classes)), np.where(classes == rest, 1, -1).astype(np.int8)
    if positive == negative:
        raise BadInput("--negative", f"{negative} (is the positive class)")
    kept = np.flatnonzero((classes == positive) | (classes == negative))
    return kept, np.where(classes[kept] == positive, 1, -1).astype(np.int8)


def split(classes, test_fraction, seed):
    """Indices of the training and of the test part: that fraction of each class, at least one sample if it has two."""
    stream, test = random_stream(seed, SPLIT), []
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        n_test = min(max(round(test_fraction * len(members)), 1), len(members) - 1)
        test.append(stream.permutation(members)[:n_test])
    test = np.sort(np.concatenate(test))
    if len(test) == 0:
        raise BadInput("--test-fraction", "leaves nothing for the test: each class has a single sample")
    return np.setdiff1d(np.arange(len(classes)), test), test


def write_dataset(tool, options, parts, more):
    """parts: {"train": tensors, "test": tensors}, with `source`, the place of each sample in the input."""
    counts = {name: {"samples": len(tensors["labels"]), "positive": int(np.sum(tensors["labels"] > 0))}
              for name, tensors in parts.items()}
    first = parts["train"]
    n_tokens, dim = first["tokens"].shape[-2:]
    if "offsets" in first:  # texts keep their lengths
        n_tokens = max(int(np.diff(tensors["offsets"]).max()) for tensors in parts.values())
    about = {"tool": tool, "options": {name: value for name, value in vars(options).items() if name != "out"},
             "parts": counts, "n_tokens": n_tokens, "dim": dim, **more}
    writers = {f"{name}.safetensors": lambda path, tensors=tensors: write_safetensors(path, tensors)
               for name, tensors in parts.items()}
    publish(options.out, {**writers, f"{tool}.json": lambda path: write_json(path, about)})
    text = ", ".join(f"{name} {count['samples']} ({count['positive']} positive)" for name, count in counts.items())
    print(f"{tool}: {text}; {'up to ' if 'offsets' in first else ''}{n_tokens} tokens of {dim}; written to {options.out}")


def run(main):
    tool = os.path.basename(sys.argv[0])
    try:
        main()
    except BadInput as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or error.filename2}: {error.strerror or error}"
    except SafetensorError as error:
        problem = f"--out: cannot be written: {error}"
    except MemoryError:
        problem = "out of memory: the data do not fit"
    else:
        return
    print(f"{tool}: " + " ".join(problem.split()), file=sys.stderr)
    sys.exit(2)
