"""A memory cgroup: whoever is in it has so much memory and no more, pages of files that the system keeps for it included. Needs the
right to make one (root, or a delegated folder of version 2)."""

import os
import pathlib
import uuid

ROOT = pathlib.Path("/sys/fs/cgroup")


def _own(controller):
    """The path of this process in the hierarchy of a controller ("" for version 2), or None."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return None


class MemoryCgroup:
    """`with MemoryCgroup(limit) as group: subprocess.Popen(.., preexec_fn=group.enter)`, limit in bytes."""

    def __init__(self, limit):
        self._limit = limit
        version_1 = _own("memory")
        self._names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if version_1 is not None else ("memory.max", "memory.peak")
        parent = ROOT / "memory" / version_1 if version_1 is not None else ROOT / (_own("") or "")
        self._folder = parent / f"softstep-{uuid.uuid4().hex[:8]}"
        self._swap = ("memory.memsw.limit_in_bytes", str(limit)) if version_1 is not None else ("memory.swap.max", "0")

    def __enter__(self):
        self._folder.mkdir()
        try:
            (self._folder / self._names[0]).write_text(str(self._limit))
            if (self._folder / self._swap[0]).exists():
                (self._folder / self._swap[0]).write_text(self._swap[1])
        except OSError:
            self._folder.rmdir()
            raise
        return self

    def __exit__(self, *_):
        self._folder.rmdir()

    def enter(self):
        """In the child, before its program starts."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self):
        """Bytes, pages of files included."""
        return int((self._folder / self._names[1]).read_text())
