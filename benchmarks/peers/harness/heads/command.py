"""compare --attention: which parts to run; what each gives is kept in a file of its own, so that they may run one by one."""
import argparse
import json
import re
import sys
import time

from .. import environment, results_file, steps
from ..results_file import without_nan
from ..worker_process import HEADS_COMPILED, HEADS_INTERPRETED
from . import breaking, cells, measure, memory, report, subjects

OTHERS = ("memory", "saturated", "tokens")
TOKENS_SHAPE = steps.Shape(200, 64, 128)


def arguments(words: list[str]) -> argparse.Namespace:
    peers = [*HEADS_COMPILED, *HEADS_INTERPRETED]
    parser = argparse.ArgumentParser(prog="compare --attention", allow_abbrev=False,
                                     description="attention over heads beside its peers: see README.md",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=[*subjects.PARTS, *OTHERS], default=[*subjects.PARTS, *OTHERS],
                        help="none: only write the report again")
    parser.add_argument("--cells", default="", metavar="REGEX", help="of the cells only those whose line in --list matches")
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(environment.cpus(0))}))
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one measurement in one round")
    parser.add_argument("--resume", action="store_true", help="leave what was measured of this commit with these settings")
    parser.add_argument("--spoil", default="", metavar="PEER", 
                        help="give this peer a scale 5 %% too large, to see the check refuse it")
    parser.add_argument("--list", action="store_true", help="print the cells, measure nothing")
    parser.add_argument("--report", action="store_true", help="write this part of benchmarks/RESULTS.md")
    options = parser.parse_args(words)
    options.peers = [p for p in peers if p in {"softstep", *options.peers}]
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def kept(name: str) -> dict:
    file = cells.OUT / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def once(name: str, options: argparse.Namespace, commit: str, run) -> None:
    """A part that is one table."""
    settings = {"commit": commit, "rounds": options.rounds, "seconds": options.seconds, "peers": options.peers}
    old = kept(name)
    if options.resume and all(old.get(key) == value for key, value in settings.items()):
        return
    began = time.monotonic()
    results = without_nan({**settings, "rows": run()})
    cells.OUT.mkdir(parents=True, exist_ok=True)
    (cells.OUT / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    say(f"{name}: {time.monotonic() - began:.1f} s")


def measure_tokens(options: argparse.Namespace) -> list[dict]:
    settings = steps.Settings([p for p in ("softstep", "torch") if p in options.peers], options.rounds, options.seconds)
    return steps.run([TOKENS_SHAPE], ["f32", "f64"], options.threads, settings, steps.TOKENS)


def results_of(options: argparse.Namespace) -> dict:
    """Everything that is kept, whenever it was measured; cells in the order of the list."""
    files = [c.file for c in subjects.cells_of(list(subjects.PARTS), sorted({1, *options.threads}))]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    return {"machine": environment.machine(), "threads": options.threads, "cells": found,
            **{name: kept(name).get("rows", []) for name in OTHERS}}


def main(words: list[str]) -> None:
    options = arguments(words)
    parts = [p for p in options.part if p in subjects.PARTS]
    wanted = [c for c in subjects.cells_of(parts, options.threads) if re.search(options.cells, str(c))]
    if options.list:
        print("\n".join(map(str, wanted)))
        return
    began = time.monotonic()
    commit = environment.machine()["commit"]
    measure.run(wanted, measure.Settings(options.peers, options.rounds, options.seconds, options.spoil), options.resume, say)
    if "memory" in options.part:
        once("memory", options, commit, lambda: memory.run(options.peers, max(options.threads), say))
    if "saturated" in options.part:
        once("saturated", options, commit, lambda: breaking.run(options.peers, say))
    if "tokens" in options.part:
        once("tokens", options, commit, lambda: measure_tokens(options))
    text = report.text(results_of(options))
    if options.report:
        results_file.write(attention=text)
    print(text)
    say(f"compare: {time.monotonic() - began:.0f} s")
