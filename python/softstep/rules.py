"""Step rules: by name, by object, or written in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import _core
from ._arguments import number
from .errors import InvalidArgument
from .scaled import Scaled

__all__ = ["Rule", "StepContext", "StepRule", "step_rules"]


class StepContext(NamedTuple):
    """What a rule sees of an iteration. Arrays are copies, which may be kept."""

    #: t, from 0
    iteration: int
    #: L - L*; None unless the rule says needs_loss_gap
    loss_gap: Scaled | None
    #: G', [n_rows, n_cols]: the gradient is G' exp(gradient_exponent)
    gradient: Any
    #: natural logarithm
    gradient_exponent: float
    #: Frobenius norm of G'
    gradient_norm: float
    #: before the step, laid out as `gradient` (a dense run may keep both transposed); None where the run keeps coefficients
    weights: Any
    #: what the rule wrote to `next` at the last step taken, float64 arrays of one dimension; empty before the first step
    memory: dict[str, Any]
    #: where the rule writes what it remembers if this step is taken: everything that StepRule.memory names
    next: dict[str, Any]


class StepRule:
    """A step rule of your own: derive, and write `propose`. With settings or a memory write `settings_text` too.

    >>> import softstep
    >>> class Normalised(softstep.StepRule):
    ...     name = "normalised"
    ...     def propose(self, context):
    ...         return 0.5 / context.gradient_norm
    >>> data = softstep.generate("signal_noise", seed=0)
    >>> softstep.train(data.problem(), Normalised(), steps=20).status
    'max_iterations'
    """

    #: one word for messages
    name: str = "own"
    #: whether StepContext.loss_gap is wanted
    needs_loss_gap: bool = False
    #: whether the rule looks at norms alone and returns numbers: then the run may keep W in any form
    moves_along_gradient: bool = False
    #: what is remembered between steps: name and how many numbers; 0 means as many as weights
    memory: Mapping[str, int] = {}

    def settings_text(self) -> str:
        """The rule with its settings: a saved state is resumed under the same text only."""
        return self.name

    def propose(self, context: StepContext) -> Any:
        """The step: a number c for W -= c G' (the mantissa); an array D for W -= D, whatever its exponent; None for no step;
        "gap_not_positive" where the rule needs L > L*. What it raises ends the run."""
        raise NotImplementedError(f"{type(self).__name__}.propose")


class _Function(StepRule):
    def __init__(self, function: Callable[[StepContext], Any]) -> None:
        self._function = function
        self.name = getattr(function, "__name__", "callable").strip("<>")
        self.needs_loss_gap = True

    def propose(self, context: StepContext) -> Any:
        return self._function(context)


class Rule:
    """A rule of the library with its options.

    >>> Rule("ngd", step_size=0.5, schedule_power=0.5)
    Rule('ngd:step-size=0.5,schedule-power=0.5')
    """

    def __init__(self, name: str, **options: float) -> None:
        #: name and options, as the program takes them
        self.text = name
        if options:
            values = (f"{option.replace('_', '-')}={number(value, option)!r}" for option, value in options.items())
            self.text += ("," if ":" in name else ":") + ",".join(values)

    def __repr__(self) -> str:
        return f"Rule({self.text!r})"


def step_rules() -> list[dict[str, Any]]:
    """Every rule of the library: name, formula, source, options with their defaults, note.

    >>> [rule["name"] for rule in step_rules()][:3]
    ['gd', 'ngd', 'polyak']
    """
    return _core.step_rules()


def as_rules(rule: Any) -> list[Any]:
    """What the trainer takes: texts and objects with `propose`, one for all blocks or one for each."""
    if isinstance(rule, (list, tuple)):
        return [one for part in rule for one in as_rules(part)]
    if isinstance(rule, str):
        return [part for part in rule.split(";") if part]
    if isinstance(rule, Rule):
        return [rule.text]
    if hasattr(rule, "propose"):
        return [rule]
    if callable(rule):
        return [_Function(rule)]
    raise InvalidArgument(f"rule: {type(rule).__name__} (need a name with options, a Rule, a StepRule or a callable)", "rule")


def rule_name(rule: Any) -> str:
    """How a rule is called in tables and legends."""
    return ";".join(one if isinstance(one, str) else one.name for one in as_rules(rule))
