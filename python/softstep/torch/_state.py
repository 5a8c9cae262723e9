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


class _Holder(np.ndarray[Any, Any]):
    state: _core.HeadsState


_holders: weakref.WeakValueDictionary[int, _Holder] = weakref.WeakValueDictionary()


def new_state() -> tuple[_core.HeadsState, torch.Tensor]:
    """A state, and the tensor that holds it."""
    holder = np.empty(1, dtype=np.uint8).view(_Holder)
    holder.state = _core.HeadsState()
    tensor = torch.from_numpy(holder)
    _holders[tensor.data_ptr()] = holder
    return holder.state, tensor


def state_of(tensor: torch.Tensor) -> _core.HeadsState | None:
    """The state that a tensor holds; None for a copy of such a tensor."""
    holder = _holders.get(tensor.data_ptr())
    return None if holder is None else holder.state
