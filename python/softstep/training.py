"""Training runs and what they return."""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from . import _core
from ._arguments import integer, number, numbers, require_model, text, told_as, unmasked
from .errors import InvalidArgument, NotSupported
from .rules import as_rules, rule_name

__all__ = ["TrainResult", "load_state", "train"]

_Callback = Callable[[dict[str, Any]], object]


def _fitting(argument: str, value: Any, shape: tuple[int, ...], name: str) -> Any:
    """The value, if it has that shape but for axes of 1, or is flat with as many numbers; None stays."""
    if value is None:
        return None
    found = np.shape(unmasked(value, argument))
    is_flat = len(found) == 1 and found[0] == math.prod(shape)
    if not is_flat and [n for n in found if n != 1] != [n for n in shape if n != 1]:
        raise InvalidArgument(f"{argument}: shape {found} (need {shape}, that of {name})", argument)
    return value


def _references(problem: _core.Model, reference: Any) -> list[Any]:
    """A direction for each observable, from an array, something with `weights`, or a dict or tuple of them."""
    if reference is None:
        return []
    shapes = {name: (rows, columns) for name, rows, columns in _core.observables(problem)}
    if isinstance(reference, Mapping):
        unknown = set(reference) - set(shapes)
        if unknown:
            raise InvalidArgument(f"reference: {sorted(unknown)[0]} (known: {', '.join(shapes)})", "reference")
        values = [reference.get(name) for name in shapes]
    elif isinstance(reference, (list, tuple)):
        values = list(reference)
        if len(values) > len(shapes):
            raise InvalidArgument(f"reference: {len(values)} directions (need {len(shapes)}: {', '.join(shapes)})", "reference")
    else:
        values = [getattr(reference, "weights", reference)]
    return [_fitting("reference", value, shapes[name], name) for name, value in zip(shapes, values)]


def _start(problem: _core.Model, start: Any) -> list[Any]:
    if start is None:
        return []
    if isinstance(start, Mapping):
        missing = set(problem.blocks) ^ set(start)
        if missing:
            raise InvalidArgument(f"start: {sorted(missing)[0]} (need {', '.join(problem.blocks)})", "start")
        values = [start[name] for name in problem.blocks]
    else:
        values = list(start) if isinstance(start, (list, tuple)) else [start]
        if len(values) != len(problem.blocks):
            raise InvalidArgument(f"start: {len(values)} blocks (need {len(problem.blocks)}: {', '.join(problem.blocks)})", "start")
    return [_fitting("start", value, problem.blocks[name], name) for name, value in zip(problem.blocks, values)]


class _Bar:
    """tqdm, or the caller's own function of step and seconds."""

    def __init__(self, progress: Any, steps: int, first: int) -> None:
        self._first, self._bar, self._call = first, None, None
        if progress is True:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                raise NotSupported("progress: True needs tqdm (pip install tqdm)", "progress") from None
            self._bar = tqdm(total=steps, unit="step")
        elif progress:
            self._call = progress

    def __call__(self, step: int, seconds: float) -> object:
        if self._bar is not None:
            self._bar.update(step - self._first - self._bar.n)
            return None
        return self._call(step, seconds) if self._call is not None else None

    @property
    def wanted(self) -> bool:
        return self._bar is not None or self._call is not None

    def close(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(step - self._first - self._bar.n)
            self._bar.close()


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(rows[0]) if rows else []
    return {name: np.array([row[name] for row in rows]) for name in names}


def html_table(caption: str, figures: list[tuple[str, str]]) -> str:
    """Names and values as a notebook shows them."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in figures
    )
    return f"<table><caption>{caption}</caption>{rows}</table>"


class TrainResult:
    """A run that has ended: its trace, its weights, and the state to go on from."""

    def __init__(
        self,
        problem: _core.Model,
        rule: Any,
        state: _core.TrainState,
        options: _core.TrainerOptions,
        arguments: Mapping[str, Any],
        summary: Mapping[str, Any],
        rows: list[dict[str, Any]],
    ) -> None:
        #: what was trained
        self.problem = problem
        #: where the run stands, for another `train`, which moves it on; `resume` takes a copy
        self.state = state
        self._rule, self._options, self._arguments, self._summary, self._rows = rule, options, arguments, summary, rows
        #: columns by name, arrays of one number a row: step, loss, log10_loss, log10_gap, optimal_loss, weight_norm,
        #: log10_gradient_norm, step_length, one_minus_cos, angle, min_optimal_attention, log10_one_minus_optimal_attention,
        #: accuracy, seconds; where more is watched also decoder_norm, log10_decoder_gradient_norm, decoder_one_minus_cos. A row is
        #: the state before that step, with the length of the step that led there; NaN is what there is not, such as
        #: one_minus_cos without a reference
        self.trace: dict[str, Any] = _columns(rows)

    @property
    def rule(self) -> str:
        """Name of the rule with its options."""
        return rule_name(self._rule)

    @property
    def status(self) -> str:
        """How the run ended: max_iterations, converged, stationary, gap_not_positive, not_finite, interrupted, out_of_time."""
        return str(self._summary["status"])

    @property
    def keyboard_interrupt(self) -> bool:
        """Whether Ctrl-C ended the run."""
        return bool(self._summary["keyboard_interrupt"])

    @property
    def steps(self) -> int:
        """Steps taken by this run."""
        return int(self._summary["steps"])

    @property
    def form(self) -> str:
        """How W was kept: dense, query-span or token-span."""
        return str(self._summary["form"])

    @property
    def seconds(self) -> float:
        """Time in steps."""
        return float(self._summary["seconds"])

    @property
    def steps_below_rounding(self) -> int:
        """How many steps were shorter than the rounding of adding them to the weights."""
        return int(self._summary["steps_below_rounding"])

    @property
    def last(self) -> dict[str, Any]:
        """The row at the final weights, under the names of `trace`."""
        return dict(self._summary["last"])

    @property
    def time_to(self) -> list[dict[str, Any]]:
        """Thresholds of 1 - cos that were reached, each a dict of threshold, step, seconds."""
        return list(self._summary["time_to"])

    @property
    def weights(self) -> Any:
        """W [dim, dim], float64; K Q^T of a factored problem, p [dim, 1] of a prompt."""
        return _core.observe(self.problem, self.state, 0)

    @property
    def blocks(self) -> dict[str, Any]:
        """Each block, float64."""
        return _core.state_blocks(self.problem, self.state)

    def report(self) -> str:
        """All of it in words."""
        report = self._summary["report"]
        return str(report() if callable(report) else report)

    def resume(
        self,
        steps: int,
        *,
        callback: _Callback | None = None,
        progress: Any = None,
        stop: _core.StopSource | None = None,
    ) -> TrainResult:
        """Goes on for further steps, with the same bits as if it had never stopped. This result stays as it is."""
        more = train(
            self.problem,
            self._rule,
            steps=steps,
            state=self.state.copy(),
            callback=callback,
            progress=progress,
            stop=stop,
            **self._arguments,
        )
        # The first row of the further run is the last of this one.
        rows = self._rows + [row for row in more._rows if not self._rows or row["step"] > self._rows[-1]["step"]]
        return TrainResult(
            more.problem, self._rule, more.state, more._options, self._arguments, more._summary, rows
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the state to a safetensors file, from which `load_state` and `softstep train --resume` go on.

        Raises IoError.
        """
        _core.save_state(fspath(path), self.problem, self.state, self._options)

    def to_pandas(self) -> Any:
        """The trace as a pandas.DataFrame. Raises NotSupported without pandas."""
        try:
            import pandas
        except ImportError:
            raise NotSupported("to_pandas: pandas is not installed", "to_pandas") from None
        return pandas.DataFrame(self.trace)

    def to_polars(self) -> Any:
        """The trace as a polars.DataFrame. Raises NotSupported without polars."""
        try:
            import polars
        except ImportError:
            raise NotSupported("to_polars: polars is not installed", "to_polars") from None
        return polars.DataFrame(self.trace)

    def plot(self, y: str = "one_minus_cos", x: str = "step", *, ax: Any = None, **style: Any) -> Any:
        """Draws a column over another on logarithmic axes (columns that are logarithms: on a linear one).

        Returns the matplotlib Axes: `result.plot().figure.savefig("run.png")` keeps the picture. ax: axes to draw on; new ones if
        None. style: for Axes.plot. Raises NotSupported without matplotlib, InvalidArgument for an unknown column.
        """
        for argument, name in (("y", y), ("x", x)):
            if name not in self.trace:
                raise InvalidArgument(f"{argument}: {name} (known: {', '.join(self.trace)})", argument)
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise NotSupported("plot: matplotlib is not installed", "plot") from None
        if ax is None:
            ax = plt.subplots()[1]
        keep = np.isfinite(self.trace[y]) & (self.trace[x] > 0)
        ax.plot(self.trace[x][keep], self.trace[y][keep], **{"label": self.rule, **style})
        ax.set_xscale("log")
        ax.set_yscale("linear" if y.startswith("log10") else "log")
        ax.set_xlabel(x.replace("_", " "))
        ax.set_ylabel("1 - cos(W, reference)" if y == "one_minus_cos" else y.replace("_", " "))
        return ax

    def _figures(self) -> list[tuple[str, str]]:
        last = self.last
        out = [("rule", self.rule), ("status", self.status), ("step", f"{last['step']}")]
        out.append(("loss - optimal", f"1e{last['log10_gap']:.1f}" if math.isfinite(last["log10_gap"]) else "0"))
        out.append(("|W|", f"{last['weight_norm']:.4g}"))
        if not math.isnan(last["one_minus_cos"]):
            out.append(("1 - cos", f"{last['one_minus_cos']:.2e}"))
        out.append(("seconds", f"{self.seconds:.3g}"))
        return out

    def __repr__(self) -> str:
        return "TrainResult(" + ", ".join(f"{name}: {value}" for name, value in self._figures()) + ")"

    def _repr_html_(self) -> str:
        return html_table(f"softstep run, {len(self._rows)} rows of trace", self._figures())


def train(
    problem: _core.Model,
    rule: Any = "polyak",
    *,
    steps: int = 1000,
    start: Any = None,
    init_std: float = 0.0,
    seed: int = 0,
    state: _core.TrainState | None = None,
    reference: Any = None,
    callback: _Callback | None = None,
    progress: Any = None,
    stop: _core.StopSource | None = None,
    form: str = "auto",
    master_weights: str = "working",
    normalization: str = "separate",
    batch_size: int = 0,
    batch_seed: int = 0,
    trace_rows_per_decade: int = 20,
    max_seconds: float = math.inf,
    thresholds: Sequence[float] = (),
    stop_one_minus_cos: float = 0.0,
    checkpoints: _core.Checkpoints | str | PathLike[str] | None = None,
    checkpoint_steps: int = 0,
    checkpoint_seconds: float | None = None,
) -> TrainResult:
    """Trains a problem, or another model, with a step rule.

    Parameters
    ----------
    problem
        What is trained: a `Problem`, or another `Model`.
    rule
        A name with options ("ngd:step-size=0.5"; see `step_rules`), a `Rule`, a `StepRule`, or a function of a `StepContext`
        that returns what StepRule.propose does. For a problem of several blocks also a list with one for each, or
        "gd;polyak".
    steps
        Further steps to take.
    start
        W at step 0: an array, or a tuple or dict of arrays for several blocks. Zero if None.
    init_std, seed
        In place of `start`: entries from N(0, init_std^2).
    state
        In place of these: the state of another run, or of `load_state`, which is moved on.
    reference
        Direction that W is compared with, such as the result of `solve_max_margin`: an array [dim, dim] or an object with
        `weights`; a dict by observable ("weights", "decoder") where more is trained.
    callback
        Called with each row of the trace, a dict; it stops the run by returning False. What it raises leaves `train`.
    progress
        True for a bar (tqdm), or a function of step and seconds, called about ten times a second; False from it stops the run.
    stop
        A `StopSource`, by which another thread ends the run before its next step.
    form
        How W is kept: "auto", "dense", "query-span" or "token-span".
    master_weights
        "working", or "float64" beside float32.
    normalization
        "separate": each block by its own gradient; "joint": all by the norm of the whole gradient.
    batch_size, batch_seed
        Samples a step sees; 0: all.
    trace_rows_per_decade
        Rows per factor of ten; 0: the first and the last row.
    max_seconds
        Ends the run when this much has been spent in steps.
    thresholds, stop_one_minus_cos
        Values of 1 - cos that `TrainResult.time_to` notes, and at which the run ends.
    checkpoints
        A folder, or `Checkpoints` of one, in which states of the run are kept as it goes. The same call again goes on from the
        newest one, and ends at the step at which one call would have ended, with the same bits; its trace begins where it goes
        on. A damaged checkpoint is passed over with a RuntimeWarning, and so is a disk that fails.
    checkpoint_steps, checkpoint_seconds
        How often: at multiples of so many steps, when so many seconds have gone by, or both; and at the end. 60 seconds if neither
        is given.

    Returns
    -------
    TrainResult
        Also after Ctrl-C, which ends the run within 0.2 s or a step; status is "interrupted" then, and the trace is kept.

    Raises
    ------
    InvalidArgument
        Names the argument. How else a run can end is a status.

    Source of the rules: `step_rules`.

    >>> import softstep
    >>> data = softstep.generate("signal_noise", n_samples=4, n_tokens=3, dim=16, seed=0)
    >>> problem = data.problem()
    >>> result = softstep.train(problem, "polyak", steps=1000, reference=softstep.solve_max_margin(problem))
    >>> result.status, bool(result.last["one_minus_cos"] < 1e-3)
    ('max_iterations', True)
    """
    require_model(problem)
    if state is not None and not isinstance(state, _core.TrainState):
        raise InvalidArgument(f"state: {type(state).__name__} (need a TrainState, as `state` of a result)", "state")
    arguments = {
        "reference": reference,
        "form": form,
        "master_weights": master_weights,
        "normalization": normalization,
        "batch_size": batch_size,
        "batch_seed": batch_seed,
        "trace_rows_per_decade": trace_rows_per_decade,
        "max_seconds": max_seconds,
        "thresholds": thresholds,
        "stop_one_minus_cos": stop_one_minus_cos,
    }
    state = start_state(problem, start, init_std, seed, state, master_weights)
    steps = integer(steps, "steps", 0)
    kept, schedule = None, {}
    if checkpoints is not None:
        kept = checkpoints if isinstance(checkpoints, _core.Checkpoints) else _core.Checkpoints(fspath(checkpoints))
        end = state.step + steps
        state = _newest(kept, problem, run_options(problem, rule, 0, arguments), state)
        steps = max(end - state.step, 0)
        schedule = {"checkpoint_steps": checkpoint_steps, "checkpoint_seconds": checkpoint_seconds}
    elif checkpoint_steps or checkpoint_seconds is not None:
        name = "checkpoint_steps" if checkpoint_steps else "checkpoint_seconds"
        raise InvalidArgument(f"{name}: only goes with checkpoints", name)
    options = run_options(problem, rule, steps, {**arguments, **schedule}, stop)
    bar = _Bar(progress, steps, state.step)
    try:
        with told_as(references="reference"):
            summary, rows = _core.train(problem, state, options, callback, bar if bar.wanted else None, kept)
    finally:
        bar.close(state.step)
    return TrainResult(problem, rule, state, options, arguments, summary, rows)


def _newest(
    kept: _core.Checkpoints, problem: _core.Model, options: _core.TrainerOptions, start: _core.TrainState
) -> _core.TrainState:
    """Where a run with checkpoints goes on: the newest whole one, or the start where there is none."""
    found = kept.newest(problem, options)
    if found is None:
        return start
    state, path, damaged = found
    for line in damaged:
        warnings.warn(f"checkpoint passed over: {line}", RuntimeWarning, stacklevel=3)
    if state.step < start.step:
        raise InvalidArgument(f"checkpoints: {path} is of step {state.step}, before that of the state given ({start.step})", "checkpoints")
    kept.remove_older(state.step)
    return state


def start_state(
    problem: _core.Model, start: Any, init_std: float, seed: int, state: _core.TrainState | None, master_weights: str
) -> _core.TrainState:
    """Where a run begins: at `state` itself, else at what the other arguments of `train` say."""
    if state is not None:
        if start is not None or init_std:
            raise InvalidArgument("start: given beside state (need one of them)", "start")
        return state
    if start is not None and init_std:
        raise InvalidArgument("init_std: given beside start (need one of them)", "init_std")
    if init_std:
        with told_as(std="init_std"):
            return _core.normal_state(
                problem, number(init_std, "init_std"), integer(seed, "seed", 0), text(master_weights, "master_weights")
            )
    return _core.initial_state(problem, _start(problem, start), text(master_weights, "master_weights"))


def run_options(
    problem: _core.Model, rule: Any, steps: int, arguments: Mapping[str, Any], stop: _core.StopSource | None = None
) -> _core.TrainerOptions:
    settings = {name: value for name, value in arguments.items() if name != "reference"}
    settings["references"] = _references(problem, arguments["reference"])
    if "checkpoint_seconds" in settings:
        seconds = settings.pop("checkpoint_seconds")
        settings["checkpoint_steps"] = integer(settings["checkpoint_steps"], "checkpoint_steps", 0)
        if seconds is not None or not settings["checkpoint_steps"]:
            settings["checkpoint_seconds"] = 60.0 if seconds is None else seconds
    for name in ("form", "master_weights", "normalization"):
        if name in settings:
            settings[name] = text(settings[name], name)
    for name in ("batch_size", "batch_seed", "trace_rows_per_decade"):
        if name in settings:
            settings[name] = integer(settings[name], name, 0)
    for name in ("max_seconds", "stop_one_minus_cos", "checkpoint_seconds"):
        if name in settings:
            settings[name] = number(settings[name], name)
    settings["thresholds"] = numbers(arguments["thresholds"], "thresholds")
    with told_as(references="reference"):
        return _core.trainer_options(as_rules(rule), n_steps=integer(steps, "steps", 0), stop=stop, **settings)


def load_state(path: str | PathLike[str], problem: _core.Model, rule: Any = "polyak", **arguments: Any) -> _core.TrainState:
    """Reads a state that TrainResult.save, or `softstep train`, has written, for `train(problem, rule, state=...)`.

    `arguments` are those of `train` that the run had (batch_size, normalization, master_weights, ..).

    Raises BadFile for a file that is damaged or no state, InvalidArgument for one of another problem or rule, IoError.
    """
    require_model(problem)
    defaults: dict[str, Any] = {"reference": None, "thresholds": ()}
    return _core.load_state(fspath(path), problem, run_options(problem, rule, 0, {**defaults, **arguments}))
