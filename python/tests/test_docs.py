"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import softstep

MODULES = sorted(m.name for m in pkgutil.iter_modules(softstep.__path__) if not m.name.startswith("_"))


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_true(name):
    assert doctest.testmod(importlib.import_module(f"softstep.{name}")).failed == 0
