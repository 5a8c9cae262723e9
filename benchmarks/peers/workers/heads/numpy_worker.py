"""Attention composed of BLAS products in NumPy: blocks of query rows beside all their keys, exponentials between the products.

`rows-N`: N rows at a time, so that a block of scores stays in a cache. The backward pass computes the scores again.
"""
import sys

import numpy as np

from worker import CASES, Data, has_backward, is_causal, serve

BLOCKS = (64, 256)


class Attention:
    def __init__(self, name: str, case: str, data: Data):
        self.rows, self.causal, self.backward = int(name.split("-")[1]), is_causal(case), has_backward(case)
        self.data, self.scale = data, data.q.dtype.type(data.scale)
        self.results: list[np.ndarray] = []

    def start(self) -> None:
        """What a program would allocate once."""
        q, k = self.data.q, self.data.k
        self.results = [np.empty_like(q)]
        if self.backward:
            self.results += [np.empty_like(q), np.empty_like(k), np.empty_like(k)]
        self.scores, self.slopes = (np.empty((min(self.rows, q.shape[2]), k.shape[2]), q.dtype) for _ in range(2))
        self.query = np.empty((self.rows, q.shape[3]), q.dtype)
        self.part = np.empty(k.shape[2:], k.dtype)
        self.hidden = np.triu(np.ones((self.rows, self.rows), bool), 1)

    def blocks(self):
        n = self.data.q.shape[2]
        for first in range(0, n, self.rows):
            last = min(n, first + self.rows)
            yield first, last, last if self.causal else self.data.k.shape[2]

    def softmax(self, q: np.ndarray, k: np.ndarray, first: int) -> np.ndarray:
        n, m = len(q), len(k)
        p = np.matmul(np.multiply(q, self.scale, out=self.query[:n]), k.T, out=self.scores.reshape(-1)[:n * m].reshape(n, m))
        if self.causal:
            p[:, first:][self.hidden[:n, :n]] = -np.inf
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def head(self, b: int, h: int) -> None:
        data, group = self.data, h // self.data.groups
        q, k, v, o = data.q[b, h], data.k[b, group], data.v[b, group], self.results[0][b, h]
        for first, last, seen in self.blocks():
            np.matmul(self.softmax(q[first:last], k[:seen], first), v[:seen], out=o[first:last])
        if not self.backward:
            return
        do, dq = data.do[b, h], self.results[1][b, h]
        dk, dv = self.results[2][b, group], self.results[3][b, group]
        for first, last, seen in self.blocks():
            p = self.softmax(q[first:last], k[:seen], first)
            rows = do[first:last]
            ds = np.matmul(rows, v[:seen].T, out=self.slopes.reshape(-1)[:p.size].reshape(p.shape))
            ds -= np.vecdot(rows, o[first:last])[:, None]
            ds *= p
            np.matmul(ds, k[:seen], out=dq[first:last])
            part = self.part[:seen]
            dk[:seen] += np.matmul(ds.T, q[first:last], out=part)
            dv[:seen] += np.matmul(p.T, rows, out=part)
        dq *= self.scale

    def call(self, times: int) -> None:
        if not self.results:
            self.start()
        for _ in range(times):
            for gradient in self.results[2:]:
                gradient[:] = 0
            for b in range(self.data.q.shape[0]):
                for h in range(self.data.q.shape[1]):
                    self.head(b, h)
            for gradient in self.results[2:3]:
                gradient *= self.scale

    def outputs(self) -> list[np.ndarray]:
        return self.results


def ways(data: Data) -> dict[str, list[str]]:
    if sys.argv[1] in ("f16", "bf16"):  # there are no BLAS products of these
        return {}
    return {f"rows-{n}": list(CASES) for n in BLOCKS if n == BLOCKS[0] or n <= data.q.shape[2]}


if __name__ == "__main__":
    serve(np.__version__, ways, Attention)
