"""Many runs of one shape, each on data of its own, by everybody, interleaved: correct first, then timed."""
import dataclasses
import functools
import math
import pathlib
import subprocess
import time

from .. import agreement, environment
from ..steps import OUT, Measured, Shape, take_turns
from ..worker_process import TABLE, Worker, WorkerFailed

PEERS = ("softstep", "torch", "jax")
# Shape and number of runs; those of the published set-up first.
CELLS = ((Shape(6, 8, 10), 100), (Shape(20, 5, 10), 100), (Shape(10, 6, 60), 32))
PREPARE_TIMEOUT = 300.0  # seconds; torch.compile needs them


@dataclasses.dataclass
class Problem:
    """The runs of a cell: a folder with k.safetensors, k.weights (W_0) and k.truth (after the steps of the check) for run k."""
    folder: pathlib.Path
    step_size: float
    runs: list[agreement.Agreement]

    def bound(self, k: int, number_type: str) -> float:
        """On the distance of a run's weights from its truth in float64."""
        return self.runs[k].bounds(number_type)[0]


@functools.cache
def problem_of(shape: Shape, n_runs: int, number_type: str) -> Problem:
    """All runs take the same step size: the least of those at which the bound of harness/agreement.py holds."""
    folder = OUT / "many" / f"{str(shape).replace(',', '-')}-{number_type}"
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for k in range(n_runs):
        file = folder / f"{k}.safetensors"
        command = [environment.PROGRAM, "generate", "--generator", "signal_noise", "--samples", shape.n, "--tokens", shape.n_tokens,
                   "--dim", shape.d, "--seed", k, "--dtype", number_type, "--out", file]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        problems.append(agreement.Problem(file))
    starts = [folder / f"{k}.weights" for k in range(n_runs)]
    step_size = min(agreement.prepare(p, w).step_size for p, w in zip(problems, starts))
    runs = [agreement.prepare(p, w, step_size) for p, w in zip(problems, starts)]
    for k, (problem, start) in enumerate(zip(problems, starts)):
        agreement.write_truth(problem, start, step_size, folder / f"{k}.truth")
    return Problem(folder, step_size, runs)


class Cell:
    def __init__(self, shape: Shape, n_runs: int, number_type: str, workers: dict[str, Worker], spoil: str):
        self.shape, self.n_runs, self.type, self.workers, self.spoil = shape, n_runs, number_type, workers, spoil
        self.problem = problem_of(shape, n_runs, number_type)
        for k, run in enumerate(self.problem.runs):
            if not self.problem.bound(k, number_type) <= 0.5 * run.step_of_weights:
                raise ValueError(f"{shape} {number_type}, run {k}: the bound is as long as the steps, the check would say nothing")
        self.entries: list[Measured] = []

    def prepare(self) -> None:
        """Loads, compiles and checks every variant."""
        answers = self.problem.folder / "answers"
        answers.mkdir(exist_ok=True)
        for peer, worker in self.workers.items():
            try:
                names = worker.ask("load", self.problem.folder, self.n_runs)["variants"]
            except WorkerFailed as error:
                self.entries.append(Measured(peer, "*", refused=str(error)))
                continue
            for name in names:
                entry = Measured(peer, name)
                self.entries.append(entry)
                try:
                    worker.ask("prepare", name, timeout=PREPARE_TIMEOUT)
                    size = self.problem.step_size * (1.01 if peer == self.spoil else 1.0)
                    for file in answers.iterdir():
                        file.unlink()
                    worker.ask("check", name, size, agreement.STEPS, answers)
                    self.judge(entry, answers)
                except (WorkerFailed, OSError) as error:
                    entry.refused = str(error)

    def judge(self, entry: Measured, answers: pathlib.Path) -> None:
        """Every run by itself; the worst one counts."""
        ratios = [agreement.difference(self.problem.folder / f"{k}.truth", answers / f"{k}.weights")
                  / self.problem.bound(k, self.type) for k in range(self.n_runs)]
        wrong = [k for k, ratio in enumerate(ratios) if not ratio <= 1]
        entry.error_over_bound = max(ratios) if not any(map(math.isnan, ratios)) else math.nan
        if wrong:
            entry.refused = f"disagrees in {len(wrong)} of {self.n_runs} runs; run {wrong[0]}: {ratios[wrong[0]]:.3g} of the bound"

    def measure(self, rounds: int, seconds: float) -> None:
        take_turns(self.entries, self.workers, rounds, seconds, self.n_runs)

    def result(self) -> dict:
        return {"shape": str(self.shape), "runs": self.n_runs, "type": self.type,
                "entries": [{**dataclasses.asdict(e), "median_us": e.median} for e in self.entries]}


def run(peers: list[str], types: list[str], rounds: int, seconds: float, spoil: str, say) -> list[dict]:
    """On one thread: runs are independent, so that more threads are more of the same."""
    results = []
    for number_type in types:
        workers = {peer: Worker("many " + peer, number_type, 1) for peer in peers if "many " + peer in TABLE}
        versions = {}
        for peer, worker in workers.items():
            try:
                versions[peer] = worker.ask("version")["version"]
            except WorkerFailed as error:
                say(f"{peer}: {error}")
        workers = {peer: workers[peer] for peer in versions}
        for shape, n_runs in CELLS:
            began = time.monotonic()
            cell = Cell(shape, n_runs, number_type, workers, spoil)
            cell.prepare()
            ready = time.monotonic()
            cell.measure(rounds, seconds)
            results.append({**cell.result(), "versions": versions})
            say(f"{shape} {number_type}, {n_runs} runs: prepared in {ready - began:.1f} s, "
                f"measured in {time.monotonic() - ready:.1f} s")
            for entry in cell.entries:
                if entry.refused:
                    say(f"  {entry.peer} {entry.variant}: {entry.refused}")
        for worker in workers.values():
            worker.close()
    return results
