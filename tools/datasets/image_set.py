"""From images and classes to the two files: shared by the commands for images."""
import numpy as np

from command import LIMIT, BadInput, choose_classes, random_stream, split, whole, write_dataset
from tokeniser import Standard, Tokeniser, add_position, patches


def add_image_options(parser, patch):
    parser.add_argument("--patch", type=whole(1), default=patch, metavar="P",
                        help=f"side of the square patches, each a token (default {patch})")
    add_position(parser)


def limited(kept, labels, limit, seed):
    if limit is None or limit >= len(kept):
        return kept, labels
    some = np.sort(random_stream(seed, LIMIT).permutation(len(kept))[:limit])
    return kept[some], labels[some]


def write_image_set(tool, options, training, test=None, default=None, limit=None, source=None):
    """training, test: (images [n, rows, columns] or [n, rows, columns, colours], classes [n]); without test a part of each class
    is kept for it."""
    images, classes = training
    kept, labels = limited(*choose_classes(classes, options, default), limit, options.seed)
    if test is None:
        first, second = split(classes[kept], options.test_fraction, options.seed)
        chosen = {"train": (images, kept[first], labels[first]), "test": (images, kept[second], labels[second])}
    else:
        if test[0].shape[1:] != images.shape[1:]:
            raise BadInput("--test-images", f"{list(test[0].shape[1:])} pixels (need {list(images.shape[1:])})")
        chosen = {"train": (images, kept, labels),
                  "test": (test[0], *limited(*choose_classes(test[1], options), limit, options.seed))}
    write_images(tool, options, chosen, source)


def write_images(tool, options, chosen, source):
    """chosen: {"train": (images, places of those to take, their labels -1 and +1), "test": ...}."""
    images = chosen["train"][0]
    content = {}
    for name, (all_images, places, _) in chosen.items():
        content[name] = patches(all_images[places], options.patch)
    standard = Standard(content["train"])
    tokeniser = Tokeniser(*content["train"].shape[1:], options.position, options.dtype, standard)
    parts = {name: {"tokens": tokeniser(content[name]), "labels": signs, "source": places.astype(np.int64)}
             for name, (_, places, signs) in chosen.items()}
    write_dataset(tool, options, parts, {"source": source, "image": list(images.shape[1:]), "query": "token 0, the class token",
                                         "layout": tokeniser.layout, "standard": standard.about()})
