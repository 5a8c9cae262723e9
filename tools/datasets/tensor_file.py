"""Files as the program reads them: safetensors (docs/command-line.md), all of a data set or nothing."""
import json
import os

import numpy as np
from safetensors.numpy import save_file


def write_safetensors(path, tensors):
    """tensors: {name: array}. The package puts the widest types first, so that each begins where it may be read in place."""
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)


def write_json(path, value):
    lines = (f"  {json.dumps(name)}: {json.dumps(entry, allow_nan=False)}" for name, entry in value.items())
    with open(path, "wb") as file:
        file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(directory, files):
    """files: {name: writer(path)}. Each is renamed into place, and none before all of them are written. A name that is a
    symbolic link stays one: what it leads to is written. A file that is replaced hands its permissions on."""
    os.makedirs(directory, exist_ok=True)
    targets = {name: os.path.realpath(os.path.join(directory, name)) for name in files}
    for target in targets.values():
        if os.path.exists(target) and os.stat(target).st_mode & 0o222 == 0:
            raise PermissionError(13, "read-only", target)
    temporary = {name: os.path.join(os.path.dirname(target), f".{name}.{os.getpid()}.tmp")
                 for name, target in targets.items()}
    try:
        for name, write in files.items():
            write(temporary[name])
            if os.path.exists(targets[name]):
                os.chmod(temporary[name], os.stat(targets[name]).st_mode & 0o7777)
            sync(temporary[name])
        for name, target in targets.items():
            os.replace(temporary[name], target)
        for folder in sorted({os.path.dirname(target) for target in targets.values()}):
            sync(folder)
    finally:
        for path in temporary.values():
            if os.path.exists(path):
                os.unlink(path)
