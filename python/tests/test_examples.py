"""The scripts of python/examples do what they say."""

import importlib.util
import math
import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
README = EXAMPLES.parent.parent / "README.md"


def test_curves(tmp_path):
    pytest.importorskip("matplotlib")
    run = subprocess.run(
        [sys.executable, EXAMPLES / "curves.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "curves.svg").read_text().count("<path") > 10


def _of_readme():
    """The columns of softstep in the README's table, by rule, dtype and step."""
    found = {}
    for line in README.read_text().split("## Where others stop")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] in ("ngd", "polyak"):
            for dtype, cell in zip(("float32", "float64"), cells[2:4]):
                found[cells[0], dtype, int(cells[1])] = float(cell)
    return found


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("where_others_stop", EXAMPLES / "where_others_stop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.table()


def test_where_others_stop_has_the_numbers_of_the_readme(table):
    readme = _of_readme()
    assert len(readme) == 28
    for (rule, dtype, step), wanted in readme.items():
        # The README shows two digits. Steps here are added to W without what each rounds off, at most u |W_t| in step t; |W_t|
        # grows, so that the angle of W_t to any direction is off by at most u t.
        shown = 0.5 * 10.0 ** (math.floor(math.log10(wanted)) - 1)
        angle, off = math.sqrt(2 * wanted), step * (2.0**-53 if dtype == "float64" else 2.0**-24)
        lowest, highest = max(angle - off, 0.0) ** 2 / 2 - shown, (angle + off) ** 2 / 2 + shown
        assert lowest <= table[rule, "softstep", dtype][step] <= highest, (rule, dtype, step)


def test_where_others_stop_shows_that_plain_gradients_stop(table):
    columns = {name for _, name, _ in table}
    for name in columns - {"softstep"}:
        for dtype in ("float32", "float64"):
            for rule in ("ngd", "polyak"):
                last, ours = table[rule, name, dtype][10000], table[rule, "softstep", "float64"][10000]
                if name == "torch, ours":
                    assert last <= 2 * ours + 1e-6
                else:
                    assert math.isnan(last) or last > 10 * ours, (rule, name, dtype)
