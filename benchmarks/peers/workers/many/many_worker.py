"""What the Python workers of many runs share: the data of all runs, with the run as the first axis. `load FOLDER RUNS` reads
k.safetensors and k.weights for each run k, `check` writes k.weights for each; everything else is as worker.py says."""
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from worker import Data, Server, load  # noqa: E402


class ManyServer(Server):
    def read(self, folder: str, n_runs: str) -> Data:
        runs = [load(f"{folder}/{k}.safetensors", f"{folder}/{k}.weights", self.type_name) for k in range(int(n_runs))]
        return Data(*(np.stack([getattr(run, name) for run in runs]) for name in ("tokens", "scores", "queries", "weights")),
                    optimal_loss=0.0)

    def write(self, weights: np.ndarray, folder: str) -> None:
        for k, w in enumerate(weights):
            save_file({"weights": np.ascontiguousarray(w)}, f"{folder}/{k}.weights")
