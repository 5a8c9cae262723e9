"""The program `softstep`, carried in the wheel, as a console script."""

from __future__ import annotations

import os
import pathlib
import sys

from .errors import NotSupported

__all__ = ["main", "program"]


def program() -> pathlib.Path:
    """Where the program is. Raises NotSupported where the package was built without it."""
    path = pathlib.Path(__file__).parent / "bin" / "softstep"
    if not path.exists():
        raise NotSupported(
            "program: this package was built without the program, as CLI11 or fmt was not there (on Debian and Ubuntu tools/setup "
            "installs both; then install softstep again)",
            "program",
        )
    return path


def main() -> None:
    """Becomes the program, with the arguments of this process."""
    try:
        path = program()
    except NotSupported as error:
        sys.exit(f"softstep: error: {error}")
    os.execv(path, ["softstep", *sys.argv[1:]])
