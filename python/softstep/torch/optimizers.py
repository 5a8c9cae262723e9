"""Step rules of the library as optimizers of PyTorch. They take gradients with an exponent apart where there are such."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .._arguments import number
from ..errors import InvalidArgument
from ..scaled import Scaled

__all__ = ["NGD", "Polyak"]


def _exponent(parameter: Tensor) -> float:
    """Of the gradient: that which `scaled_backward` gave with it, else 0."""
    if getattr(parameter, "grad_exponent_of", None) is parameter.grad:
        return float(getattr(parameter, "grad_exponent", 0.0))
    return 0.0


def _log_norm(gradient: Tensor) -> float:
    """Logarithm of the Frobenius norm; -inf for zero. Squares of small numbers do not underflow."""
    if gradient.numel() == 0:
        return -math.inf
    largest = float(gradient.abs().max())
    if largest == 0 or not math.isfinite(largest):
        return -math.inf if largest == 0 else math.nan
    wide = torch.promote_types(gradient.dtype, torch.float64)
    return math.log(largest) + math.log(float(torch.linalg.vector_norm(gradient.to(wide) / largest)))


def _require(group: dict[str, Any], name: str, wanted: str, holds: Callable[[float], bool]) -> None:
    value = number(group[name], name)
    if not (math.isfinite(value) and holds(value)):
        raise InvalidArgument(f"{name}: {group[name]} (need {wanted})", name)


class _Normalised(torch.optim.Optimizer):
    """W -= exp(log_length) G / |G|, with |G| over all parameters."""

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        """Raises InvalidArgument where a group of parameters has a setting that no rule takes."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """A further group, with settings of its own or those of the optimizer. Those of the first groups come through here too."""
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As PyTorch's; gradients that stay, as zeros, lose the exponent that `scaled_backward` gave."""
        for _, p in self._parameters():
            p.grad_exponent_of = None  # type: ignore[attr-defined]
        super().zero_grad(set_to_none)

    def _parameters(self) -> list[tuple[dict[str, Any], Tensor]]:
        return [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]

    def _log_norm(self) -> float:
        logs = [_log_norm(p.grad) + _exponent(p) for _, p in self._parameters() if p.grad is not None]
        top = max(logs, default=-math.inf)
        if any(math.isnan(x) for x in logs):
            return math.nan
        return top if math.isinf(top) else top + 0.5 * math.log(sum(math.exp(2 * (x - top)) for x in logs))

    def _move(self, log_norm: float, length: Callable[[dict[str, Any], int], float]) -> None:
        for group, p in self._parameters():
            state = self.state[p]
            t = state.get("step", 0)
            state["step"] = t + 1
            gradient = p.grad
            if gradient is None or log_norm == -math.inf or _exponent(p) == -math.inf:
                continue
            # The unit vector first: its factor is moderate, whatever the exponents of gradient and length are. It is given
            # in two, so that a mantissa far from 1 does not take it out of the type.
            half = math.exp(0.5 * (_exponent(p) - log_norm))
            p.sub_(gradient * half * half * length(group, t))


class NGD(_Normalised):
    """Normalised gradient descent: W -= lr (t+1)^-decay G / |G|, |G| over all parameters of the optimizer.

    Parameters
    ----------
    params
        Tensors, or dicts of parameter groups, each with `lr` and `decay` of its own.
    lr
        eta > 0.
    decay
        a >= 0.

    Only the direction of the gradient counts. Where `softstep.torch.scaled_backward` gave it an exponent, it goes on however
    small the gradient is; a gradient of zero moves nothing. Raises InvalidArgument. Source: arXiv 2402.05738.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1.0, decay: float = 0.0) -> None:
        self._check({"lr": lr, "decay": decay})
        super().__init__(params, {"lr": lr, "decay": decay})

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        _require(group, "lr", "a number > 0", lambda lr: lr > 0)
        _require(group, "decay", "a number >= 0", lambda decay: decay >= 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. closure: evaluates again and sets the gradients; its value is returned."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        self._move(self._log_norm(), lambda group, t: float(group["lr"] * (t + 1) ** -group["decay"]))
        return value


class Polyak(_Normalised):
    """Polyak's step: W -= (L - L*) / (c |G|^2) G, |G| over all parameters of the optimizer.

    Parameters
    ----------
    params
        Tensors, or dicts of parameter groups, each with a `factor` of its own.
    factor
        c > 0.
    optimal_loss
        L*, subtracted from what the closure returns where that is a plain number.

    The closure returns the loss, or L - L* as a `Scaled`, as `softstep.torch.scaled_backward` does; with that it goes on
    however small loss gap and gradient are. A gap that is not positive moves nothing. Raises InvalidArgument, also where a gap is
    left and hardly a gradient, so that no number can hold the step: nothing is moved then. Sources: Polyak 1987; arXiv 2402.05738.
    """

    def __init__(self, params: Iterable[Any], factor: float = 2.0, optimal_loss: float = 0.0) -> None:
        self._check({"factor": factor, "optimal_loss": optimal_loss})
        super().__init__(params, {"factor": factor, "optimal_loss": optimal_loss})

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        _require(group, "factor", "a number > 0", lambda factor: factor > 0)
        _require(group, "optimal_loss", "a finite number", lambda _: True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. closure: evaluates, sets the gradients, and returns the loss or the `Scaled` gap, which is returned."""
        if closure is None:
            raise InvalidArgument("closure: None (Polyak's step needs the loss)", "closure")
        with torch.enable_grad():
            value = closure()
        optimal = float(self.param_groups[0]["optimal_loss"]) if self.param_groups else 0.0
        gap = value if isinstance(value, Scaled) else Scaled(float(value) - optimal, 0.0)
        if not gap.mantissa > 0:  # nor where it is no number
            return value
        log_norm = self._log_norm()
        log_gap = math.log(gap.mantissa) + gap.exponent
        for group, p in self._parameters():
            if log_norm > -math.inf and log_gap - log_norm - math.log(group["factor"]) > math.log(torch.finfo(p.dtype).max):
                raise InvalidArgument(
                    f"closure: a gap of e^{log_gap:.6g} beside a gradient of e^{log_norm:.6g} (no {p.dtype} can hold their step)",
                    "closure",
                )
        self._move(log_norm, lambda group, t: math.exp(log_gap - log_norm) / float(group["factor"]))
        return value
