"""Files as the program reads them: safetensors (docs/command-line.md), all of a data set or nothing."""
import json
import os

import numpy as np

DTYPES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i1": "I8"}


def write_safetensors(file, tensors):
    """tensors: {name: array}. Widest type first, so that each begins where its type may be read in place."""
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header, begin = {}, 0
    for name in order:
        array = tensors[name]
        header[name] = {"dtype": DTYPES[array.dtype.str[1:]], "shape": list(array.shape),
                        "data_offsets": [begin, begin + array.nbytes]}
        begin += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        array = np.ascontiguousarray(tensors[name], tensors[name].dtype.newbyteorder("<"))
        file.write(array.reshape(-1).view(np.uint8))


def write_json(file, value):
    lines = (f"  {json.dumps(name)}: {json.dumps(entry, allow_nan=False)}" for name, entry in value.items())
    file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def publish(directory, files):
    """files: {name: writer(file)}. Each is renamed into place, and none before all of them are written."""
    os.makedirs(directory, exist_ok=True)
    temporary = {name: os.path.join(directory, f".{name}.{os.getpid()}.tmp") for name in files}
    try:
        for name, write in files.items():
            with open(temporary[name], "wb") as file:
                write(file)
        for name in files:
            os.replace(temporary[name], os.path.join(directory, name))
    finally:
        for path in temporary.values():
            if os.path.exists(path):
                os.unlink(path)
