"""Refuses a second interpreter of the same process, where the extension and NumPy cannot be."""

from __future__ import annotations

import importlib
from typing import Any


def _interpreters() -> Any:
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def refuse_subinterpreter() -> None:
    """ImportError where this is not the main interpreter of the process."""
    interpreters = _interpreters()
    if interpreters is not None and interpreters.get_current() != interpreters.get_main():
        raise ImportError("softstep cannot be imported in a subinterpreter, only in the main interpreter: use threads or processes")


refuse_subinterpreter()
