"""Many runs in PyTorch: vmap of a step by autograd, and a gradient written out with the run as first or last axis; eager, and
compiled by torch.compile one step or several at a time."""
import sys

from many_worker import ManyServer

import numpy as np
import torch
import torch.nn.functional as F

from worker import Data, serve

torch.set_num_threads(int(sys.argv[2]))
torch._dynamo.config.recompile_limit = 1000  # every shape is compiled for itself

UNROLLED = 8  # steps in one compiled graph


def loss_of(w, x, gamma, z):
    """Of one run."""
    p = torch.softmax((x * (z @ w.T).unsqueeze(1)).sum(2), dim=1)
    return F.softplus(-(p * gamma).sum(1)).mean()


def one_run(w, step_size, x, gamma, z):
    gradient = torch.func.grad(loss_of)(w, x, gamma, z)
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient))


vmapped = torch.func.vmap(one_run, in_dims=(0, None, 0, 0, 0))


def first(w, step_size, x, gamma, z):
    """x [R, n, T, d], gamma [R, n, T], z [R, n, d], w [R, d, d]; sums over products that a compiler can fuse."""
    p = torch.softmax((x * torch.bmm(z, w.transpose(1, 2)).unsqueeze(2)).sum(3), dim=2)
    m = (p * gamma).sum(2, keepdim=True)
    r = p * (gamma - m) * (torch.sigmoid(-m) * (-1.0 / x.shape[1]))
    gradient = torch.bmm((r.unsqueeze(3) * x).sum(2).transpose(1, 2), z)
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True))


def last(w, step_size, x, gamma, z):
    """x [n, T, d, R], gamma [n, T, R], z [n, d, R], w [d, d, R]."""
    v = (z.unsqueeze(1) * w.unsqueeze(0)).sum(2)
    p = torch.softmax((x * v.unsqueeze(1)).sum(2), dim=1)
    m = (p * gamma).sum(1, keepdim=True)
    r = p * (gamma - m) * (torch.sigmoid(-m) * (-1.0 / x.shape[0]))
    g = (r.unsqueeze(2) * x).sum(1)
    gradient = (g.unsqueeze(2) * z.unsqueeze(1)).sum(0)
    return w - gradient * (step_size / gradient.square().sum((0, 1)).sqrt())


class Runs:
    def __init__(self, data: Data, step, axis: int, compiled: bool, unrolled: int = 1):
        self.axis, self.unrolled = axis, unrolled
        self.arrays = [self.placed(a) for a in (data.tokens, data.scores, data.queries)]

        def several(w, size, *arrays):
            for _ in range(unrolled):
                w = step(w, size, *arrays)
            return w

        self.several = torch.compile(several, dynamic=False, fullgraph=True) if compiled else several
        self.one = torch.compile(step, dynamic=False, fullgraph=True) if compiled else step
        self.sizes: dict[float, torch.Tensor] = {}

    def placed(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(array, 0, self.axis).copy())

    def reset(self, weights):
        self.w = self.placed(weights)

    def advance(self, steps, step_size):
        # As a tensor, so that another value is no reason to compile again.
        size = self.sizes.setdefault(step_size, torch.tensor(step_size, dtype=self.w.dtype))
        with torch.no_grad():
            w = self.w
            for _ in range(steps // self.unrolled):
                w = self.several(w, size, *self.arrays)
            for _ in range(steps % self.unrolled):
                w = self.one(w, size, *self.arrays)
            self.w = w

    def loss(self):
        w, *arrays = (a.movedim(self.axis, 0) for a in (self.w, *self.arrays))
        return torch.func.vmap(loss_of)(w, *arrays).mean().item()

    def weights(self):
        return np.moveaxis(self.w.numpy(), self.axis, 0)


def variants(data: Data):
    out = {}
    for name, step, axis in (("vmap-autograd", vmapped, 0), ("hand-first", first, 0), ("hand-last", last, -1)):
        out[f"eager-{name}"] = lambda step=step, axis=axis: Runs(data, step, axis, False)
        out[f"compile-{name}"] = lambda step=step, axis=axis: Runs(data, step, axis, True)
        out[f"compile-{name}-x{UNROLLED}"] = lambda step=step, axis=axis: Runs(data, step, axis, True, UNROLLED)
    return out


serve(torch.__version__, variants, ManyServer)
