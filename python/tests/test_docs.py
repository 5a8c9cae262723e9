"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import softstep

def modules(path, prefix=""):
    for module in pkgutil.iter_modules(path):
        if not module.name.startswith("_"):
            yield prefix + module.name
            if module.ispkg:
                yield from modules([f"{path[0]}/{module.name}"], f"{prefix}{module.name}.")


MODULES = ["", *sorted(modules(softstep.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_true(name):
    try:
        module = importlib.import_module(f"softstep.{name}".rstrip("."))
    except ModuleNotFoundError as missing:  # of a framework that softstep can do without
        pytest.skip(str(missing))
    assert doctest.testmod(module).failed == 0
