"""Several runs at once, and the checks of the laws, as data."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._arguments import require_model
from .errors import InvalidArgument, NotSupported
from .many import Plan, run
from .max_margin import solve_max_margin
from .problem import Problem
from .program import program
from .rules import Rule, rule_name
from .training import TrainResult

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
        """Median of a final value over the problems, by rule. Raises InvalidArgument where two rules have one name."""
        if self.results and column not in self.results[0].last:
            raise InvalidArgument(f"column: {column} (known: {', '.join(self.results[0].last)})", "column")
        by_rule: dict[str, list[float]] = {}
        seen: set[tuple[str, int]] = set()
        for result, place in zip(self.results, self.places):
            if (result.rule, place) in seen:
                raise InvalidArgument(f'rules: several are called "{result.rule}" (medians need a name for each)', "rules")
            seen.add((result.rule, place))
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


def _rules(rules: Any) -> list[Any]:
    """One rule, or several."""
    is_one = isinstance(rules, (str, Rule)) or hasattr(rules, "propose") or callable(rules)
    if not is_one and not isinstance(rules, Iterable):
        raise InvalidArgument(f"rules: {type(rules).__name__} (need one rule, or a list of them)", "rules")
    several = [rules] if is_one else list(rules)
    if not several:
        raise InvalidArgument("rules: empty (need one or more)", "rules")
    return several


def compare(
    problems: _core.Model | Sequence[_core.Model],
    rules: Any = ("gd", "ngd", "polyak"),
    *,
    steps: int = 1000,
    **options: Any,
) -> Comparison:
    """Trains each problem with each rule, against its own max-margin direction unless `reference` is given.

    rules: a list of what `train` takes as a rule, or one of these.

    All runs are one call of `train_many`, and `options` are those that it has for all runs. callback: called with each row of
    each trace. Ctrl-C ends the call and keeps the runs so far.

    >>> import softstep
    >>> problems = [softstep.generate(seed=seed).problem() for seed in range(2)]
    >>> medians = softstep.compare(problems, ["ngd", "polyak"], steps=200).medians()
    >>> medians["polyak"] < medians["ngd"] < 1e-2
    True
    """
    several = list(problems) if isinstance(problems, Iterable) else [problems]
    if not several:
        raise InvalidArgument("problems: empty (need one or more)", "problems")
    for problem in several:
        require_model(problem, "problems")
    each = _rules(rules)
    start, seed = options.pop("start", None), options.pop("seed", 0)
    if "reference" in options:
        references = [options.pop("reference")] * len(several)
    else:
        references = [_own_limit(problem) for problem in several]
    callback = options.pop("callback", None)
    if callback is not None:
        options["callback"] = lambda _, row: callback(row)
    results: list[TrainResult] = []
    places: list[int] = []
    # Runs of one call have one precision, and watch the same.
    kinds = {(problem.dtype, tuple(problem.blocks)): None for problem in several}
    for kind in kinds:
        mine = [
            (place, rule)
            for place, problem in enumerate(several)
            if (problem.dtype, tuple(problem.blocks)) == kind
            for rule in each
        ]
        plan = Plan(
            problems=[several[place] for place, _ in mine],
            rules=[rule for _, rule in mine],
            steps=[steps] * len(mine),
            starts=[start] * len(mine),
            seeds=[seed] * len(mine),
            states=[None] * len(mine),
            references=[references[place] for place, _ in mine],
        )
        runs = run(plan, **options)
        began = [k for k, status in enumerate(runs.status) if status != "not_run"]
        results += [runs.result(k) for k in began]
        places += [mine[k][0] for k in began]
        if runs.keyboard_interrupt:
            break
    order = sorted(range(len(places)), key=places.__getitem__)
    return Comparison([results[k] for k in order], [places[k] for k in order])


def _own_limit(problem: _core.Model) -> Any:
    """The max-margin direction, of a problem that has one."""
    return solve_max_margin(problem) if isinstance(problem, Problem) and list(problem.blocks) == ["weights"] else None


def sweep(
    problems: _core.Model | Sequence[_core.Model],
    rules: Any = ("gd", "ngd"),
    *,
    options_by_name: Mapping[str, Sequence[float]] | None = None,
    steps: int = 1000,
    **options: Any,
) -> Comparison:
    """`compare` with every rule at every value of an option: {"step_size": [0.1, 1, 10]} unless given.

    rules: names with options, or `Rule`, a list of them or one.

    >>> import softstep
    >>> runs = softstep.sweep(softstep.generate(seed=0).problem(), ["ngd"], options_by_name={"step_size": [0.1, 1]}, steps=50)
    >>> sorted(runs.medians())
    ['ngd:step-size=0.1', 'ngd:step-size=1.0']
    """
    tried = options_by_name or {"step_size": (0.1, 1.0, 10.0)}
    for name, values in tried.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InvalidArgument(f"options_by_name: {name}: {values!r} (need a list of values)", "options_by_name")
    names = [rule.text if isinstance(rule, Rule) else rule for rule in _rules(rules)]
    for rule in names:
        if not isinstance(rule, str):
            raise InvalidArgument(f"rules: {rule_name(rule)} has no options to be tried (need a name, or a Rule)", "rules")
    made = [Rule(rule, **{name: value}) for rule in names for name, values in tried.items() for value in values]
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
