"""Many runs in one call, and what they return: arrays whose first axis is the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from . import _core
from ._arguments import integer, require_model, told_as
from .errors import InvalidArgument, NotSupported
from .rules import rule_name
from .training import TrainResult, html_table, run_options, start_state

__all__ = ["ManyTrainResult", "train_many"]

#: what all runs of a call have alike, with the defaults of `train`
_ALIKE: dict[str, Any] = {
    "form": "auto",
    "master_weights": "working",
    "normalization": "separate",
    "batch_size": 0,
    "batch_seed": 0,
    "trace_rows_per_decade": 20,
    "max_seconds": math.inf,
    "thresholds": (),
    "stop_one_minus_cos": 0.0,
}


@dataclass(frozen=True)
class Plan:
    """What each run has of its own: lists with an entry a run."""

    problems: list[_core.Model]
    rules: list[Any]
    steps: list[int]
    starts: list[Any]
    seeds: list[int]
    states: list[Any]
    references: list[Any]

    def __len__(self) -> int:
        return len(self.problems)


_Shapes = Mapping[str, tuple[int, ...]]


def _has_axis(value: Any, n_dims: int, shape: tuple[int, ...] | None) -> bool:
    """Whether it has an entry for each run: a list, or an array of at least so many axes.

    shape: of the block that it is of, if it is of one. A block of one column or row may also be given as a vector.
    """
    if shape is not None and min(shape) == 1:
        is_vector = hasattr(value, "ndim") or (isinstance(value, (list, tuple)) and all(isinstance(x, Real) for x in value))
        if is_vector and math.prod(np.shape(value)) == math.prod(shape):
            return False
        n_dims = 2
    return isinstance(value, (list, tuple, range)) or getattr(value, "ndim", 0) >= n_dims


def _cut(
    name: str, value: Any, n_dims: int, lengths: dict[str, int], shapes: _Shapes | None = None
) -> Callable[[int], Any]:
    """Which part of an argument a run gets. Notes how many parts it has. shapes: of the blocks it may be of, the first first."""
    if isinstance(value, Mapping):
        parts = {
            key: _cut(name, part, n_dims, lengths, {key: shapes[key]} if shapes and key in shapes else None)
            for key, part in value.items()
        }
        return lambda k: {key: part(k) for key, part in parts.items()}
    if not _has_axis(value, n_dims, next(iter(shapes.values())) if shapes else None):
        return lambda _: value
    for other, n in lengths.items():
        if n != len(value):
            raise InvalidArgument(f"{name}: {len(value)} entries ({other} has {n}; need one for each run)", name)
    if len(value) == 0:
        raise InvalidArgument(f"{name}: empty (need an entry for each run)", name)
    lengths[name] = len(value)
    return lambda k: value[k]


def _shapes(problems: Any) -> tuple[_Shapes, _Shapes]:
    """Of the blocks and of the observables; those of the first problem stand for all."""
    first = problems[0] if isinstance(problems, (list, tuple)) and problems else problems
    if not isinstance(first, _core.Model):
        return {}, {}
    return first.blocks, {name: (rows, columns) for name, rows, columns in _core.observables(first)}


def _plan(problems: Any, rule: Any, steps: Any, start: Any, seed: Any, states: Any, reference: Any) -> Plan:
    lengths: dict[str, int] = {}
    blocks, observables = _shapes(problems)
    of_run = {
        "problems": _cut("problems", problems, 1, lengths),
        "rule": _cut("rule", rule, 1, lengths),
        "steps": _cut("steps", steps, 1, lengths),
        "start": _cut("start", start, 3, lengths, blocks),
        "seed": _cut("seed", seed, 1, lengths),
        "states": _cut("states", states, 1, lengths),
        "reference": _cut("reference", reference, 3, lengths, observables),
    }
    runs = range(next(iter(lengths.values()), 1))
    each = {name: [part(k) for k in runs] for name, part in of_run.items()}
    return Plan(
        problems=each["problems"],
        rules=each["rule"],
        steps=[integer(value, "steps") for value in each["steps"]],
        starts=each["start"],
        seeds=[integer(value, "seed", 0) for value in each["seed"]],
        states=each["states"],
        references=each["reference"],
    )


class _Bar:
    """tqdm over runs, or the caller's own function of runs that are over and of all."""

    def __init__(self, progress: Any, n_runs: int) -> None:
        self._bar, self.call = None, progress or None
        if progress is True:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                raise NotSupported("progress: True needs tqdm (pip install tqdm)", "progress") from None
            self._bar, self.call = tqdm(total=n_runs, unit="run"), self._update

    def _update(self, done: int, _: int) -> None:
        if self._bar is not None and done > self._bar.n:  # threads may report out of order
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Runs:
    """Runs that were made: traces one after the other, and what else there is of each."""

    plan: Plan
    arguments: Mapping[str, Any]
    options: list[_core.TrainerOptions]
    states: list[_core.TrainState]
    summaries: _core.RunSummaries
    last: dict[str, Any]
    columns: dict[str, Any]
    n_rows: Any
    keyboard_interrupt: bool

    @cached_property
    def status(self) -> list[str]:
        return self.summaries.status

    @cached_property
    def form(self) -> list[str]:
        return self.summaries.form

    @cached_property
    def steps(self) -> Any:
        return self.summaries.steps

    @cached_property
    def steps_below_rounding(self) -> Any:
        return self.summaries.steps_below_rounding

    @cached_property
    def seconds(self) -> Any:
        return self.summaries.seconds

    @cached_property
    def time_to(self) -> list[list[dict[str, Any]]]:
        return self.summaries.time_to

    @cached_property
    def _first(self) -> Any:
        return np.concatenate([[0], np.cumsum(self.n_rows)])

    def result(self, k: int) -> TrainResult:
        """Run k as `train` returns it."""
        rows = slice(self._first[k], self._first[k + 1])
        numbers = zip(*(column[rows].tolist() for column in self.columns.values()))
        summary = {
            "status": self.status[k],
            "form": self.form[k],
            "steps": self.steps[k],
            "steps_below_rounding": self.steps_below_rounding[k],
            "seconds": self.seconds[k],
            "keyboard_interrupt": self.keyboard_interrupt and self.status[k] in ("interrupted", "not_run"),
            "last": {name: column[k].item() for name, column in self.last.items()},
            "time_to": self.time_to[k],
            "report": lambda: self.summaries.report(k),
        }
        plan = self.plan
        arguments = {**self.arguments, "reference": plan.references[k]}
        return TrainResult(
            plan.problems[k],
            plan.rules[k],
            self.states[k],
            self.options[k],
            arguments,
            summary,
            [dict(zip(self.columns, values)) for values in numbers],
        )

    def followed_by(self, more: Runs) -> Runs:
        """With the rows of these runs before those of `more`, which went on from here."""
        run = np.repeat(np.arange(len(self.plan)), self.n_rows)
        further = np.repeat(np.arange(len(self.plan)), more.n_rows)
        ends = np.full(len(self.plan), -1, dtype=np.int64)
        np.maximum.at(ends, run, self.columns["step"])
        new = more.columns["step"] > ends[further]  # the first row of a further run is the last of this one
        run = np.concatenate([run, further[new]])
        order = np.argsort(run, kind="stable")
        columns = {name: np.concatenate([self.columns[name], more.columns[name][new]])[order] for name in self.columns}
        return replace(more, columns=columns, n_rows=np.bincount(run, minlength=len(self.plan)))


def run(
    plan: Plan,
    *,
    init_std: float = 0.0,
    callback: Any = None,
    progress: Any = None,
    stop: _core.StopSource | None = None,
    n_threads: int = 0,
    **alike: Any,
) -> Runs:
    """Makes the runs of a plan; `alike` are arguments of `train`."""
    unknown = set(alike) - set(_ALIKE)
    if unknown:
        raise TypeError(f"unexpected argument {sorted(unknown)[0]!r}")
    arguments = {**_ALIKE, **alike}
    options, states = [], []
    for k, problem in enumerate(plan.problems):
        try:
            require_model(problem, "problems")
            own = {**arguments, "reference": plan.references[k]}
            options.append(run_options(problem, plan.rules[k], plan.steps[k], own))
            states.append(
                start_state(
                    problem, plan.starts[k], init_std, plan.seeds[k], plan.states[k], arguments["master_weights"]
                )
            )
        except InvalidArgument as error:
            raise type(error)(f"{error}, run {k}" if len(plan) > 1 else str(error), error.argument) from None
    bar = _Bar(progress, len(plan))
    try:
        with told_as(references="reference"):
            made = _core.train_many(
                list(plan.problems), states, options, integer(n_threads, "n_threads", 0, 31), stop, callback, bar.call
            )
    finally:
        bar.close()
    return Runs(plan, arguments, options, states, *made)


class ManyTrainResult(Sequence[TrainResult]):
    """Runs that have ended: arrays whose first axis is the run. `result[k]` is run k as `train` returns it."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        #: of each run, what was trained
        self.problems: list[_core.Model] = runs.plan.problems
        #: where each run stands
        self.states: list[_core.TrainState] = runs.states
        #: rows that the trace of each run has, [runs]
        self.n_rows: Any = runs.n_rows
        #: the last row of each run: columns by name, each [runs]
        self.last: dict[str, Any] = runs.last
        there = np.arange(int(self.n_rows.max())) < self.n_rows[:, None]
        #: columns by name, each [runs, rows]; where a run has fewer rows, NaN, and -1 for the step
        self.trace: dict[str, Any] = {}
        for name, numbers in runs.columns.items():
            self.trace[name] = np.full(there.shape, -1 if numbers.dtype.kind == "i" else np.nan, dtype=numbers.dtype)
            self.trace[name][there] = numbers

    def __len__(self) -> int:
        return len(self.problems)

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        if not -len(self) <= k < len(self):
            raise IndexError(f"run {k} of {len(self)}")
        return self._runs.result(k % len(self))

    @property
    def rules(self) -> list[str]:
        """Name of each run's rule with its options."""
        return [rule_name(rule) for rule in self._runs.plan.rules]

    @property
    def status(self) -> Any:
        """How each run ended, [runs] of texts: those of `TrainResult.status`, and not_run where the call was stopped before."""
        return np.array(self._runs.status)

    @property
    def keyboard_interrupt(self) -> bool:
        """Whether Ctrl-C ended the call."""
        return self._runs.keyboard_interrupt

    @property
    def steps(self) -> Any:
        """Steps that each run took, int64 [runs]."""
        return self._runs.steps

    @property
    def steps_below_rounding(self) -> Any:
        """Of these, how many were shorter than the rounding of adding them to the weights, int64 [runs]."""
        return self._runs.steps_below_rounding

    @property
    def form(self) -> Any:
        """How W was kept, [runs] of texts: query-span or dense where runs went side by side."""
        return np.array(self._runs.form)

    @property
    def seconds(self) -> Any:
        """Time in steps, of runs side by side each one's share, float64 [runs]."""
        return self._runs.seconds

    @property
    def time_to(self) -> dict[str, Any]:
        """When 1 - cos fell to each threshold: threshold [k], step int64 [runs, k] (-1: never), seconds [runs, k] (NaN: never)."""
        thresholds = [float(threshold) for threshold in self._runs.arguments["thresholds"]]
        step = np.full((len(self), len(thresholds)), -1, dtype=np.int64)
        seconds = np.full(step.shape, np.nan)
        for k, crossings in enumerate(self._runs.time_to):
            for crossing in crossings:
                at = thresholds.index(crossing["threshold"])
                step[k, at], seconds[k, at] = crossing["step"], crossing["seconds"]
        return {"threshold": np.array(thresholds), "step": step, "seconds": seconds}

    @property
    def weights(self) -> Any:
        """W of each run, float64 [runs, dim, dim]; K Q^T of factored problems, p [runs, dim, 1] of prompts."""
        return np.stack([_core.observe(problem, state, 0) for problem, state in zip(self.problems, self.states)])

    @property
    def blocks(self) -> dict[str, Any]:
        """Each block by name, float64 [runs, ...]."""
        each = [_core.state_blocks(problem, state) for problem, state in zip(self.problems, self.states)]
        return {name: np.stack([blocks[name] for blocks in each]) for name in each[0]}

    def report(self) -> str:
        """All of it in words: a paragraph a run."""
        return "\n\n".join(f"run {k}\n{self._runs.summaries.report(k)}" for k in range(len(self)))

    def resume(
        self,
        steps: int | Sequence[int],
        *,
        callback: Callable[[int, dict[str, Any]], object] | None = None,
        progress: Any = None,
        stop: _core.StopSource | None = None,
        n_threads: int = 0,
    ) -> ManyTrainResult:
        """All go on for further steps, with the same bits as if they had never stopped. This result stays as it is."""
        old = self._runs.plan
        further = _cut("steps", steps, 1, {"the result": len(self)})
        plan = replace(
            old,
            steps=[integer(further(k), "steps") for k in range(len(self))],
            starts=[None] * len(self),
            states=[state.copy() for state in self.states],
        )
        more = run(
            plan, callback=callback, progress=progress, stop=stop, n_threads=n_threads, **self._runs.arguments
        )
        return ManyTrainResult(self._runs.followed_by(more))

    def _table(self) -> dict[str, Any]:
        names = np.array(self.rules, dtype=object)
        return {
            "run": np.repeat(np.arange(len(self)), self.n_rows),
            "rule": np.repeat(names, self.n_rows),
            **self._runs.columns,
        }

    def to_pandas(self) -> Any:
        """The traces as a pandas.DataFrame, a row for each row, with the columns run and rule. Raises NotSupported without pandas."""
        try:
            import pandas
        except ImportError:
            raise NotSupported("to_pandas: pandas is not installed", "to_pandas") from None
        return pandas.DataFrame(self._table())

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame. Raises NotSupported without polars."""
        try:
            import polars
        except ImportError:
            raise NotSupported("to_polars: polars is not installed", "to_polars") from None
        return polars.DataFrame({name: column.tolist() for name, column in self._table().items()})

    def spread(
        self, column: str = "one_minus_cos", quantiles: Sequence[float] = (0.1, 0.5, 0.9)
    ) -> dict[str, dict[str, Any]]:
        """Quantiles of a column over the runs, by rule: "step" [rows], "runs" [rows], and "quantiles" [len(quantiles), rows].

        A row speaks of the runs that were traced at its step, whose number "runs" is: fewer where some have ended.
        Raises InvalidArgument for an unknown column.
        """
        if column not in self.trace:
            raise InvalidArgument(f"column: {column} (known: {', '.join(self.trace)})", "column")
        rules = np.array(self.rules)
        run = np.repeat(np.arange(len(self)), self.n_rows)
        out: dict[str, dict[str, Any]] = {}
        for rule in dict.fromkeys(self.rules):
            mine = (rules == rule)[run]
            steps, place, count = np.unique(self._runs.columns["step"][mine], return_inverse=True, return_counts=True)
            order = np.argsort(place, kind="stable")
            groups = np.split(self._runs.columns[column][mine][order], np.cumsum(count)[:-1])
            found = np.array([np.quantile(group, quantiles) for group in groups]).T
            out[rule] = {"step": steps, "runs": count, "quantiles": found}
        return out

    def plot(self, y: str = "one_minus_cos", *, ax: Any = None, **style: Any) -> Any:
        """Draws a column over the steps on logarithmic axes, by rule: the median, and a band of the middle 80 % of the runs.

        Columns that are logarithms on a linear axis. Returns the axes. Raises NotSupported without matplotlib, InvalidArgument for
        an unknown column.
        """
        curves = self.spread(y)
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise NotSupported("plot: matplotlib is not installed", "plot") from None
        if ax is None:
            ax = plt.subplots()[1]
        for rule, curve in curves.items():
            # Where a run has ended between two rows of the others, it stands alone.
            keep = (curve["step"] > 0) & (2 * curve["runs"] > curve["runs"].max())
            low, middle, high = curve["quantiles"][:, keep]
            line = ax.plot(curve["step"][keep], middle, **{"label": rule, **style})[0]
            ax.fill_between(curve["step"][keep], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        ax.set_xscale("log")
        ax.set_yscale("linear" if y.startswith("log10") else "log")
        ax.set_xlabel("step")
        ax.set_ylabel("1 - cos(W, reference)" if y == "one_minus_cos" else y.replace("_", " "))
        return ax

    def _figures(self) -> list[tuple[str, str]]:
        counts = {str(status): int(n) for status, n in zip(*np.unique(self.status, return_counts=True))}
        rules = list(dict.fromkeys(self.rules))
        out = [("runs", f"{len(self)}"), ("rules", ", ".join(rules[:3]) + (f", .. ({len(rules)})" if len(rules) > 3 else ""))]
        out.append(("status", ", ".join(f"{status} {n}" for status, n in counts.items())))
        for title, name in (("log10(loss - optimal)", "log10_gap"), ("1 - cos", "one_minus_cos")):
            numbers = self.last[name][~np.isnan(self.last[name])]
            if numbers.size:
                out.append((f"{title}, median", f"{np.median(numbers):.3g}"))
        out.append(("seconds", f"{self.seconds.sum():.3g}"))
        return out

    def __repr__(self) -> str:
        return "ManyTrainResult(" + ", ".join(f"{name}: {value}" for name, value in self._figures()) + ")"

    def _repr_html_(self) -> str:
        return html_table("softstep runs", self._figures())


def train_many(
    problems: _core.Model | Sequence[_core.Model],
    rule: Any = "polyak",
    *,
    steps: int | Sequence[int] = 1000,
    start: Any = None,
    init_std: float = 0.0,
    seed: int | Sequence[int] = 0,
    states: Sequence[_core.TrainState] | None = None,
    reference: Any = None,
    callback: Callable[[int, dict[str, Any]], object] | None = None,
    progress: Any = None,
    stop: _core.StopSource | None = None,
    n_threads: int = 0,
    form: str = "auto",
    master_weights: str = "working",
    normalization: str = "separate",
    batch_size: int = 0,
    batch_seed: int = 0,
    trace_rows_per_decade: int = 20,
    max_seconds: float = math.inf,
    thresholds: Sequence[float] = (),
    stop_one_minus_cos: float = 0.0,
) -> ManyTrainResult:
    """Many runs in one call, each as `train` makes it: over data sets, rules, starts, or all of these.

    What has an entry for each run is an axis: lists, and arrays with the run axis first. What has none is shared by all runs. All
    axes are of one length. Small problems go side by side, one run to a lane of the vector registers.

    Parameters
    ----------
    problems
        A `Problem` or another model that all runs share, or one for each. Their blocks have the same shapes.
    rule
        As in `train`, or one for each run: ["ngd:step-size=0.1", "ngd:step-size=1"].
    steps
        Further steps to take: of all, or of each.
    start
        W at step 0: what `train` takes; or [runs, dim, dim], a dict of such arrays by block ("decoder": [runs, dim]), or a list. Zero
        if None.
    init_std, seed
        In place of `start`: entries from N(0, init_std^2). seed: one for each, such as range(100); a single one gives all runs the
        same start.
    states
        In place of these: the states of other runs, one for each, which are moved on.
    reference
        Direction that W is compared with: what `train` takes, for all runs; or [runs, dim, dim], a dict of such arrays by observable,
        or a list such as [solve_max_margin(problem) for problem in problems].
    callback
        Called with the number of the run and each row of its trace, a dict, from the thread that takes the run's steps; the run stops
        by False. What it raises leaves `train_many`.
    progress
        True for a bar (tqdm), or a function of the number of runs that are over and of all; False from it stops all runs.
    stop
        A `StopSource`, by which another thread ends all runs before their next step.
    n_threads
        0 means all that the process may use. Results have the same bits for any number, and for any other runs beside them.
    form, master_weights, normalization, batch_size, batch_seed, trace_rows_per_decade, max_seconds, thresholds, stop_one_minus_cos
        As in `train`, for all runs. Traces of a hundred thousand runs need 150 bytes a row: trace_rows_per_decade=0 leaves the
        first and the last.

    Returns
    -------
    ManyTrainResult
        Also after Ctrl-C, which ends all runs within 0.2 s or a step: "interrupted", or "not_run" where they had not begun.

    Raises
    ------
    InvalidArgument
        Names the argument and, where it is of one run, the run. How else a run can end is a status.

    A run side by side is in the query span, whatever `train` would choose (under `sign`, `adam` and `momentum`, and with a
    trained decoder, it is dense), and agrees with that to rounding (docs/performance.md). Source: softstep/train_many.h; of the rules: `step_rules`.

    >>> import numpy as np, softstep
    >>> problems = [softstep.generate(n_tokens=8, n_samples=6, dim=10, seed=seed).problem() for seed in range(20)]
    >>> limits = [softstep.solve_max_margin(problem) for problem in problems]
    >>> runs = softstep.train_many(problems, "ngd", steps=500, reference=limits)
    >>> runs.weights.shape, runs.trace["one_minus_cos"].shape == (20, int(runs.n_rows.max()))
    ((20, 10, 10), True)
    >>> bool(np.median(runs.last["one_minus_cos"]) < 1e-3)
    True
    """
    plan = _plan(problems, rule, steps, start, seed, states, reference)
    _require_one_shape(plan.problems)
    made = run(
        plan,
        init_std=init_std,
        callback=callback,
        progress=progress,
        stop=stop,
        n_threads=n_threads,
        form=form,
        master_weights=master_weights,
        normalization=normalization,
        batch_size=batch_size,
        batch_seed=batch_seed,
        trace_rows_per_decade=trace_rows_per_decade,
        max_seconds=max_seconds,
        thresholds=thresholds,
        stop_one_minus_cos=stop_one_minus_cos,
    )
    return ManyTrainResult(made)


def _require_one_shape(problems: Sequence[Any]) -> None:
    """What is no model is told of by run()."""
    models = [(k, problem) for k, problem in enumerate(problems) if isinstance(problem, _core.Model)]
    shapes = {id(model): model.blocks for _, model in models}
    for k, model in models:
        if shapes[id(model)] != shapes[id(models[0][1])]:
            raise InvalidArgument(
                f"problems: run {k} trains {shapes[id(model)]}, run 0 {shapes[id(models[0][1])]} (need the same shapes)",
                "problems",
            )
