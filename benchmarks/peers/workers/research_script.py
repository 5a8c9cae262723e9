"""The published research set-up as one writes it in PyTorch and cvxpy: prints the seconds per seed and the final losses as JSON.

    research_script.py STEPS STEP_SIZE DATA...      one data file a seed

Normalised gradient descent from W = 0 by autograd, the state recorded at every step as for a plot, then the max-margin problem of
the optimal tokens with one vectorised constraint.
"""
import json
import sys
import time

import cvxpy as cp
import numpy as np
import torch
from safetensors.numpy import load_file


def train(x, z, u, y, steps: int, step_size: float):
    w = torch.zeros(x.shape[2], x.shape[2], dtype=x.dtype, requires_grad=True)
    history = []
    for _ in range(steps):
        scores = torch.einsum("ntd,nd->nt", x, z @ w.T)
        attention = torch.softmax(scores, dim=1)
        margins = y * torch.einsum("nt,ntd,d->n", attention, x, u)
        loss = torch.nn.functional.softplus(-margins).mean()
        loss.backward()
        with torch.no_grad():
            w -= step_size * w.grad / w.grad.norm()
            history.append((loss.item(), w.norm().item()))
            w.grad = None
    return w.detach(), history


def solve(x, z, u, y) -> np.ndarray:
    n, n_tokens, d = x.shape
    gamma = y[:, None] * (x @ u)
    rows = [np.outer(x[i, gamma[i].argmax()] - x[i, t], z[i]).ravel()
            for i in range(n) for t in range(n_tokens) if t != gamma[i].argmax()]
    w = cp.Variable(d * d)
    cp.Problem(cp.Minimize(cp.sum_squares(w)), [np.array(rows) @ w >= 1]).solve(solver="CLARABEL")
    return w.value.reshape(d, d)


def main() -> None:
    steps, step_size = int(sys.argv[1]), float(sys.argv[2])
    seconds, losses, norms = [], [], []
    for file in sys.argv[3:]:
        tensors = {name: value.astype(np.float64) for name, value in load_file(file).items()}
        arrays = [tensors[name] for name in ("tokens", "queries", "decoder", "labels")]
        start = time.perf_counter()
        w, _ = train(*map(torch.from_numpy, arrays), steps, step_size)
        limit = solve(*arrays)
        cos = float((w.numpy() * limit).sum() / (np.linalg.norm(w.numpy()) * np.linalg.norm(limit)))
        seconds.append(time.perf_counter() - start)
        x, z, u, y = map(torch.from_numpy, arrays)
        p = torch.softmax(torch.einsum("ntd,nd->nt", x, z @ w.T), dim=1)
        losses.append(torch.nn.functional.softplus(-y * torch.einsum("nt,ntd,d->n", p, x, u)).mean().item())
        norms.append(float(np.linalg.norm(limit)))
        assert np.isfinite(cos)
    print(json.dumps({"seconds": seconds, "losses": losses, "norms": norms}))


main()
