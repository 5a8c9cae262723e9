"""Checks of arguments that have the same words wherever they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _core
from .errors import InvalidArgument


def integer(value: Any, name: str, least: int | None = None, bits: int | None = 64) -> int:
    """`value` as an int, `least` or more, below 2^bits unless that is None. Raises InvalidArgument."""
    wanted = "an integer" if least is None else f"an integer, {least} or more"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or (least is not None and value < least):
        raise InvalidArgument(f"{name}: {value!r} (need {wanted})", name)
    if bits is not None and value >= 2**bits:
        raise InvalidArgument(f"{name}: {value!r} (need {wanted}, below 2^{bits})", name)
    return int(value)


def unmasked(value: Any, name: str) -> Any:
    """The value, if it is no NumPy array of which entries are masked: nothing here looks at masks. Raises InvalidArgument."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InvalidArgument(f"{name}: {int(np.ma.getmaskarray(value).sum())} masked entries (need numbers everywhere)", name)
    return value


@contextmanager
def told_as(**names: str) -> Iterator[None]:
    """Tells what the library refuses by the names that its caller knows: theirs by the library's."""
    try:
        yield
    except InvalidArgument as error:
        name = names.get(error.argument)
        if name is None:
            raise
        raise type(error)(name + str(error).removeprefix(error.argument), name) from None


def counts(**values: Any) -> dict[str, int]:
    """Each value as an integer that is not negative, under its name. Raises InvalidArgument."""
    return {name: integer(value, name, 0) for name, value in values.items()}


def number(value: Any, name: str) -> float:
    """`value` as a float: a real number of Python, NumPy or another library. Raises InvalidArgument."""
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidArgument(f"{name}: {value!r} (need a number)", name)


def numbers(values: Any, name: str) -> list[float]:
    """`values` as floats. Raises InvalidArgument."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{name}: {values!r} (need a sequence of numbers)", name)
    return [number(value, name) for value in values]


def text(value: Any, name: str) -> str:
    """`value`, which is a text. Raises InvalidArgument."""
    if not isinstance(value, str):
        raise InvalidArgument(f"{name}: {value!r} (need a text)", name)
    return value


def require_model(value: Any, name: str = "problem", kind: type = _core.Model) -> None:
    """Raises InvalidArgument unless the value is a model of that kind; for a data set with the way to one."""
    if not isinstance(value, kind):
        wanted = "a Problem" if kind is _core.Problem else "a Problem or another Model"
        way = "; problem() of a data set makes one" if hasattr(value, "problem") else ""
        raise InvalidArgument(f"{name}: {type(value).__name__} (need {wanted}{way})", name)
