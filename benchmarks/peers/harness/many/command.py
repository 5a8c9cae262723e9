"""`compare --many`: many runs at once."""
import argparse
import json
import sys
import time

from .. import environment, results_file
from ..results_file import without_nan
from ..steps import OUT
from . import programs, report, runs


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare --many", allow_abbrev=False, description="many runs at once beside their peers",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=["steps", "programs"], default=["steps", "programs"],
                        help="none: only write the report again; the other part is kept from the last run")
    parser.add_argument("--types", nargs="+", choices=["f32", "f64"], default=["f32", "f64"])
    parser.add_argument("--peers", nargs="+", choices=runs.PEERS, default=list(runs.PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one measurement in one round")
    parser.add_argument("--spoil", default="", metavar="PEER",
                        help="make this peer's steps 1 %% too long, to see the check refuse them")
    parser.add_argument("--report", action="store_true", help="write this part of benchmarks/RESULTS.md")
    options = parser.parse_args(words)
    if options.spoil and options.report:
        parser.error("--report does not go with --spoil: its figures are of a peer that was made wrong")
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: list[str]) -> None:
    options = arguments(words)
    began = time.monotonic()
    file = OUT / "many.json"
    results = json.loads(file.read_text()) if file.exists() else {"cells": []}
    if options.part:
        results |= {"machine": environment.machine(), "rounds": options.rounds, "seconds": options.seconds}
    if "steps" in options.part:
        results["cells"] = runs.run([p for p in runs.PEERS if p in options.peers], options.types, options.rounds, options.seconds,
                                    options.spoil, say)
    if "programs" in options.part:
        results["programs"] = programs.run(options.rounds, say)
    if not results["cells"]:
        sys.exit("compare --many: nothing has been measured yet")
    results = without_nan(results)
    if not options.spoil:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n")
    text = report.text(results)
    if options.report:
        results_file.write(many=text)
    print(text)
    say(f"compare: {time.monotonic() - began:.0f} s")
