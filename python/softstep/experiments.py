"""Several runs at once, and the checks of the laws, as data."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from .errors import InvalidArgument, NotSupported
from .max_margin import solve_max_margin
from .problem import Problem
from .program import program
from .rules import Rule, rule_name
from .training import TrainResult, train

__all__ = ["Comparison", "compare", "reproduce", "sweep"]


@dataclass(frozen=True)
class Comparison:
    """Runs of several rules on the same problems."""

    #: one a rule and problem
    results: list[TrainResult]
    #: of each run, its place among the problems
    places: list[int]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row a run: rule, problem, status, steps, seconds and the final values."""
        return [
            {"rule": r.rule, "problem": place, "status": r.status, "seconds_in_steps": r.seconds, **r.last}
            for r, place in zip(self.results, self.places)
        ]

    def medians(self, column: str = "one_minus_cos") -> dict[str, float]:
        """Median of a final value over the problems, by rule."""
        if self.results and column not in self.results[0].last:
            raise InvalidArgument(f"column: {column} (known: {', '.join(self.results[0].last)})", "column")
        by_rule: dict[str, list[float]] = {}
        for result in self.results:
            by_rule.setdefault(result.rule, []).append(float(result.last[column]))
        return {rule: float(np.median(values)) for rule, values in by_rule.items()}

    def to_pandas(self) -> Any:
        """The table as a pandas.DataFrame. Raises NotSupported without pandas."""
        try:
            import pandas
        except ImportError:
            raise NotSupported("to_pandas: pandas is not installed", "to_pandas") from None
        return pandas.DataFrame(self.table)

    def plot(self, y: str = "one_minus_cos", x: str = "step", *, ax: Any = None) -> Any:
        """Draws a column of every run, a colour a rule. Returns the axes."""
        colours: dict[str, str] = {}
        for result in self.results:
            known = result.rule in colours
            colour = colours.setdefault(result.rule, f"C{len(colours)}")
            ax = result.plot(y, x, ax=ax, color=colour, label=None if known else result.rule)
        if ax is not None:
            ax.legend()
        return ax


def compare(
    problems: _core.Model | Sequence[_core.Model],
    rules: Sequence[Any] = ("gd", "ngd", "polyak"),
    *,
    steps: int = 1000,
    **options: Any,
) -> Comparison:
    """Trains each problem with each rule, against its own max-margin direction unless `reference` is given.

    `options` are those of `train`. Ctrl-C ends it and keeps the runs so far.

    >>> import softstep
    >>> problems = [softstep.generate(seed=seed).problem() for seed in range(2)]
    >>> medians = softstep.compare(problems, ["ngd", "polyak"], steps=200).medians()
    >>> medians["polyak"] < medians["ngd"] < 1e-2
    True
    """
    several = [problems] if isinstance(problems, _core.Model) else list(problems)
    results: list[TrainResult] = []
    places: list[int] = []
    for place, problem in enumerate(several):
        settings = dict(options)
        if "reference" not in settings and isinstance(problem, Problem) and list(problem.blocks) == ["weights"]:
            settings["reference"] = solve_max_margin(problem)
        for rule in rules:
            results.append(train(problem, rule, steps=steps, **settings))
            places.append(place)
            if results[-1].keyboard_interrupt:
                return Comparison(results, places)
    return Comparison(results, places)


def sweep(
    problems: _core.Model | Sequence[_core.Model],
    rules: Sequence[str] = ("gd", "ngd"),
    *,
    options_by_name: Mapping[str, Sequence[float]] | None = None,
    steps: int = 1000,
    **options: Any,
) -> Comparison:
    """`compare` with every rule at every value of an option: {"step_size": [0.1, 1, 10]} unless given.

    >>> import softstep
    >>> runs = softstep.sweep(softstep.generate(seed=0).problem(), ["ngd"], options_by_name={"step_size": [0.1, 1]}, steps=50)
    >>> sorted(runs.medians())
    ['ngd:step-size=0.1', 'ngd:step-size=1.0']
    """
    tried = options_by_name or {"step_size": (0.1, 1.0, 10.0)}
    made = [Rule(rule, **{name: value}) for rule in rules for name, values in tried.items() for value in values]
    return compare(problems, [rule_name(rule) for rule in made], steps=steps, **options)


def reproduce(name: str, *, broken: bool = False, out: str | pathlib.Path | None = None) -> dict[str, Any]:
    """Checks a law of the paper or its neighbours: what the program's `softstep reproduce NAME` finds, as data.

    Returns the verdict: name, title, passed, configuration, checks (law, expected, measured, lowest, highest, passed), tables and
    data. out: a folder for figures and data; none are kept if None. broken: runs the wrong system, whose checks must fail.

    Raises InvalidArgument for an unknown name, NotSupported where the package was built without the program.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(out) if out is not None else pathlib.Path(place)
        command = [str(program()), "reproduce", name, "--out", str(folder), *(["--broken"] if broken else [])]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        verdict = folder / name / "verdict.json"
        if not verdict.exists():
            lines = (ended.stderr or ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"]
            raise InvalidArgument(f"name: {name} ({lines[-1]})", "name")
        return dict(json.loads(verdict.read_text()))
