"""One cell: every peer correct first, then timed in turn, the limits of the machine with them."""
import dataclasses
import json
import math
import shutil
import statistics
import time

from .. import environment
from ..worker_process import LIMITS, TABLE, Worker, WorkerFailed
from . import subjects, truth
from .cells import Cell

PREPARE_TIMEOUT = 300.0
SPOILED = 1.05  # times the scale, of a peer that is to be refused
# A call that takes so many times the time asked for is not repeated more often than this.
LONG, FEW_ROUNDS = 5.0, 3


@dataclasses.dataclass
class Settings:
    peers: list[str]
    rounds: int
    seconds: float
    spoil: str = ""


@dataclasses.dataclass
class Entry:
    """A variant of a peer in one case."""
    peer: str
    variant: str
    case: str
    refused: str = ""
    errors: dict[str, float] = dataclasses.field(default_factory=dict)
    us: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.us) if self.us else math.nan

    def result(self) -> dict:
        return {"peer": self.peer, "variant": self.variant, "case": self.case, "refused": self.refused,
                "median_us": None if math.isnan(self.median) else self.median, "rounds_us": self.us,
                "errors_over_bounds": {name: None if math.isnan(e) else e for name, e in self.errors.items()}}


class Workers:
    """Of one subject, type and number of threads, started when they are first asked for."""

    def __init__(self, subject, peers: list[str], number_type: str, threads: int):
        self.by_peer: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        for peer in peers:
            try:
                self.by_peer[peer] = Worker(subject.WORKERS + peer, number_type, threads)
                self.versions[peer] = self.by_peer[peer].ask("version", timeout=PREPARE_TIMEOUT)["version"]
            except (WorkerFailed, OSError, json.JSONDecodeError) as error:
                self.refused[peer] = str(error)
                self.by_peer.pop(peer, None)
        self.limits = Worker(LIMITS, number_type, threads)

    def close(self) -> None:
        for worker in [*self.by_peer.values(), self.limits]:
            worker.close()


class Measurement:
    def __init__(self, cell: Cell, settings: Settings, workers: Workers, commit: str):
        self.cell, self.settings, self.workers, self.commit = cell, settings, workers, commit
        self.subject = subjects.of(cell.shape)
        self.data = self.subject.make_data(cell.shape)
        self.truths = {causal: self.subject.truth_of(cell.shape, causal) for causal in self.subject.masks(cell.shape)}
        for causal, right in self.truths.items():
            for name, part in right.telling(cell.type).items():
                if not part <= truth.TELLING:
                    raise ValueError(f"{cell}: the bound of {name} is {part:.2g} of it, the check would say nothing")
        self.entries: list[Entry] = []
        self.limits: list[dict] = []

    def prepare(self) -> None:
        shape = self.cell.shape
        for peer, worker in self.workers.by_peer.items():
            scale = shape.scale * (SPOILED if peer == self.settings.spoil else 1.0)
            try:
                words = self.subject.load_words(shape, scale)
                variants = worker.ask("load", self.data, *words, timeout=PREPARE_TIMEOUT)["variants"]
            except WorkerFailed as error:
                self.entries.append(Entry(peer, "*", "*", str(error)))
                continue
            for variant, cases in variants.items():
                for case in cases:
                    self.entries.append(self.checked(worker, Entry(peer, variant, case)))

    def checked(self, worker: Worker, entry: Entry) -> Entry:
        folder = truth.ANSWERS
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            worker.ask("prepare", entry.variant, entry.case, timeout=PREPARE_TIMEOUT)
            names = worker.ask("check", entry.variant, entry.case, folder, timeout=PREPARE_TIMEOUT)["outputs"]
        except WorkerFailed as error:
            entry.refused = str(error)
            return entry
        right = self.truths[entry.case.endswith("-causal")]
        entry.errors = truth.errors_over_bounds(right, self.cell.type, names, folder)
        wrong = [f"{name} {error:.3g} times its bound" for name, error in entry.errors.items() if not error <= 1]
        if wrong or names != right.names(entry.case):
            entry.refused = "disagrees: " + (", ".join(wrong) or f"it gave {names}")
        return entry

    def measure(self) -> None:
        """Round 1 times every variant, the further ones each peer's best of a case; who begins changes from round to round."""
        running = [e for e in self.entries if not e.refused]
        for number in range(self.settings.rounds):
            self.limits.append(self.workers.limits.ask("limits" if self.subject.reads_memory(self.cell.shape) else "flops"))
            turn = number % len(running) if running else 0
            for entry in running[turn:] + running[:turn]:
                if number >= FEW_ROUNDS and min(entry.us) > 1e6 * LONG * self.settings.seconds:
                    continue
                try:
                    worker = self.workers.by_peer[entry.peer]
                    reply = worker.ask("run", entry.variant, entry.case, self.settings.seconds, timeout=PREPARE_TIMEOUT)
                    entry.us.append(reply["us"])
                except WorkerFailed as error:
                    entry.refused = str(error)
            running = [e for e in running if not e.refused]
            if number == 0:
                running = [min((e for e in running if (e.peer, e.case) == key), key=lambda e: e.median)
                           for key in dict.fromkeys((e.peer, e.case) for e in running)]

    def result(self) -> dict:
        cell = self.cell
        return {"part": cell.part, "shape": dataclasses.asdict(cell.shape), "type": cell.type, "threads": cell.threads,
                "rounds": self.settings.rounds, "seconds": self.settings.seconds, "peers": self.settings.peers,
                "versions": self.workers.versions,
                "absent": self.workers.refused, "commit": self.commit,
                "limits": self.limits,
                "bound_over_norm": {"causal" if causal else "full": right.telling(cell.type)
                                    for causal, right in self.truths.items()},
                "entries": [e.result() for e in self.entries]}


def run(wanted: list[Cell], settings: Settings, resume: bool, say) -> None:
    """Each cell is written when it is measured, but with a spoiled peer; with `resume`, cells of this commit and these settings
    are left as they are."""
    commit = environment.machine()["commit"]
    kept = {"commit": commit, "rounds": settings.rounds, "seconds": settings.seconds, "peers": settings.peers}
    order = sorted(wanted, key=lambda c: (subjects.of(c.shape).WORKERS, c.type, c.threads))  # stable: one set of workers after the other
    workers: Workers | None = None
    kind = None
    for number, cell in enumerate(order):
        if resume and cell.file.exists():
            old = json.loads(cell.file.read_text())
            if all(old.get(key) == value for key, value in kept.items()):
                continue
        began = time.monotonic()
        wanted_kind = (subjects.of(cell.shape), cell.type, cell.threads)
        if kind != wanted_kind:
            if workers:
                workers.close()
            kind = wanted_kind
            workers = Workers(kind[0], [p for p in settings.peers if kind[0].WORKERS + p in TABLE], *kind[1:])
            for peer, why in workers.refused.items():
                say(f"{peer}: {why}")
        measurement = Measurement(cell, settings, workers, commit)
        measurement.prepare()
        ready = time.monotonic()
        measurement.measure()
        if not settings.spoil:
            cell.file.parent.mkdir(parents=True, exist_ok=True)
            part = cell.file.with_suffix(".part")
            part.write_text(json.dumps(measurement.result(), indent=1) + "\n")
            part.replace(cell.file)
        say(f"{number + 1}/{len(order)} {cell} thread(s): prepared in {ready - began:.1f} s, "
            f"measured in {time.monotonic() - ready:.1f} s")
        for entry in measurement.entries:
            if entry.refused:
                say(f"  {entry.peer} {entry.variant} {entry.case}: {entry.refused}")
    if workers:
        workers.close()
    shutil.rmtree(truth.ANSWERS, ignore_errors=True)
