"""Arrays from .npy and .npz files, never pickled objects. Whatever is wrong is one line that names file and array."""
import contextlib
import warnings

import numpy as np

from command import BadInput
from tokeniser import require_finite


@contextlib.contextmanager
def loaded(path):
    """What NumPy makes of the file. It is opened here, because NumPy leaves a damaged archive open. Headers are Python source, and
    what Python or NumPy warn of in them is nothing that a user of the file could mend."""
    with open(path, "rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.load(stream, allow_pickle=False)
        except Exception as error:  # of many kinds: the header is Python source, the archive is a zip
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BadInput(path, f"damaged, pickled, or neither .npy nor .npz: {error}")
        yield found


def checked(array, name):
    if array.dtype.kind not in "fiu":
        raise BadInput(name, f"type {array.dtype} (need integers or floating-point numbers)")
    if array.size == 0:
        raise BadInput(name, f"shape {list(array.shape)} (need at least one entry)")
    return array


def read_npy(path):
    with loaded(path) as array:
        if not isinstance(array, np.ndarray):
            array.close()
            raise BadInput(path, "is an .npz archive (give it with --npz)")
        return checked(array, path)


def read_npz(path, names):
    """{name: array} of those of the names that are there."""
    with loaded(path) as archive:
        if isinstance(archive, np.ndarray):
            raise BadInput(path, "is an .npy file (give it with --tokens or --labels)")
        arrays = {}
        with archive:
            for name in names:
                if name in archive.files:
                    try:
                        arrays[name] = archive[name]
                    except Exception as error:
                        raise BadInput(f"{path}: {name}", f"damaged or pickled: {error}")
                    arrays[name] = checked(arrays[name], f"{path}: {name}")
            if not {"tokens", "labels"} <= set(arrays):
                raise BadInput(path, f"has the arrays {', '.join(archive.files) or 'none'} (need tokens and labels)")
    return arrays


def whole_numbers(array, name):
    """As int64; floating-point arrays only if every entry is a whole number."""
    if array.dtype.kind == "f":
        require_finite(array, name)
    wrong = np.argwhere((array != np.floor(array)) | (np.abs(array.astype(np.float64)) > 2.0**53))
    if len(wrong):
        raise BadInput(name, f"element {wrong[0].tolist()}: {array[tuple(wrong[0])]} (need whole numbers)")
    return array.astype(np.int64)
