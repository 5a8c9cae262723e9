"""Checks of arguments that have the same words wherever they are taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InvalidArgument


def integer(value: Any, name: str, least: int | None = None) -> int:
    """`value` as an int, `least` or more. Raises InvalidArgument."""
    wanted = "an integer" if least is None else f"an integer, {least} or more"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        raise InvalidArgument(f"{name}: {value!r} (need {wanted})", name)
    return int(value)
