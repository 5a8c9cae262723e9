"""What a forward pass leaves for the backward pass, in the hands of a tensor.

A registered operator takes and gives tensors alone. So the state travels as a tensor of one byte, whose memory holds it alive:
the state goes when the last graph that saved the tensor goes. A copy of that tensor (a checkpoint that was stored elsewhere) lies
at another address and finds no state; the pass is then computed once more.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch

from .. import _core
from ._transforms import is_transformed


class _Holder(np.ndarray[Any, Any]):
    #: the state of each byte, in C order
    states: list[_core.HeadsState | None]


_holders: weakref.WeakValueDictionary[int, _Holder] = weakref.WeakValueDictionary()


def _hold(states: list[_core.HeadsState | None], shape: tuple[int, ...]) -> torch.Tensor:
    holder = np.empty(shape, dtype=np.uint8).view(_Holder)
    holder.states = states
    tensor = torch.from_numpy(holder)
    for k in range(len(states)):
        _holders[tensor.data_ptr() + k] = holder
    return tensor


def new_state() -> tuple[_core.HeadsState, torch.Tensor]:
    """A state, and the tensor that holds it."""
    state = _core.HeadsState()
    return state, hold(state)


def hold(state: _core.HeadsState) -> torch.Tensor:
    """A tensor that holds a state."""
    return _hold([state], (1,))


def state_of(tensor: torch.Tensor) -> _core.HeadsState | None:
    """The state that a tensor of one byte holds; None for a copy of such a tensor."""
    holder = _holders.get(tensor.data_ptr())
    return None if holder is None else holder.states[tensor.data_ptr() - holder.ctypes.data]


def stack_states(tensors: list[torch.Tensor]) -> torch.Tensor:
    """As torch.stack. The parts of what comes out hold the states of `tensors`, where these can be looked at."""
    _c: Any = torch._C
    if is_transformed() or _c._len_torch_dispatch_stack() or any(tensor.numel() != 1 for tensor in tensors):
        return torch.stack(tensors)
    return _hold([state_of(tensor) for tensor in tensors], (len(tensors), *tensors[0].shape))
