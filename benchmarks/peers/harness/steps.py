"""One step of normalised gradient descent by everybody, interleaved: correct first, then timed."""
import dataclasses
import functools
import itertools
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from . import agreement, environment
from .worker_process import Worker, WorkerFailed

FINALISTS = 2  # variants of a peer that go on after the first round
PREPARE_TIMEOUT = 150.0  # seconds; torch.compile needs them
OUT = environment.ROOT / "out" / "peers"
TOKENS = "tokens"  # the rule and the first word of the variants of the model whose tokens are all queries


@dataclasses.dataclass(frozen=True)
class Shape:
    n: int
    n_tokens: int
    d: int

    def __str__(self) -> str:
        return f"{self.n},{self.n_tokens},{self.d}"


@dataclasses.dataclass
class Settings:
    peers: list[str]
    rounds: int
    seconds: float
    spoil: str = ""  # this peer's steps are made 1 % too long, to see the check refuse them


@dataclasses.dataclass
class Measured:
    """A variant of a peer in one cell: shape, type, threads, rule."""
    peer: str
    variant: str
    error_over_bound: float = math.nan
    refused: str = ""
    us: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.us) if self.us else math.nan


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@functools.cache
def make_data(shape: Shape, number_type: str) -> tuple[pathlib.Path, pathlib.Path]:
    folder = OUT / "data"
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{str(shape).replace(',', '-')}-{number_type}.safetensors"
    command = [environment.PROGRAM, "generate", "--generator", "signal_noise", "--samples", shape.n, "--tokens", shape.n_tokens,
               "--dim", shape.d, "--seed", 1, "--dtype", number_type, "--out", data]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return data, data.with_suffix(".weights")


@functools.cache
def problem_of(shape: Shape, number_type: str, rule: str) -> tuple[agreement.Problem, pathlib.Path]:
    """`tokens` is the normalised step of the model whose tokens are all queries; it starts elsewhere."""
    data, weights = make_data(shape, number_type)
    if rule == TOKENS:
        return agreement.Problem(data, all_tokens=True), weights.with_suffix(".tokens.weights")
    return agreement.Problem(data), weights


@functools.cache
def agreement_of(shape: Shape, number_type: str, rule: str) -> agreement.Agreement:
    return agreement.prepare(*problem_of(shape, number_type, rule))


class Cell:
    """All peers on one data set with one type and one count of threads."""

    def __init__(self, shape: Shape, number_type: str, threads: int, rule: str, settings: Settings, workers: dict[str, Worker]):
        self.type, self.settings, self.workers, self.rule = number_type, settings, workers, rule
        self.data = make_data(shape, number_type)[0]
        self.problem, self.start = problem_of(shape, number_type, "ngd" if rule == "polyak" else rule)
        self.agreement = agreement_of(shape, number_type, "ngd" if rule == "polyak" else rule)
        self.step_size = self.agreement.polyak_cap if rule == "polyak" else self.agreement.step_size
        self.bounds = self.agreement.bounds(number_type)
        if not self.bounds[0] <= 0.5 * self.agreement.step_of_weights:
            raise ValueError(f"{shape} {number_type}: the bound is as long as the steps, the check would say nothing")
        self.folder = OUT / "weights"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.entries: list[Measured] = []
        self.head = {"shape": str(shape), "type": number_type, "threads": threads, "rule": rule}

    def asked_for(self, peer: str, variant: str) -> bool:
        rule = variant.split("-")[0]
        if peer in ("softstep", "optax"):
            return rule == self.rule
        return (rule == TOKENS) == (self.rule == TOKENS)

    def prepare(self) -> None:
        """Loads, compiles and checks every variant; softstep comes first and is what the others are compared with, but where it
        and they are compared with steps in float64."""
        truth: tuple[pathlib.Path, float] | None = None
        if self.rule == TOKENS:
            file = self.folder / "truth.safetensors"
            truth = file, agreement.write_truth(self.problem, self.start, self.step_size, file)
        for peer, worker in self.workers.items():
            try:
                names = worker.ask("load", self.data, self.start)["variants"]
            except WorkerFailed as error:
                self.entries.append(Measured(peer, "*", refused=str(error)))
                continue
            for name in names:
                if not self.asked_for(peer, name):
                    continue
                entry = Measured(peer, name)
                self.entries.append(entry)
                try:
                    worker.ask("prepare", name, timeout=PREPARE_TIMEOUT)
                    file = self.folder / f"{peer}.safetensors"
                    size = self.step_size * (1.01 if peer == self.settings.spoil else 1.0)
                    loss = worker.ask("check", name, size, agreement.STEPS, file)["loss"]
                    if truth is None and peer == "softstep":
                        truth = shutil.copy(file, self.folder / "truth.safetensors"), loss
                    if truth is None:
                        raise WorkerFailed("softstep gave no answer to compare with")
                    self.judge(entry, file, loss, *truth)
                except WorkerFailed as error:
                    entry.refused = str(error)

    def judge(self, entry: Measured, file: pathlib.Path, loss: float, ours: pathlib.Path, our_loss: float) -> None:
        distance, apart = agreement.difference(ours, file), abs(loss - our_loss)
        entry.error_over_bound = max(distance / self.bounds[0], apart / self.bounds[1])
        if not (distance <= self.bounds[0] and apart <= self.bounds[1]):
            entry.refused = f"disagrees: weights {distance:.3g} apart (bound {self.bounds[0]:.3g}), " \
                            f"losses {apart:.3g} (bound {self.bounds[1]:.3g})"

    def measure(self) -> None:
        take_turns(self.entries, self.workers, self.settings.rounds, self.settings.seconds)

    def result(self) -> dict:
        entries = [{"peer": e.peer, "variant": e.variant, "median_us": None if math.isnan(e.median) else e.median,
                    "rounds_us": e.us, "error_over_bound": None if math.isnan(e.error_over_bound) else e.error_over_bound,
                    "refused": e.refused} for e in self.entries]
        return {**self.head, "bound_weights": self.bounds[0], "bound_loss": self.bounds[1],
                "length_of_check": self.agreement.step_of_weights, "entries": entries}


def finalists(entries: list[Measured]) -> list[Measured]:
    out: list[Measured] = []
    for _, group in itertools.groupby(entries, key=lambda e: e.peer):
        group = list(group)
        # Forms of softstep are different algorithms, each reported for itself.
        out += group if group[0].peer == "softstep" else sorted(group, key=lambda e: e.median)[:FINALISTS]
    return out


def take_turns(entries: list[Measured], workers: dict[str, Worker], rounds: int, seconds: float, n_runs: int = 1) -> None:
    """Round 1 times every variant, the further ones each peer's best; who begins changes from round to round. A step of a worker
    is one of n_runs runs, whose share is kept."""
    running = [e for e in entries if not e.refused]
    for number in range(rounds):
        for entry in running[number % len(running):] + running[:number % len(running)] if running else []:
            try:
                entry.us.append(workers[entry.peer].ask("run", entry.variant, seconds)["us"] / n_runs)
            except WorkerFailed as error:
                entry.refused = str(error)
        running = [e for e in running if not e.refused]
        if number == 0:
            running = finalists(running)


def run(shapes: list[Shape], types: list[str], threads: list[int], settings: Settings, rule: str = "ngd") -> list[dict]:
    results = []
    for number_type, count in itertools.product(types, threads):
        workers = {peer: Worker(peer, number_type, count) for peer in settings.peers}
        versions = {}
        for peer, worker in workers.items():
            try:
                versions[peer] = worker.ask("version")["version"]
            except (WorkerFailed, json.JSONDecodeError) as error:
                say(f"{peer}: {error}")
        workers = {peer: workers[peer] for peer in versions}
        for shape in shapes:
            began = time.monotonic()
            cell = Cell(shape, number_type, count, rule, settings, workers)
            cell.prepare()
            ready = time.monotonic()
            cell.measure()
            results.append({**cell.result(), "versions": versions})
            say(f"{shape} {number_type} {count} thread(s) {rule}: prepared in {ready - began:.1f} s, "
                f"measured in {time.monotonic() - ready:.1f} s")
            for entry in cell.entries:
                if entry.refused:
                    say(f"  {entry.peer} {entry.variant}: {entry.refused}")
        for worker in workers.values():
            worker.close()
    return results
