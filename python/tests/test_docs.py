"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import softstep

MODULES = sorted(m.name for m in pkgutil.iter_modules(softstep.__path__) if not m.name.startswith("_"))


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_true(name):
    try:
        module = importlib.import_module(f"softstep.{name}")
    except ModuleNotFoundError as missing:  # of a framework that softstep can do without
        pytest.skip(str(missing))
    assert doctest.testmod(module).failed == 0
