"""What looks on while a function of this package is called, and how torch.func.vmap goes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..errors import NotSupported

_c: Any = torch._C
_forward_ad: Any = forward_ad
#: torch.compiler.disable, which imports the compiler at once; PyTorch's own form of it does so at the first call
uncompiled: Callable[[Callable[..., Any]], Callable[..., Any]] = (
    getattr(getattr(torch, "_compile", None), "_disable_dynamo", None) or torch.compiler.disable
)


def moves_forward() -> bool:
    """Whether forward-mode differentiation goes on."""
    return bool(_forward_ad._current_level >= 0)


def is_transformed() -> bool:
    """Whether torch.func transforms what is called."""
    # Not `is not`, of which Dynamo (PyTorch 2.13) says True whatever the stack.
    return bool(_c._functorch.peek_interpreter_stack() != None)  # noqa: E711


def is_batch_of_autograd(*tensors: Tensor | None) -> bool:
    """Whether one is a batch by which torch.autograd goes through a backward pass once for many gradients (is_grads_batched).

    These are no transforms of torch.func: the dispatcher alone can take them apart.
    """
    return any(x is not None and _c._functorch.is_legacy_batchedtensor(x) for x in tensors)


def call(function: Any, *inputs: Any) -> Any:
    """A torch.autograd.Function, whose `apply` has no types."""
    return function.apply(*inputs)


@uncompiled
def map_one_by_one(
    function: Any,
    info: Any,
    in_dims: Sequence[int | None],
    inputs: Sequence[Any],
    stacks: Sequence[Callable[[list[Tensor]], Tensor]] = (),
) -> Any:
    """The rule of torch.func.vmap for a function that takes one at a time: outputs, and where their axes are."""
    if info.batch_size == 0:
        raise NotSupported("vmap: an axis of no elements", "vmap")

    def part(value: Any, dim: int | None, i: int) -> Any:
        if dim is None:
            return value
        cut = value.select(dim, i)
        return cut if cut.is_floating_point() else cut.contiguous()  # masks are read in C order

    found = [function.apply(*(part(x, dim, i) for x, dim in zip(inputs, in_dims))) for i in range(info.batch_size)]
    if isinstance(found[0], Tensor):
        return torch.stack(found), 0
    each = [list(one) for one in zip(*found)]
    outputs = tuple((stacks[k] if stacks else torch.stack)(one) for k, one in enumerate(each))
    return outputs, (0,) * len(outputs)


class _Edge(torch.autograd.Function):
    """Tensors as they are; whoever differentiates through them is told that there is no such derivative."""

    @staticmethod
    def forward(message: str, argument: str, *tensors: Tensor) -> Any:
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.refusal = inputs[:2]

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotSupported(*ctx.refusal)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise NotSupported(*ctx.refusal)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return call(_Edge, *inputs), tuple(in_dims[2:])


def edge(message: str, argument: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, beyond which nothing can be differentiated. Derivatives that do not lead there are not touched."""
    found: tuple[Tensor, ...] = call(_Edge, message, argument, *tensors)
    return found
