"""What the Python workers of linear attention share beyond those of attention over heads: the data, and the chunks.

    load FOLDER H T D COLUMNS SCALE   COLUMNS of log_gates: 0 (none), 1 (one for each key) or D
    check                             O, or O, dQ, dK, dV and with gates the gradient of log_gates

FOLDER has q, k, v, do [H, T, D] and log_gates [H, T, COLUMNS] as raw float32; arrays are [1, H, T, D].

A causal pass is composed as their users write it: chunks of C positions by matrix products, one state [D, D] a chunk passed on
from chunk to chunk. With G the running sum of log gates within a chunk,
    O = tril((Q e^G) (K e^-G)^T) V + (Q e^G) S        S' = diag(e^G_C) S + (K e^(G_C - G))^T V
which is safe as long as no G within a chunk leaves the range of exp: here it is above -13 for chunks of 128.
"""
import dataclasses
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "heads"))
import worker  # noqa: E402  (beside those of attention over heads)

CHUNKS = (64, 128)


@dataclasses.dataclass
class LinearData(worker.Data):
    log_gates: np.ndarray

    @property
    def gated(self) -> bool:
        return self.log_gates.size > 0

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(c for c in worker.CASES if worker.is_causal(c) or not self.gated)

    def outputs(self, case: str) -> list[str]:
        gates = ["dlog_gates"] if self.gated and worker.has_backward(case) else []
        return super().outputs(case) + gates

    @property
    def inputs(self) -> list[np.ndarray]:
        return [self.q, self.k, self.v, *([self.log_gates] if self.gated else [])]


def read_data(dtype: type, folder: str, heads: str, tokens: str, dim: str, columns: str, scale: str) -> LinearData:
    def array(name: str, width: int) -> np.ndarray:
        numbers = np.fromfile(pathlib.Path(folder, name), np.float32) if width else np.empty(0, np.float32)
        return numbers.astype(dtype).reshape(1, int(heads), int(tokens) if width else 0, width)

    q, k, v, do = (array(name, int(dim)) for name in ("q", "k", "v", "do"))
    return LinearData(q, k, v, do, float(scale), array("log_gates", int(columns)))


def ways(data: LinearData) -> dict[str, list[str]]:
    """A variant for each size of a chunk."""
    return {f"chunks-{n}": list(worker.CASES) for n in CHUNKS}
