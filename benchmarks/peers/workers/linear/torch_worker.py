"""Linear attention composed of PyTorch's products: forward without autograd, backward by torch.autograd.grad. `compiled-C`: the
same by torch.compile, where there are few chunks to unroll."""
import contextlib
import sys

import numpy as np
import torch

from linear_worker import CHUNKS, LinearData, read_data, ways, worker

torch.set_num_threads(int(sys.argv[2]))
torch.set_num_interop_threads(1)
FEW = 16  # chunks that are compiled


def whole(q, k, v):
    return q @ (k.transpose(-1, -2) @ v)


def causal(q, k, v, log_gates, chunk):
    b, h, t, d = q.shape
    q, k, v = (x.reshape(b, h, t // chunk, chunk, -1) for x in (q, k, v))
    later = k
    if log_gates is not None:
        sums = log_gates.reshape(b, h, t // chunk, chunk, -1).cumsum(-2)
        decay = sums[..., -1:, :].exp().transpose(-1, -2)
        q, k, later = q * sums.exp(), k * (-sums).exp(), k * (sums[..., -1:, :] - sums).exp()
    added = later.transpose(-1, -2) @ v
    if log_gates is None:
        states = added.cumsum(2)
        before = torch.cat([torch.zeros_like(states[:, :, :1]), states[:, :, :-1]], 2)
    else:
        state, kept = torch.zeros_like(added[:, :, 0]), []
        for c in range(t // chunk):
            kept.append(state)
            state = decay[:, :, c] * state + added[:, :, c]
        before = torch.stack(kept, 2)
    return ((q @ k.transpose(-1, -2)).tril() @ v + q @ before).reshape(b, h, t, -1)


class Attention:
    def __init__(self, name: str, case: str, data: LinearData):
        self.backward, self.scale = worker.has_backward(case), data.scale
        self.inputs = [torch.from_numpy(a).requires_grad_(self.backward) for a in data.inputs]
        self.do, self.chunk = torch.from_numpy(data.do), int(name.split("-")[1])
        function = causal if worker.is_causal(case) else whole
        self.function = torch.compile(function, fullgraph=True) if name.startswith("compiled") else function
        self.more = (() if data.gated else (None,)) + (self.chunk,) if worker.is_causal(case) else ()
        self.results: tuple[torch.Tensor, ...] = ()

    def call(self, times: int) -> None:
        with contextlib.nullcontext() if self.backward else torch.inference_mode():
            for _ in range(times):
                self.results = ()
                q, *others = self.inputs
                out = self.function(self.scale * q, *others, *self.more)
                gradients = torch.autograd.grad(out, self.inputs, self.do) if self.backward else ()
                self.results = (out.detach(), *gradients)

    def outputs(self) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in self.results]


def variants(data: LinearData) -> dict[str, list[str]]:
    """Compiled is the causal pass in large chunks alone: its compiler takes the better part of a minute for each."""
    chunk = CHUNKS[-1]
    few = data.q.shape[2] <= FEW * chunk
    return ways(data) | ({f"compiled-{chunk}": [c for c in worker.CASES if worker.is_causal(c)]} if few else {})


if __name__ == "__main__":
    worker.serve(torch.__version__, variants, Attention, read_data)
